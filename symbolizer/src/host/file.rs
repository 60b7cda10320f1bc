// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `host.eft` in a trace directory: what the host has seen; TRACE.md describes it. In: [`HostEvent`]s in the order in
//! which they were found ([`Writer`]), or a path ([`HostFile`]). Out: the file, or the events of each vCPU in that
//! order, a block at a time. What is damaged is a [`Gap`]; the blocks around it are read. Never here: what events
//! mean.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use zerocopy::{FromBytes, FromZeros as _, Immutable, IntoBytes, KnownLayout};

use super::HostError;
use super::clock::{Clock, Conversion};
use super::event::{Exit, HostEvent, Hypercall};
use crate::trace_dir::meta::MAX_CPUS;
use crate::trace_dir::{Gap, HOST_FILE};

/// Version of the blocks.
pub const VERSION: u32 = 1;

const MAGIC: u64 = u64::from_le_bytes(*b"eftHost\n");

/// Most events of a block.
pub const MOST_EVENTS: usize = 4096;

/// Most gaps that are kept with their reason; further ones are counted.
const MOST_GAPS: usize = 100;

/// Bytes that are looked through at once for the next block behind damage.
const SEARCH_STEP: usize = 1 << 16;

/// [`BlockHeader::flags`]: nothing follows, the recorder has come to its end.
const LAST: u32 = 1;

/// First bytes of a block, little-endian; a block is of one vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct BlockHeader {
    /// [`MAGIC`].
    magic: u64,
    /// [`VERSION`].
    version: u32,
    /// `size_of::<BlockHeader>()` of the writer; the payload follows.
    header_size: u32,
    /// Number of the block in the file, from 0.
    number: u64,
    /// Events that the recorder has lost up to here.
    lost: u64,
    /// Time of the first event; those of the records count from it.
    first: u64,
    /// [`Conversion::zero`]; of [`Clock::Ticks`] the error.
    zero: u64,
    /// [`Conversion::mult`].
    mult: u32,
    /// [`Conversion::shift`].
    shift: u32,
    /// 1: [`Clock::Tsc`], 2: [`Clock::Ns`] without a conversion, 3: with one, 4: [`Clock::Ticks`], as far as known then.
    clock: u32,
    /// The vCPU.
    vcpu: u32,
    /// Records.
    events: u32,
    /// [`LAST`], or 0.
    flags: u32,
    /// Bytes of the payload, packed by zstd.
    payload_size: u32,
    /// CRC-32 of the payload.
    payload_crc: u32,
    /// Zero.
    reserved: u32,
    /// CRC-32 of the header up to here.
    header_crc: u32,
}

const HEADER_SIZE: usize = size_of::<BlockHeader>();

const _: () = assert!(HEADER_SIZE == 88);

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Record {
    /// Since [`BlockHeader::first`], wrapping.
    time: u64,
    /// How long; of an offset: the offset.
    length: u64,
    rip: u64,
    info: [u64; 2],
    number: u64,
    args: [u64; 4],
    thread: u32,
    cpus: [u32; 2],
    isa: u32,
    reason: u32,
    /// See the constants.
    kind: u32,
}

const RECORD_SIZE: usize = size_of::<Record>();

const _: () = assert!(RECORD_SIZE == 104);

const EXIT: u32 = 1;
const HYPERCALL: u32 = 2;
const PREEMPTED: u32 = 3;
const ASLEEP: u32 = 4;
const OFFSET: u32 = 5;

impl Record {
    fn of(event: &HostEvent, first: u64) -> Record {
        let mut record = Record::new_zeroed();
        record.time = time(event).wrapping_sub(first);
        match *event {
            HostEvent::Exit(Exit { thread, cpus, length, isa, reason, rip, info, hypercall, .. }) => {
                let kind = if hypercall.is_some() { HYPERCALL } else { EXIT };
                let Hypercall { number, args } = hypercall.unwrap_or(Hypercall { number: 0, args: [0; 4] });
                let (time, cpus) = (record.time, [cpus.0, cpus.1]);
                record = Record { time, length, rip, info, number, args, thread, cpus, isa, reason, kind };
            }
            HostEvent::Away { length, preempted, .. } => {
                record.length = length;
                record.kind = if preempted { PREEMPTED } else { ASLEEP };
            }
            HostEvent::Offset { next, .. } => (record.length, record.kind) = (next, OFFSET),
        }
        record
    }

