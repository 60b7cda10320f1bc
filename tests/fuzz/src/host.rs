// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the host has seen (`host.eft`). In: the file, read once as it is and once with its checksums made right, so that
//! damage comes through to what lies behind them. Demanded: an end; not more events than the blocks have room for; those
//! that were read can be written and read again; times of the guest are made of whatever times there are.

use symbolizer::host::axes;
use symbolizer::host::file::{self, HostFile, MOST_EVENTS, Writer};
use symbolizer::host::placed::Places;
use symbolizer::trace_dir::HOST_FILE;

use super::{repaired, scratch};

/// Bytes of a block's header; its checksums, and how long its payload is.
const HEADER: usize = 88;
const PAYLOAD_SIZE: usize = 72;
const PAYLOAD_CRC: usize = 76;
const HEADER_CRC: usize = 84;

/// Reads it.
pub fn run(data: &[u8]) {
    repaired::twice(data, repair, read);
}

/// Makes the checksums right, block by block; whether that changed anything.
fn repair(data: &mut [u8]) -> bool {
    let (mut at, mut changed) = (0, false);
    while let Some(header) = data.get(at..at + HEADER) {
        let size = header[PAYLOAD_SIZE..].first_chunk().map_or(0, |size| u32::from_le_bytes(*size)) as usize;
        let start = at + HEADER;
        let Some(payload) = data.get(start..start.saturating_add(size)) else { break };
        let payload_crc = crc32fast::hash(payload);
        changed |= put(data, at + PAYLOAD_CRC, payload_crc);
        let header_crc = crc32fast::hash(&data[at..at + HEADER_CRC]);
        changed |= put(data, at + HEADER_CRC, header_crc);
        at = start + size;
    }
    changed
}

/// Whether it was another.
fn put(data: &mut [u8], at: usize, crc: u32) -> bool {
    let field = &mut data[at..at + 4];
    let changed = field != crc.to_le_bytes();
    field.copy_from_slice(&crc.to_le_bytes());
    changed
}

fn read(data: &[u8]) {
    let dir = scratch::directory();
    std::fs::write(dir.path().join(HOST_FILE), data).expect("space");
    let file = match HostFile::open(dir.path()) {
        Ok(file) => file.expect("it is there"),
        Err(error) => {
            assert!(error.to_string().contains(HOST_FILE));
            return;
        }
    };
    assert!(file.gaps().len() as u64 <= file.gap_count());
    let blocks = data.len() / HEADER;
    let axes = axes::axes(&file, Some(1_000_000));
    for (vcpu, axis) in &axes.by_vcpu {
        let _: u64 = axis.error();
        let placed = Places::new(file.events(*vcpu), axis).count();
        assert!(placed <= blocks * MOST_EVENTS, "{placed} places in {blocks} blocks");
    }
    let clock = file.clock();
    let trace = file::read(dir.path()).expect("it was opened").expect("it is there");
    assert!(trace.events.len() <= blocks * MOST_EVENTS, "{} events in {blocks} blocks", trace.events.len());
    // What is written of them is read as it was.
    let again = scratch::directory();
    let mut writer = Writer::create(again.path(), &clock).expect("space");
    trace.events.iter().for_each(|event| writer.push(event).expect("space"));
    writer.finish().expect("space");
    let second = file::read(again.path()).expect("just written").expect("it is there");
    assert!(second.events == trace.events && second.clock == clock && second.lost == 0);
}
