// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A vmlinux that names are looked up in. In: the file. Demanded: an error, or a name for each site,
//! and names that steer no terminal.

use symbolizer::report::Names;
use symbolizer::report::names::{CALL, Coverage};
use symbolizer::resolve::Vmlinux;

use super::{scratch, shown};

/// Sites that are looked up in every file: text, modules, the ends of the address space.
const SITES: [u64; 6] =
    [0, 4, 0xffff_ffff_8100_0005, 0xffff_ffff_8100_0105, 0xffff_ffff_c000_1005, 0xffff_ffff_ffff_ffff];

/// Looks its own call sites up, and [`SITES`].
pub fn run(data: &[u8]) {
    let dir = scratch::directory();
    let path = dir.path().join("vmlinux");
    std::fs::write(&path, data).expect("a small file");
    let Ok(vmlinux) = Vmlinux::open(&path) else { return };
    let Ok(mut names) = Names::open(&vmlinux) else { return };
    // Moved, if it has a `_stext` that can be: no site of its own may then be lost.
    let _ = names.ran_at(0xffff_ffff_8200_0000);
    let slide = names.slide();
    let listed = names.call_sites();
    let own = listed.iter().flatten().take(100).map(|call| slide.apply(call.wrapping_add(CALL)));
    let sites: Vec<u64> = own.chain(SITES).collect();
    let Ok(named) = names.resolve(sites.iter().copied()) else { return };
    assert_eq!(named.len(), sites.len());
    for named in &named {
        shown::check(named.name.as_bytes());
        shown::check(named.file.as_deref().unwrap_or_default().as_bytes());
    }
    let coverage = Coverage::of(listed, &named);
    assert_eq!(coverage.hit + coverage.modules + coverage.strangers, named.len() as u64);
}