    /// `None` for a kind that a later version may know.
    fn event(&self, vcpu: u32, first: u64) -> Option<HostEvent> {
        let time = first.wrapping_add(self.time);
        let Record { length, rip, info, number, args, thread, cpus, isa, reason, kind, .. } = *self;
        Some(match kind {
            EXIT | HYPERCALL => {
                let hypercall = (kind == HYPERCALL).then_some(Hypercall { number, args });
                let cpus = (cpus[0], cpus[1]);
                HostEvent::Exit(Exit { vcpu, thread, cpus, time, length, isa, reason, rip, info, hypercall })
            }
            PREEMPTED | ASLEEP => HostEvent::Away { vcpu, time, length, preempted: kind == PREEMPTED },
            OFFSET => HostEvent::Offset { vcpu, time, next: length },
            _ => return None,
        })
    }
}

/// The vCPU of an event.
pub fn vcpu(event: &HostEvent) -> u32 {
    match *event {
        HostEvent::Exit(Exit { vcpu, .. }) | HostEvent::Away { vcpu, .. } | HostEvent::Offset { vcpu, .. } => vcpu,
    }
}

/// When it was, or began.
pub fn time(event: &HostEvent) -> u64 {
    match *event {
        HostEvent::Exit(Exit { time, .. }) | HostEvent::Away { time, .. } | HostEvent::Offset { time, .. } => time,
    }
}

impl BlockHeader {
    fn crc(&self) -> u32 {
        crc32fast::hash(&self.as_bytes()[..HEADER_SIZE - 4])
    }

    fn set_clock(&mut self, clock: Clock) {
        (self.clock, self.zero, self.mult, self.shift) = match clock {
            Clock::Tsc => (1, 0, 0, 0),
            Clock::Ticks { error } => (4, error, 0, 0),
            Clock::Ns { conversion: None } => (2, 0, 0, 0),
            Clock::Ns { conversion: Some(c) } => (3, c.zero, c.mult, u32::from(c.shift)),
        };
    }

    fn clock(&self) -> Option<Clock> {
        let conversion =
            || Some(Conversion { zero: self.zero, mult: self.mult, shift: u16::try_from(self.shift).ok()? });
        match self.clock {
            1 => Some(Clock::Tsc),
            2 => Some(Clock::Ns { conversion: None }),
            3 => Some(Clock::Ns { conversion: Some(conversion()?) }),
            4 => Some(Clock::Ticks { error: self.zero }),
            _ => None,
        }
    }

    fn parse(bytes: &[u8; HEADER_SIZE]) -> Result<BlockHeader, &'static str> {
        let header = BlockHeader::read_from_bytes(bytes).map_err(|_| "a block header has another size")?;
        if header.magic != MAGIC {
            Err("no block begins here")
        } else if header.header_crc != header.crc() {
            Err("the checksum of a block header is wrong")
        } else if header.version != VERSION || header.header_size as usize != HEADER_SIZE {
            Err("a block of another format version")
        } else if header.events as usize > MOST_EVENTS
            || header.payload_size as usize > zstd::zstd_safe::compress_bound(MOST_EVENTS * RECORD_SIZE)
            || header.vcpu >= MAX_CPUS
            || header.clock().is_none()
        {
            Err("a block header says what cannot be")
        } else {
            Ok(header)
        }
    }
}

/// Writes the file. Memory: a block for each vCPU.
pub struct Writer {
    path: PathBuf,
    out: BufWriter<File>,
    packer: zstd::bulk::Compressor<'static>,
    clock: Clock,
    waiting: BTreeMap<u32, Vec<HostEvent>>,
    number: u64,
    lost: u64,
}

impl Writer {
    /// A new file in the trace directory `dir`, in place of an older one.
    ///
    /// # Errors
    /// I/O.
    pub fn create(dir: &Path, clock: &Clock) -> Result<Writer, HostError> {
        let path = dir.join(HOST_FILE);
        let io = |cause| HostError::Io { path: path.clone(), action: "write", cause };
        let out = BufWriter::new(File::create(&path).map_err(io)?);
        let packer = zstd::bulk::Compressor::new(1).map_err(io)?;
        let waiting = BTreeMap::new();
        Ok(Writer { out, packer, clock: *clock, waiting, number: 0, lost: 0, path })
    }

