// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Kernel images that cannot be traced. Each is refused before anything is started, with what it is
//! and what would do.

use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::image::Image;

use crate::boots::{self, OLD, scratch};
use crate::refusal::{record_of, refused};

/// Refused, and without a trace that looks like one.
fn refused_image(image: &Path, about: &[&str]) {
    let trace = image.with_extension("trace");
    refused(&record_of(image, &trace), about);
    assert!(!trace.join("meta.json").exists(), "a trace was made of {}", image.display());
}

fn written(name: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch(name).join("image");
    std::fs::write(&path, bytes).expect("a small file");
    path
}

/// A copy of the kernel without what `option` of objcopy takes away.
fn stripped(name: &str, options: &[&str]) -> PathBuf {
    let path = scratch(name).join("image");
    let status = Command::new("objcopy").args(options).arg(&boots::subject(OLD).vmlinux).arg(&path).status();
    assert!(status.expect("objcopy runs").success());
    path
}

/// The first bytes of an ELF file: 64 bits, little-endian, executable, for `machine`.
fn elf_head(machine: u16) -> Vec<u8> {
    let mut head = vec![0; 64];
    head[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    head[16] = 2; // e_type: ET_EXEC
    head[18..20].copy_from_slice(&machine.to_le_bytes());
    head[20] = 1; // e_version
    head[52] = 64; // e_ehsize
    head[54] = 56; // e_phentsize
    head[58] = 64; // e_shentsize
    head
}

#[test]
fn a_missing_file_is_named() {
    let path = scratch("image-missing").join("no-such-vmlinux");
    refused_image(&path, &["no-such-vmlinux", "no such file|not found|does not exist"]);
}

#[test]
fn a_text_is_no_elf_file() {
    refused_image(&written("image-text", b"not a kernel\n"), &["ELF", "image"]);
}

#[test]
fn an_empty_file_is_no_elf_file() {
    refused_image(&written("image-empty", b""), &["ELF|empty"]);
}

#[test]
fn a_bzimage_is_recognised() {
    // The boot sector's mark, then the setup header's (Documentation/arch/x86/boot.rst).
    let mut image = vec![0; 0x4000];
    image[..2].copy_from_slice(b"MZ");
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    refused_image(&written("image-bzimage", &image), &["bzImage", "vmlinux"]);
}

#[test]
fn a_kernel_for_arm64_is_recognised() {
    const EM_AARCH64: u16 = 183;
    refused_image(&written("image-arm64", &elf_head(EM_AARCH64)), &["arm64|aarch64", "x86"]);
}

#[test]
fn a_truncated_kernel_is_an_error_not_a_crash() {
    let whole = std::fs::read(&boots::subject(OLD).vmlinux).expect("the kernel");
    refused_image(&written("image-truncated", &whole[..1 << 20]), &["image"]);
    refused_image(&written("image-head-only", &whole[..64]), &["image"]);
}

#[test]
fn a_kernel_without_symbols_says_what_it_lacks() {
    refused_image(&stripped("image-stripped", &["--strip-all"]), &["symbol"]);
}

#[test]
fn a_kernel_without_dwarf_and_btf_says_where_to_get_it() {
    refused_image(
        &stripped("image-no-dwarf", &["--strip-debug", "--rename-section=.BTF=.gone"]),
        &["debug", "dbg|CONFIG_DEBUG_INFO"],
    );
}

#[test]
fn a_kernel_with_nops_at_its_call_sites_is_recognised() {
    let image = Image::read(&boots::subject(OLD).vmlinux).expect("the kernel");
    let sites = image.call_sites().expect("call sites");
    // What -mnop-mcount leaves there: one nop of five bytes.
    let nops = image.patched(&sites, &[0x0f, 0x1f, 0x44, 0x00, 0x00]).expect("all sites are in the file");
    let path = written("image-nops", &nops);
    refused_image(&path, &["nop", "mcount|fentry|call"]);
    std::fs::remove_file(&path).expect("ours, and large");
}
