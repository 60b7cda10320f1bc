// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Compiles the guest object from `early-ftrace` and passes it through the gate. In: that crate's
//! sources. Out: `OUT_DIR/guest.o`, relocatable, and `guest.s`, the same as assembly. The gate refuses an object that could hurt a kernel:
//! an undefined symbol that nobody will define, a vector register, a way to panic, a section that the
//! linker in `src/link.rs` does not place.

use object::{Object, ObjectSection, ObjectSymbol};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Sections that the object may have with content for the kernel, by prefix.
const PLACED: &[&str] = &[".text", ".rodata", ".data", ".bss"];

/// Other sections that are dropped.
const DROPPED: &[&str] =
    &[".note", ".comment", ".eh_frame", ".llvm", ".debug", ".strtab", ".shstrtab", ".symtab", ".rel"];

fn main() {
    let here = PathBuf::from(env("CARGO_MANIFEST_DIR"));
    let root = here.parent().expect("kernel-config lies in the workspace").to_path_buf();
    let out = PathBuf::from(env("OUT_DIR"));
    for path in
        ["early-ftrace/src", "early-ftrace/Cargo.toml", "early-ftrace/format/src", "bootlevel/src", "Cargo.toml"]
    {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    let object = out.join("guest.o");
    compile(&root, &out, &object);
    if let Err(reason) = gate(&object, &root) {
        panic!("the guest object is refused: {reason} ({})", object.display());
    }
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// One object of the crate alone, for the kernel: in the top 2 GiB, no red zone (interrupts use the
/// stack below), no unwinding, no vector registers (they belong to user space).
fn compile(root: &Path, out: &Path, object: &Path) {
    let mut cargo = Command::new(env("CARGO"));
    // This build is not the outer one: its flags, wrappers and directories stay out.
    for (name, _) in std::env::vars() {
        let keep = matches!(name.as_str(), "CARGO_HOME" | "CARGO_NET_OFFLINE" | "CARGO_HTTP_CAINFO");
        if (name.starts_with("CARGO") && !keep) || name.starts_with("RUSTFLAGS") || name.contains("WRAPPER") {
            cargo.env_remove(name);
        }
    }
    cargo.current_dir(root).args(["rustc", "--quiet", "--locked", "--package", "early-ftrace", "--lib", "--release"]);
    cargo.args(["--target", "x86_64-unknown-linux-gnu", "--target-dir"]).arg(out.join("guest"));
    let assembly = object.with_extension("s");
    cargo.arg("--").arg(format!("--emit=obj={}", object.display())).arg(format!("--emit=asm={}", assembly.display()));
    for flag in [
        "code-model=kernel",
        "relocation-model=static",
        "no-redzone=yes",
        "panic=abort",
        "codegen-units=1",
        "opt-level=s",
        "force-unwind-tables=no",
        "debuginfo=0",
        // A jump by a table is an indirect one: not for a kernel with retpolines or IBT.
        "jump-tables=no",
        "no-vectorize-loops",
        "no-vectorize-slp",
        "overflow-checks=off",
        "debug-assertions=off",
        "embed-bitcode=no",
        "lto=off",
    ] {
        cargo.args(["-C", flag]);
    }
    let status = cargo.status().unwrap_or_else(|error| panic!("cannot run cargo for the guest object: {error}"));
    assert!(status.success(), "the guest object did not compile: {status}");
}

/// The gate. `Err` with the reason.
fn gate(path: &Path, root: &Path) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let file = object::File::parse(&*bytes).map_err(|e| e.to_string())?;
    let facts = std::fs::read_to_string(root.join("early-ftrace/src/facts.rs")).map_err(|e| e.to_string())?;
    for symbol in file.symbols() {
        let name = symbol.name().unwrap_or("");
        if symbol.is_undefined() && !name.is_empty() {
            let declared = (name.starts_with("eft_fact_") || name.starts_with("eft_kernel_")) && facts.contains(name);
            if !declared {
                return Err(format!("undefined symbol {name}"));
            }
        }
        // The kernel's own function: its address is taken, to mark its calls, and it is never called.
        let marked = name == "eft_kernel_panic" && symbol.is_undefined();
        if (name.contains("panic") && !marked) || name.contains("unwind_resume") {
            return Err(format!("a way to panic: {name}"));
        }
    }
    for section in file.sections() {
        let name = section.name().unwrap_or("");
        let known = PLACED.iter().chain(DROPPED).any(|prefix| name.starts_with(prefix)) || name.is_empty();
        if !known && section.size() > 0 {
            return Err(format!("unexpected section {name} of {} bytes", section.size()));
        }
        if (name.starts_with(".data") || name.starts_with(".bss")) && section.size() > 0 {
            return Err(format!("section {name}: mutable statics belong into the shared region, not into the object"));
        }
    }
    let listing = Command::new("objdump")
        .args(["-d", "--no-show-raw-insn", "-M", "intel"])
        .arg(path)
        .output()
        .map_err(|e| format!("objdump (package binutils) is needed to check the guest object: {e}"))?;
    let text = String::from_utf8_lossy(&listing.stdout);
    if !listing.status.success() || !text.contains("<eft_entry>:") {
        return Err("objdump shows no eft_entry".into());
    }
    for line in text.lines() {
        let code = line.split('\t').nth(1).unwrap_or("");
        for bad in ["xmm", "ymm", "zmm", "st(", "mm0", "fxsave"] {
            if code.contains(bad) {
                return Err(format!("vector or floating-point register: {}", line.trim()));
            }
        }
        // Retpolines and IBT: `call rax`, `jmp QWORD PTR [...]`. A direct one has an address.
        let target = code.strip_prefix("call").or(code.strip_prefix("jmp")).map(str::trim_start);
        if target.is_some_and(|target| !target.starts_with(|c: char| c.is_ascii_hexdigit()) || target.contains('[')) {
            return Err(format!("an indirect branch: {}", line.trim()));
        }
        if code.starts_with("lock ") || (code.starts_with("xchg") && code.contains('[')) {
            let allowed = code.contains("cmpxchg");
            if !allowed {
                return Err(format!("a lock prefix: {}", line.trim()));
            }
        }
    }
    Ok(())
}
