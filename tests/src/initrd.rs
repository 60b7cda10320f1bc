// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The demo's initial RAM disk. In: `tests/guest/init.rs`. Out: a cpio archive with that program as
//! `/init` and the directories that it mounts on. The same bytes each time for the same compiler.
//! Never here: what init does.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Init is linked above 4 GiB so that the witness tells its addresses from those at which the
/// kernel runs before it has paging (see `tests/witness/src/counters.rs`).
const TEXT_START: &str = "0x500000000";

/// The line that init prints when all went well.
pub const DONE: &str = "early-ftrace: demo init done";

/// Compiles init and writes the archive to `path`.
///
/// # Errors
/// When the compiler or the disk fails.
pub fn build(path: &Path) -> Result<()> {
    let program = path.with_extension("init");
    compile(&program)?;
    let init = std::fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    let mut archive = Archive::default();
    for directory in ["dev", "proc", "sys", "tmp"] {
        archive.add(directory, DIRECTORY | 0o755, (0, 0), &[]);
    }
    // The kernel opens it for init before anything is mounted.
    archive.add("dev/console", CHARACTER_DEVICE | 0o600, (5, 1), &[]);
    archive.add("init", REGULAR | 0o755, (0, 0), &init);
    std::fs::write(path, archive.finish()).with_context(|| format!("cannot write {}", path.display()))
}

/// rustc alone, not cargo: a program without std cannot be a member of a workspace whose tests are
/// built for the host.
fn compile(program: &Path) -> Result<()> {
    let source = workspace::root().join("tests/guest/init.rs");
    let status = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition=2024", "--crate-name=init", "--crate-type=bin", "--target=x86_64-unknown-linux-gnu"])
        .args(["-Copt-level=2", "-Cpanic=abort", "-Crelocation-model=pic", "-Cstrip=symbols"])
        .args(["-Clink-arg=-nostartfiles", "-Clink-arg=-nostdlib", "-Clink-arg=-static", "-Clink-arg=-no-pie"])
        // rustc's own lld has another name for the address option.
        .args(["-Clink-arg=-fuse-ld=bfd", "-Clink-arg=-Wl,--build-id=none"])
        .arg(format!("-Clink-arg=-Wl,-Ttext-segment={TEXT_START}"))
        .arg("-o")
        .arg(program)
        .arg(&source)
        .stdin(Stdio::null())
        .status()
        .context("cannot run rustc")?;
    if !status.success() {
        bail!("rustc cannot build {}; its messages are above", source.display());
    }
    Ok(())
}

// File types of st_mode, as cpio stores them.
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// A cpio archive in the "newc" format, the one that the kernel reads: for each file a head of 13
/// hexadecimal numbers, its name and its contents, each padded to 4 bytes.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    files: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, device: (u32, u32), contents: &[u8]) {
        self.files += 1;
        let size = u32::try_from(contents.len()).expect("files are smaller than 4 GiB");
        let name_size = u32::try_from(name.len() + 1).expect("names are short");
        let head = [
            self.files, mode, 0, // owner
            0, // group
            1, // links
            0, // time
            size, 0, 0, // the device that it is on
            device.0, device.1, name_size, 0, // check sum: none in this format
        ];
        self.bytes.extend_from_slice(b"070701");
        for number in head {
            self.bytes.extend_from_slice(format!("{number:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
    }

    /// A directory.
    pub(crate) fn directory(&mut self, name: &str) {
        self.add(name, DIRECTORY | 0o755, (0, 0), &[]);
    }

    /// A file, executable.
    pub(crate) fn file(&mut self, name: &str, contents: &[u8]) {
        self.add(name, REGULAR | 0o755, (0, 0), contents);
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_laid_out_as_newc_says() {
        let mut archive = Archive::default();
        archive.add("init", REGULAR | 0o755, (0, 0), b"hello");
        let bytes = archive.finish();
        // magic, ino, mode, uid, gid, nlink, mtime, filesize, dev x2, rdev x2, namesize, check
        let head = "070701\
            00000001 000081ED 00000000 00000000 00000001 00000000 00000005 \
            00000000 00000000 00000000 00000000 00000005 00000000"
            .replace(' ', "");
        assert_eq!(&bytes[..110], head.as_bytes());
        assert_eq!(&bytes[110..116], b"init\0\0", "the name ends at 115 and is padded to 116");
        assert_eq!(&bytes[116..124], b"hello\0\0\0");
        assert_eq!(&bytes[124..130], b"070701");
        assert!(bytes.ends_with(b"TRAILER!!!\0\0\0\0"));
        assert_eq!(bytes.len() % 4, 0);
    }
}
