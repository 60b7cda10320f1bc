// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A table of names from the cache. In: the file. Demanded: what is damaged is no table; whatever a table with a right
//! checksum says, a function that is found covers the address that was asked for.

use symbolizer::resolve::table::{Table, checksum};

/// Where the checksum is.
const CRC: std::ops::Range<usize> = 8..12;

/// Addresses that are looked up in every table.
const ADDRESSES: [u64; 6] = [0, 1, 0xffff_ffff_8100_0000, 0xffff_ffff_8100_0123, u64::MAX - 1, u64::MAX];

/// Reads it as it is, and with its checksum put right.
pub fn run(data: &[u8]) {
    let right = checksum(data).to_le_bytes();
    let as_it_is = Table::read(data.to_vec());
    assert!(as_it_is.is_none() || data[CRC] == right, "a damaged table is taken for whole");
    let mut data = data.to_vec();
    if let Some(crc) = data.get_mut(CRC) {
        crc.copy_from_slice(&right);
    }
    if let Some(table) = Table::read(data) {
        ask(&table);
    }
}

fn ask(table: &Table) {
    let sites = table.sites().unwrap_or_default();
    // Forwards, backwards: the last answer says where the next is looked for first.
    let all = sites.iter().take(200).chain(&ADDRESSES).chain(sites.iter().take(200).rev());
    for &address in all {
        if let Some((found, spot)) = table.covering(address) {
            assert!(found.address <= address && address - found.address < found.size, "{found:?} at {address:#x}");
            assert!(spot.line != Some(0) && spot.column != Some(0));
            table.named(found.name);
        }
        table.nameless(address);
        table.kmod(address);
    }
    let _ = (table.key(), table.root(), table.text_start());
    let stored = table.bytes().concat();
    assert!(Table::read(stored).is_some(), "what was read can be written and read again");
}