    /// Adds an event. Events of a vCPU keep their order; one of a vCPU that no trace can have counts as lost.
    ///
    /// # Errors
    /// I/O.
    pub fn push(&mut self, event: &HostEvent) -> Result<(), HostError> {
        let vcpu = vcpu(event);
        if vcpu >= MAX_CPUS {
            self.lose(1);
            return Ok(());
        }
        let waiting = self.waiting.entry(vcpu).or_default();
        waiting.push(*event);
        if waiting.len() < MOST_EVENTS {
            return Ok(());
        }
        let events = std::mem::take(waiting);
        self.block(vcpu, &events, 0)
    }

    /// What times of the blocks are that are written from here on. A reader takes the largest error of all.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// The recorder has lost so many events.
    pub fn lose(&mut self, count: u64) {
        self.lost = self.lost.saturating_add(count);
    }

    /// Writes what is left, and that it is the end.
    ///
    /// # Errors
    /// I/O.
    pub fn finish(mut self) -> Result<(), HostError> {
        for (vcpu, events) in std::mem::take(&mut self.waiting) {
            self.block(vcpu, &events, 0)?;
        }
        self.block(0, &[], LAST)?;
        let Writer { path, mut out, .. } = self;
        out.flush().map_err(|cause| HostError::Io { path, action: "write", cause })
    }

    fn block(&mut self, vcpu: u32, events: &[HostEvent], flags: u32) -> Result<(), HostError> {
        if events.is_empty() && flags == 0 {
            return Ok(());
        }
        let first = events.first().map_or(0, time);
        let records: Vec<Record> = events.iter().map(|event| Record::of(event, first)).collect();
        let io = |cause| HostError::Io { path: self.path.clone(), action: "write", cause };
        let payload = self.packer.compress(records.as_bytes()).map_err(io)?;
        let mut header = BlockHeader::new_zeroed();
        (header.magic, header.version, header.header_size) = (MAGIC, VERSION, HEADER_SIZE as u32);
        (header.number, header.lost, header.first) = (self.number, self.lost, first);
        (header.vcpu, header.events, header.flags) = (vcpu, events.len() as u32, flags);
        header.set_clock(self.clock);
        header.payload_size = payload.len() as u32;
        header.payload_crc = crc32fast::hash(&payload);
        header.header_crc = header.crc();
        self.number += 1;
        self.out.write_all(header.as_bytes()).and_then(|()| self.out.write_all(&payload)).map_err(io)
    }
}

/// The file, of which the headers were read. Memory: 100 bytes for each block of [`MOST_EVENTS`] events.
#[derive(Debug)]
pub struct HostFile {
    file: File,
    clock: Clock,
    /// Where the payload begins, and the header.
    blocks: Vec<(u64, BlockHeader)>,
    gaps: Vec<Gap>,
    gap_count: u64,
    lost: u64,
}

impl HostFile {
    /// Opens the file of the trace directory `dir`; `None` if there is none.
    ///
    /// # Errors
    /// I/O, or no block of it can be read.
    pub fn open(dir: &Path) -> Result<Option<HostFile>, HostError> {
        let path = dir.join(HOST_FILE);
        let io = |cause| HostError::Io { path: path.clone(), action: "read", cause };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let (blocks, gaps) = (Vec::new(), Vec::new());
        let mut found = HostFile { file, clock: Clock::Tsc, blocks, gaps, gap_count: 0, lost: 0 };
        found.scan().map_err(io)?;
        let Some((_, first)) = found.blocks.first() else {
            return Err(HostError::Unreadable { path, reason: "no block of host events in it can be read" });
        };
        found.clock = first.clock().unwrap_or(Clock::Tsc);
        for (_, header) in &found.blocks {
            found.clock = match (found.clock, header.clock()) {
                (Clock::Ticks { error }, Some(Clock::Ticks { error: other })) => {
                    Clock::Ticks { error: error.max(other) }
                }
                (clock, Some(other)) if clock == other => clock,
                _ => return Err(HostError::Unreadable { path, reason: "its blocks are of two clocks" }),
            };
        }
        Ok(Some(found))
    }

