// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Files of other recorders. In: a trace.dat or perf.data; or, of CTF, metadata and a stream, with a line `----` between.
//! Demanded: an end; items in the order of time; not more of them than the file has room for; text that steers no
//! terminal.

use symbolizer::host::aggregate::Aggregator;
use symbolizer::import::{Import, Item, ctf};

/// What stands between the two parts of a CTF input.
const LINE: &[u8] = b"\n----\n";

/// Reads it.
pub fn run(data: &[u8]) {
    let cut = data.windows(LINE.len()).position(|window| window == LINE);
    let opened = match cut {
        Some(at) => ctf::of_bytes(data[..at].to_vec(), data[at + LINE.len()..].to_vec()),
        None => Import::of_bytes(data.to_vec()),
    };
    let mut import = match opened {
        Ok(import) => import,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let (mut aggregator, mut records) = (Aggregator::new(), 0u64);
    let (mut items, mut before) = (0u64, 0);
    for item in &mut import {
        assert!(item.time() >= before, "{item:?} comes after {before}");
        before = item.time();
        items += 1;
        match item {
            Item::Event(raw) => aggregator.push(raw, &mut |_| records += 1),
            Item::Lost(_) => aggregator.lost(&mut |_| records += 1),
        }
    }
    aggregator.finish(&mut |_| records += 1);
    // An event has two bytes at the least, but zstd makes many of few.
    assert!(items <= data.len() as u64 * 40_000 && records <= items, "{items} items, {records} records");
    assert!(import.notes().warnings.len() <= 20);
}
