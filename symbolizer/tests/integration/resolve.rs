// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize resolve`, on the fixture: against llvm-symbolizer where that is installed, and what only ours does.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use symbolizer::report::names::CALL;

use super::fixture::{Fixture, symbolize};

fn resolve(vmlinux: &Path, args: &[&str]) -> Output {
    symbolize(["resolve".as_ref(), vmlinux.as_os_str()].into_iter().chain(args.iter().map(|arg| arg.as_ref())))
}

/// Standard output; it must succeed.
fn text(vmlinux: &Path, args: &[&str]) -> String {
    let output = resolve(vmlinux, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A command that gets `input`; its standard output. `None` where it is not installed.
fn answers(command: &mut Command, input: &str) -> Option<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{command:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

const FUNCTIONS: [&str; 5] = ["start_kernel", "rest_init", "kmem_cache_init", "__kmalloc", "acpi_early_init"];

/// Where a function begins.
fn start(fixture: &Fixture, name: &str) -> u64 {
    fixture.site(name) - CALL
}

/// All addresses from the first function into the last one.
fn addresses(fixture: &Fixture) -> String {
    let starts = FUNCTIONS.map(|name| start(fixture, name));
    let (first, last) = (starts.iter().min().unwrap(), starts.iter().max().unwrap());
    (*first..last + CALL).map(|address| format!("{address:#x}\n")).collect()
}

#[test]
fn every_address_has_the_answer_of_llvm_symbolizer() {
    let kinds: [&[&str]; 4] = [&["-g"], &["-gdwarf-4"], &["-g", "-gz=zlib"], &["-gdwarf-5", "-ffunction-sections"]];
    for options in kinds {
        let fixture = Fixture::with(options);
        let asked = addresses(&fixture);
        for (inlines, same) in [(None, "--no-inlines"), (Some("--inlines"), "--inlines")] {
            let mut llvm = Command::new("llvm-symbolizer");
            llvm.arg(format!("--obj={}", fixture.vmlinux.display())).args([same, "--functions=linkage"]);
            let Some(theirs) = answers(&mut llvm, &asked) else {
                return eprintln!("skipped: llvm-symbolizer is not installed");
            };
            let mut ours = Command::new(env!("CARGO_BIN_EXE_symbolize"));
            ours.arg("resolve").arg(&fixture.vmlinux).args(["--format", "llvm", "--no-cache"]).args(inlines);
            let ours = answers(&mut ours, &asked).unwrap();
            assert!(theirs.contains("kmem_cache_init") && theirs.contains("slub.c:4"), "{theirs}");
            for ((ours, theirs), address) in ours.split("\n\n").zip(theirs.split("\n\n")).zip(asked.lines()) {
                assert_eq!(ours, theirs, "{options:?} {same} {address}");
            }
        }
    }
}

#[test]
fn places_inside_functions_have_offsets_and_inlined_frames() {
    let fixture = Fixture::pinned();
    let place = |args: &[&str]| text(&fixture.vmlinux, args);
    let kmalloc = start(&fixture, "__kmalloc");
    let line = format!("{kmalloc:#x} __kmalloc+0x0 mm/slub.c:1\n");
    assert_eq!(place(&[&format!("{kmalloc:x}")]), line);
    let ran = format!("{:#x}", kmalloc + 0x1d20_0000);
    assert_eq!(place(&[&ran, "--slide", "0x1d200000"]), format!("{ran} __kmalloc+0x0 mm/slub.c:1\n"));
    // The nops of map_tables come after the call of __fentry__.
    let nop = start(&fixture, "acpi_early_init") + 5;
    assert_eq!(
        place(&["acpi_early_init+0x5/0x10", "--inlines"]),
        format!(
            "{nop:#x} acpi_early_init+0x5 drivers/acpi/osl.c:1\n    \
             in map_tables drivers/acpi/osl.c:1\n    \
             inlined into acpi_early_init drivers/acpi/osl.c:1\n"
        )
    );
    assert_eq!(place(&["0x1234"]), "0x0000000000001234 ?? ??:0\n");
    let json: serde_json::Value = serde_json::from_str(&place(&["rest_init", "--format", "json"])).unwrap();
    assert_eq!(
        (&json["address"], &json["name"]),
        (&format!("{:#x}", start(&fixture, "rest_init")).into(), &"rest_init".into())
    );
    assert_eq!((&json["file"], &json["line"], &json["offset"]), (&"init/main.c".into(), &4.into(), &0.into()));
}

#[test]
fn standard_input_is_read_by_first_words() {
    let fixture = Fixture::pinned();
    let mut command = Command::new(env!("CARGO_BIN_EXE_symbolize"));
    command.arg("resolve").arg(&fixture.vmlinux).arg("--no-cache");
    let (rest, first) = (start(&fixture, "rest_init"), start(&fixture, "start_kernel"));
    assert_eq!(
        answers(&mut command, &format!("{rest:x} and more\r\n\n  start_kernel+0x0/0x20\n")).unwrap(),
        format!("{rest:#x} rest_init+0x0 init/main.c:4\n{first:#x} start_kernel+0x0 init/main.c:6\n")
    );
}

#[test]
fn what_is_no_address_is_an_error() {
    let fixture = Fixture::new();
    for (args, message) in [
        (&["0x1000", "no_such_function+0x1"][..], "no_such_function+0x1: this is no hexadecimal address"),
        (&["0x1000", "--slide", "0x1000"], "multiple of 0x200000"),
    ] {
        let output = resolve(&fixture.vmlinux, args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
        assert!(said.contains(message), "{args:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn units_are_found_without_a_list_of_their_addresses() {
    let fixture = Fixture::new();
    let asked = addresses(&fixture);
    let places = |vmlinux: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_symbolize"));
        answers(command.arg("resolve").arg(vmlinux).args(["--no-cache", "--inlines"]), &asked).unwrap()
    };
    let bare = fixture.dir.path().join("bare");
    let objcopy = Command::new("objcopy").args(["-R", ".debug_aranges"]).arg(&fixture.vmlinux).arg(&bare).status();
    assert!(objcopy.unwrap().success());
    let with = places(&fixture.vmlinux);
    assert!(with.contains("mm/slub.c:4"), "{with}");
    assert_eq!(places(&bare), with);
}