    fn scan(&mut self) -> std::io::Result<()> {
        let length = self.file.metadata()?.len();
        let (mut at, mut expected, mut ended) = (0, 0, false);
        while at < length {
            match self.header_at(at, length)? {
                Ok(header) => {
                    if header.number != expected {
                        self.gap(at, format!("block {} follows where block {expected} should", header.number));
                    }
                    expected = header.number.wrapping_add(1);
                    self.lost = self.lost.max(header.lost);
                    ended = header.flags & LAST != 0;
                    let payload = at + HEADER_SIZE as u64;
                    self.blocks.push((payload, header));
                    at = payload + u64::from(header.payload_size);
                }
                Err(reason) => {
                    let next = self.search(at + 1, length)?.unwrap_or(length);
                    self.gap(at, format!("{reason}; {} bytes are skipped", next - at));
                    at = next;
                }
            }
        }
        if !ended {
            self.gap(length, "its end is missing: the recorder was killed, or the file is cut off".to_owned());
        }
        Ok(())
    }

    fn header_at(&self, at: u64, length: u64) -> std::io::Result<Result<BlockHeader, &'static str>> {
        if length - at < HEADER_SIZE as u64 {
            return Ok(Err("the file ends inside a block header"));
        }
        let mut bytes = [0; HEADER_SIZE];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(BlockHeader::parse(&bytes).and_then(|header| {
            let whole = u64::from(header.payload_size) <= length - at - HEADER_SIZE as u64;
            whole.then_some(header).ok_or("the file ends inside a block")
        }))
    }

    /// The next offset from `at` on where a valid header lies.
    fn search(&self, mut at: u64, length: u64) -> std::io::Result<Option<u64>> {
        let magic = MAGIC.to_le_bytes();
        let mut buffer = vec![0; SEARCH_STEP];
        while at + HEADER_SIZE as u64 <= length {
            let want = (length - at).min(SEARCH_STEP as u64) as usize;
            let got = &mut buffer[..want];
            self.file.read_exact_at(got, at)?;
            for (index, _) in got.windows(magic.len()).enumerate().filter(|(_, window)| *window == magic) {
                let offset = at + index as u64;
                if self.header_at(offset, length)?.is_ok() {
                    return Ok(Some(offset));
                }
            }
            // Windows overlap, lest a magic number on the border be missed.
            at += (want - (magic.len() - 1)) as u64;
        }
        Ok(None)
    }

    fn gap(&mut self, offset: u64, reason: String) {
        self.gap_count += 1;
        if self.gaps.len() < MOST_GAPS {
            self.gaps.push(Gap { offset, reason });
        }
    }

    /// What its times are.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// What cannot be read, as far as the headers tell.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// How many gaps there are.
    pub fn gap_count(&self) -> u64 {
        self.gap_count
    }

    /// Events that the recorder has lost.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The vCPUs of which there are events, ascending.
    pub fn vcpus(&self) -> Vec<u32> {
        let some = self.blocks.iter().filter(|(_, header)| header.events > 0);
        let mut vcpus: Vec<u32> = some.map(|(_, header)| header.vcpu).collect();
        vcpus.sort_unstable();
        vcpus.dedup();
        vcpus
    }

    /// The events of a vCPU, in the order in which they were written.
    pub fn events(&self, vcpu: u32) -> Events<'_> {
        Events { file: self, vcpu, next: 0, records: Vec::new(), at: 0, first: 0, damaged: 0 }
    }

    fn records(&self, at: u64, header: &BlockHeader) -> Result<Vec<Record>, &'static str> {
        let mut payload = vec![0; header.payload_size as usize];
        self.file.read_exact_at(&mut payload, at).map_err(|_| "a block cannot be read")?;
        if crc32fast::hash(&payload) != header.payload_crc {
            return Err("the checksum of a block's payload is wrong");
        }
        let size = header.events as usize * RECORD_SIZE;
        let plain = zstd::bulk::decompress(&payload, size).map_err(|_| "a block does not decompress")?;
        let records = <[Record]>::ref_from_bytes(&plain).ok().filter(|records| records.len() == header.events as usize);
        // The buffer may lie anywhere; then it is read record by record.
        match records {
            Some(records) => Ok(records.to_vec()),
            None if plain.len() == size => plain
                .chunks_exact(RECORD_SIZE)
                .map(|bytes| Record::read_from_bytes(bytes).map_err(|_| "a record has another size"))
                .collect(),
            None => Err("a block does not decompress to its size"),
        }
    }
}

