// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A module's file that names are looked up in. In: the file, as it is and as a packed one. Demanded: an
//! error, or for each place no symbol or one that begins at or before it in its own section.

use symbolizer::resolve::ko::{Ko, place};

use super::scratch;

/// Opens the file, looks up places in its first sections.
pub fn run(data: &[u8]) {
    let dir = scratch::directory();
    for name in ["module.ko", "module.ko.zst"] {
        let path = dir.path().join(name);
        std::fs::write(&path, data).expect("a small file");
        let Ok(ko) = Ko::open(&path) else { continue };
        let mut places = vec![0, u64::MAX];
        for section in (0..16).chain([u16::MAX]) {
            for offset in [0, 1, 5, 0x40, u32::MAX] {
                places.push(place(section, offset));
                if let Some((start, symbol)) = ko.covering(section, offset) {
                    assert!(start <= offset && !symbol.name.is_empty(), "{symbol:?} at {section}+{offset:#x}");
                }
            }
        }
        if let Ok(lines) = ko.lines(&places) {
            assert_eq!(lines.places.len(), places.len());
        }
    }
}
