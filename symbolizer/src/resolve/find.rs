// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The search for the vmlinux of a traced kernel. In: its build ID and release, places. Out: the file's path. Looks
//! at build IDs only: a file that has another one is not it. Never here: what is in it.

use std::path::{Path, PathBuf};

use super::{Vmlinux, image};

/// The first vmlinux with this build ID: of those that the user names (files, or directories with a vmlinux), then
/// `beside` (as the trace itself, or what its recorder was given), then where packages and builds put them.
pub fn find(build_id: &str, release: &str, named: &[PathBuf], beside: &[PathBuf]) -> Option<PathBuf> {
    if build_id.is_empty() {
        return None;
    }
    let in_directory = |path: &PathBuf| if path.is_dir() { path.join("vmlinux") } else { path.clone() };
    let given = named.iter().chain(beside).map(in_directory);
    let plain = |text: &str| !text.is_empty() && !text.contains('/') && text != "..";
    let mut usual = Vec::new();
    if plain(release) {
        usual.extend(
            [
                format!("/usr/lib/debug/boot/vmlinux-{release}"),
                format!("/usr/lib/debug/lib/modules/{release}/vmlinux"),
                format!("/usr/lib/debug/lib/modules/{release}/vmlinux.debug"),
                format!("/lib/modules/{release}/build/vmlinux"),
                format!("/lib/modules/{release}/vmlinux"),
                format!("/boot/vmlinux-{release}"),
            ]
            .map(PathBuf::from),
        );
    }
    if build_id.len() > 2 && build_id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let (first, rest) = build_id.split_at(2);
        usual.push(format!("/usr/lib/debug/.build-id/{first}/{rest}.debug").into());
    }
    given.chain(usual).find(|path| has(path, build_id))
}

/// Whether the file is a vmlinux with this build ID.
pub fn has(path: &Path, build_id: &str) -> bool {
    // What is no file may never end.
    if !path.is_file() {
        return false;
    }
    let Ok(vmlinux) = Vmlinux::open(path) else { return false };
    vmlinux.elf().is_ok_and(|elf| image::build_id(&elf).as_deref() == Some(build_id))
}