/// The events of a vCPU; see [`HostFile::events`].
#[derive(Debug)]
pub struct Events<'a> {
    file: &'a HostFile,
    vcpu: u32,
    next: usize,
    records: Vec<Record>,
    at: usize,
    first: u64,
    damaged: u64,
}

impl Events<'_> {
    /// Events of blocks that could not be read.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }
}

impl Iterator for Events<'_> {
    type Item = HostEvent;

    fn next(&mut self) -> Option<HostEvent> {
        loop {
            while let Some(record) = self.records.get(self.at) {
                self.at += 1;
                match record.event(self.vcpu, self.first) {
                    Some(event) => return Some(event),
                    None => self.damaged += 1,
                }
            }
            let (at, header) = self.file.blocks.get(self.next)?;
            self.next += 1;
            if header.vcpu != self.vcpu || header.events == 0 {
                continue;
            }
            match self.file.records(*at, header) {
                Ok(records) => (self.records, self.at, self.first) = (records, 0, header.first),
                Err(_) => self.damaged = self.damaged.saturating_add(u64::from(header.events)),
            }
        }
    }
}

/// All of a file at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTrace {
    /// What the times are.
    pub clock: Clock,
    /// By time.
    pub events: Vec<HostEvent>,
    /// Events that the recorder has lost, or that cannot be read.
    pub lost: u64,
}

/// Reads the file of the trace directory `dir`, whole; `None` if there is none. Reports read [`HostFile`] instead,
/// whose memory does not grow with the events.
///
/// # Errors
/// Those of [`HostFile::open`].
pub fn read(dir: &Path) -> Result<Option<HostTrace>, HostError> {
    let Some(file) = HostFile::open(dir)? else { return Ok(None) };
    let (mut all, mut lost) = (Vec::new(), file.lost);
    for vcpu in file.vcpus() {
        let mut events = file.events(vcpu);
        all.extend(events.by_ref());
        lost = lost.saturating_add(events.damaged());
    }
    all.sort_by_key(time);
    Ok(Some(HostTrace { clock: file.clock, events: all, lost }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(vcpu: u32, time: u64, hypercall: Option<Hypercall>) -> HostEvent {
        let (cpus, info) = ((vcpu, vcpu + 1), [time, u64::MAX]);
        HostEvent::Exit(Exit { vcpu, thread: 7, cpus, time, length: 5, isa: 2, reason: 0x81, rip: 9, info, hypercall })
    }

    fn events() -> Vec<HostEvent> {
        let call = |number| Some(Hypercall { number, args: [1, 2, 3, u64::MAX] });
        let mut events = vec![HostEvent::Offset { vcpu: 0, time: 1, next: u64::MAX - 3 }];
        events.push(HostEvent::Offset { vcpu: 1, time: 2, next: 3 });
        for time in 10..10_000 {
            events.push(exit((time % 2) as u32, time, call(time).filter(|_| time % 3 == 0)));
            if time % 100 == 0 {
                events.push(HostEvent::Away { vcpu: 0, time, length: 3, preempted: time % 200 == 0 });
            }
        }
        events
    }

    fn written(clock: Clock) -> (tempfile::TempDir, Vec<HostEvent>) {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(dir.path(), &clock).unwrap();
        let events = events();
        events.iter().for_each(|event| writer.push(event).unwrap());
        writer.lose(4);
        writer.finish().unwrap();
        (dir, events)
    }

    #[test]
    fn what_was_written_is_read_in_order_with_its_clock() {
        let conversion = Conversion { zero: 1, mult: 2, shift: 3 };
        let others = [Clock::Ns { conversion: None }, Clock::Ns { conversion: Some(conversion) }];
        for clock in [Clock::Tsc, Clock::Ticks { error: 77 }].into_iter().chain(others) {
            let (dir, events) = written(clock);
            let trace = read(dir.path()).unwrap().unwrap();
            assert_eq!((trace.clock, trace.lost), (clock, 4));
            assert_eq!(trace.events.len(), events.len());
            let file = HostFile::open(dir.path()).unwrap().unwrap();
            assert_eq!((file.vcpus(), file.gaps()), (vec![0, 1], &[][..]));
            for of in [0, 1] {
                assert!(file.events(of).eq(events.iter().copied().filter(|event| vcpu(event) == of)));
            }
        }
    }

    #[test]
    fn without_a_file_there_is_none_and_an_empty_recording_has_no_events() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        Writer::create(dir.path(), &Clock::Tsc).unwrap().finish().unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(HostTrace { clock: Clock::Tsc, events: vec![], lost: 0 }));
        std::fs::write(dir.path().join(HOST_FILE), b"something else").unwrap();
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("host.eft") && error.contains("move it away"), "{error}");
    }

    #[test]
    fn a_vcpu_that_no_trace_can_have_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(dir.path(), &Clock::Tsc).unwrap();
        writer.push(&exit(MAX_CPUS, 5, None)).unwrap();
        writer.finish().unwrap();
        assert_eq!(read(dir.path()).unwrap().unwrap().lost, 1);
    }

    #[test]
    fn damage_is_a_gap_and_the_rest_is_read() {
        let (dir, events) = written(Clock::Tsc);
        let path = dir.path().join(HOST_FILE);
        let whole = std::fs::read(&path).unwrap();
        // In a payload: that block's events are lost, and counted.
        let mut bytes = whole.clone();
        bytes[HEADER_SIZE + 20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let trace = read(dir.path()).unwrap().unwrap();
        assert_eq!(trace.lost, 4 + MOST_EVENTS as u64);
        assert_eq!(trace.events.len(), events.len() - MOST_EVENTS);
        // In a header: the block is skipped.
        let mut bytes = whole.clone();
        bytes[30] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let file = HostFile::open(dir.path()).unwrap().unwrap();
        assert_eq!(file.gap_count(), 2);
        assert_eq!(read(dir.path()).unwrap().unwrap().events.len(), events.len() - MOST_EVENTS);
        // Cut off, also between two blocks: that is seen.
        for cut in [whole.len() - 1, whole.len() - HEADER_SIZE - 9] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let file = HostFile::open(dir.path()).unwrap().unwrap();
            assert!(file.gaps().iter().any(|gap| gap.reason.contains("end is missing")), "{:?}", file.gaps());
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

        /// Bytes of a whole file that were changed, cut out or put in anywhere, with and without checksums put right:
        /// it is read to its end or refused, and no more events come than there were.
        #[test]
        fn any_file_is_read_or_refused(
            changes in proptest::collection::vec((0usize..1 << 20, 0u8..4, proptest::prelude::any::<u64>()), 0..6),
            repair in proptest::prelude::any::<bool>(),
        ) {
            let (dir, events) = written(Clock::Tsc);
            let path = dir.path().join(HOST_FILE);
            let mut bytes = std::fs::read(&path).unwrap();
            for (at, kind, value) in changes {
                let at = at % bytes.len().max(1);
                match kind {
                    // Fields of the first header, where it hurts most.
                    0 => {
                        let at = at % HEADER_SIZE / 4 * 4;
                        if let Some(field) = bytes.get_mut(at..at + 4) {
                            field.copy_from_slice(&value.to_le_bytes()[..4]);
                        }
                    }
                    1 => bytes.truncate(at),
                    2 => drop(bytes.drain(at..(at + 97).min(bytes.len()))),
                    _ => drop(bytes.splice(at..at, value.to_le_bytes())),
                }
            }
            if repair && bytes.len() > HEADER_SIZE {
                let size = u32::from_le_bytes(bytes[72..76].try_into().unwrap()) as usize;
                let crc = bytes.get(HEADER_SIZE..HEADER_SIZE.saturating_add(size)).map(crc32fast::hash).unwrap_or(0);
                bytes[76..80].copy_from_slice(&crc.to_le_bytes());
                let crc = crc32fast::hash(&bytes[..84]);
                bytes[84..88].copy_from_slice(&crc.to_le_bytes());
            }
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(Some(trace)) = read(dir.path()) {
                proptest::prop_assert!(trace.events.len() <= events.len());
            }
            if let Ok(Some(file)) = HostFile::open(dir.path()) {
                let axes = super::super::axes::axes(&file, Some(1_000_000));
                for (vcpu, axis) in &axes.by_vcpu {
                    super::super::placed::Places::new(file.events(*vcpu), axis).for_each(drop);
                }
            }
        }
    }
}
