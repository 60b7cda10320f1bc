// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Takes closed chunks out of the rings. In: a [`SharedRegion`] that a guest writes to. Out: chunks
//! for a [`TraceWriter`], and counters. Never here: a loop whose length the guest can choose, a word
//! changed on the way, waiting.
//!
//! A chunk is ready once `produced` has passed it. It is copied, validated, zeroed in the shared
//! memory (so that slots not written can be told later), and only then counted in `consumed`, which
//! gives it back to the guest.

use super::ending::Ending;
use super::pending::{Pending, pending};
use super::region::SharedRegion;
use crate::trace_dir::meta::CpuMeta;
use crate::trace_dir::{TraceError, TraceWriter};
use early_ftrace_format::decode::Decoder;
use early_ftrace_format::encode::Encoder;
use early_ftrace_format::event::Event;
use early_ftrace_format::shared::{CHUNK_MAGIC, CHUNK_SIZE, ChunkHeader};
use early_ftrace_format::word::EndReason;
use std::time::{Duration, Instant};
use zerocopy::{FromBytes, IntoBytes};

/// How long a word that was reserved but not written is waited for: its writer was interrupted, and
/// interrupts are short. After that the chunk is taken as it is.
pub const LATE_PATIENCE: Duration = Duration::from_millis(5);

/// Most warnings that are kept; a hostile guest could cause any number.
const WARNINGS: usize = 20;

const ALL_WORDS: usize = CHUNK_SIZE as usize / 8;
const HEADER_WORDS: usize = size_of::<ChunkHeader>() / 8;

/// What one pass over the rings did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pass {
    /// Chunks taken.
    pub chunks: u64,
    /// How full the fullest ring was when it was looked at, 0 to 1.
    pub fill: f64,
}

struct CpuDrain {
    cpu: u32,
    /// Number of the next chunk to take: our own copy, the guest could change the shared one.
    next: u64,
    late_since: Option<Instant>,
    /// The last chunk taken, for the time of the end.
    last: Option<(ChunkHeader, Vec<u64>)>,
    unwritten: u64,
    damaged: u64,
    /// Closed chunks that are left in the ring.
    held: u64,
}

/// Drains all rings of a region.
pub struct Drainer {
    region: SharedRegion,
    cpus: Vec<CpuDrain>,
    copy: Vec<u64>,
    warnings: Vec<String>,
    ending: Option<Ending>,
}

impl Drainer {
    /// Begins where the last consumer, if there was one, has stopped; tells the guest so.
    pub fn new(region: SharedRegion) -> Drainer {
        let cpus = (0..region.header().cpus)
            .map(|cpu| CpuDrain {
                cpu,
                next: region.control(cpu).consumed,
                late_since: None,
                last: None,
                unwritten: 0,
                damaged: 0,
                held: 0,
            })
            .collect();
        region.set_attached(true);
        Drainer { region, cpus, copy: vec![0; ALL_WORDS], warnings: Vec::new(), ending: None }
    }

    /// The same; the words of each CPU end at `ending`, if that is in the last two chunks.
    pub fn ending_at(mut self, ending: Ending) -> Drainer {
        self.cpus.iter_mut().for_each(|drain| drain.held = 1);
        self.ending = Some(ending);
        self
    }

    /// The region.
    pub fn region(&self) -> &SharedRegion {
        &self.region
    }

    /// What was found wrong with the guest's side so far.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Fills in the guest's counters.
    pub fn count(&self, per_cpu: &mut Vec<CpuMeta>) {
        per_cpu.resize(self.cpus.len(), CpuMeta::default());
        for (entry, drain) in per_cpu.iter_mut().zip(&self.cpus) {
            let control = self.region.control(drain.cpu);
            entry.cpu = drain.cpu;
            entry.lost = control.lost;
            entry.waits = control.waits;
            entry.wait_ticks = control.wait_ticks;
            entry.nmi_lost = control.nmi_lost;
            entry.unwritten = drain.unwritten;
            entry.damaged_chunks = drain.damaged;
        }
    }

    /// Takes every chunk that is ready; at most a ring's worth of each CPU.
    ///
    /// # Errors
    /// When the trace cannot be written; the chunk at hand was not given back to the guest then.
    pub fn pass(&mut self, writer: &mut TraceWriter) -> Result<Pass, TraceError> {
        self.take_ready(writer, LATE_PATIENCE)
    }

    fn take_ready(&mut self, writer: &mut TraceWriter, patience: Duration) -> Result<Pass, TraceError> {
        // Said again each time: a guest that was reset has the header as it was in the image.
        self.region.set_attached(true);
        let mut pass = Pass::default();
        let chunks = u64::from(self.region.header().chunks_per_cpu);
        for drain in &mut self.cpus {
            let produced = self.region.control(drain.cpu).produced;
            let mut ready = produced.wrapping_sub(drain.next);
            if ready > chunks {
                ready = drain.resync(&self.region, produced, &mut self.warnings);
            }
            // What is held back never becomes less: it must not count.
            let taken = ready.saturating_sub(drain.held);
            for _ in 0..taken {
                if !drain.take(&self.region, &mut self.copy, patience, writer, &mut self.warnings)? {
                    break;
                }
                pass.chunks += 1;
            }
            // A guest that has yet to write a word must run to do so.
            if drain.late_since.is_none() {
                pass.fill = pass.fill.max(taken as f64 / chunks as f64);
            }
        }
        Ok(pass)
    }

    /// The last pass: takes what is ready and the open chunks, and ends each CPU's stream.
    ///
    /// # Errors
    /// When the trace cannot be written.
    pub fn finish(&mut self, writer: &mut TraceWriter, reason: EndReason) -> Result<(), TraceError> {
        // Only a boot that came to its end is cut there: what others did behind it is what one looks for.
        if reason != EndReason::PowerOff {
            self.ending = None;
            self.cpus.iter_mut().for_each(|drain| drain.held = 0);
        }
        if let Some(ending) = &self.ending {
            for drain in &mut self.cpus {
                drain.held = u64::from(drain.ends_in_closed(&self.region, ending));
            }
        }
        self.take_ready(writer, Duration::ZERO)?;
        // A guest that goes on will write them itself.
        let mut pending = if reason == EndReason::Stopped { Vec::new() } else { pending(&self.region) };
        let chunks = u64::from(self.region.header().chunks_per_cpu);
        for drain in &mut self.cpus {
            let Some(at) = self.region.header().chunk_offset(drain.cpu, drain.next % chunks) else { continue };
            self.region.copy_words(at, &mut self.copy);
            let (header, words) = drain.split(&self.copy);
            let opened = header.filter(|header| drain.is_next(header));
            let cut = opened.and_then(|header| self.ending.as_ref()?.find(drain.text(&self.region), header.tsc, words));
            let words = &words[..cut.unwrap_or(words.len())];
            if let Some(header) = opened {
                let end = words.iter().rposition(|&word| word as u32 != 0).map_or(0, |last| last + 1);
                drain.unwritten += unwritten(&words[..end]);
                drain.last = Some((header, words[..end].to_vec()));
            }
            let Some((header, words)) = &mut drain.last else { continue };
            // What was pending at the cut came behind it.
            let pending = if cut.is_some() { &mut Vec::new() } else { &mut pending };
            end_stream(header, words, opened.is_none(), pending, reason);
            writer.append_chunk(drain.cpu, header, words)?;
        }
        self.region.set_attached(false);
        Ok(())
    }
}

/// Adds the end to a CPU's last words, and before it the entry that its running task had not written;
/// `taken` says that those words were written already.
pub(super) fn end_stream(
    header: &mut ChunkHeader,
    words: &mut Vec<u64>,
    taken: bool,
    pending: &mut Vec<Pending>,
    reason: EndReason,
) {
    let mut decoder = Decoder::new(header.tsc);
    let mut running = header.pid;
    for &word in words.iter() {
        if let Some(Event::Switch { pid, .. }) = decoder.push(word) {
            running = pid;
        }
    }
    let mut encoder = Encoder::resume(decoder.base());
    if taken {
        let time = decoder.base().anchor;
        *header = ChunkHeader { seq: header.seq.wrapping_add(1), tsc: time, lost: 0, pid: running, ..*header };
        words.clear();
        encoder = Encoder::new(time);
    }
    if let Some(at) = pending.iter().position(|entry| entry.pid == running) {
        let written = encoder.push(pending.swap_remove(at).entry, |word| words.push(word));
        debug_assert!(written.is_ok(), "its site was checked");
    }
    let time = encoder.base().anchor;
    let end = encoder.push(Event::End { reason, time }, |word| words.push(word));
    debug_assert!(end.is_ok(), "an end always has a word");
}

fn unwritten(words: &[u64]) -> u64 {
    words.iter().filter(|&&word| word as u32 == 0).count() as u64
}

impl CpuDrain {
    /// Takes the next chunk; false when it is not complete yet.
    fn take(
        &mut self,
        region: &SharedRegion,
        copy: &mut [u64],
        patience: Duration,
        writer: &mut TraceWriter,
        warnings: &mut Vec<String>,
    ) -> Result<bool, TraceError> {
        let header = region.header();
        let Some(at) = header.chunk_offset(self.cpu, self.next % u64::from(header.chunks_per_cpu)) else {
            return Ok(false);
        };
        region.copy_words(at, copy);
        let (header, words) = self.split(copy);
        match header.filter(|header| self.is_next(header)) {
            Some(header) => {
                let missing = unwritten(words);
                if missing > 0 && !patience.is_zero() {
                    // The first look is never the last: give its writer at least until the next pass.
                    match self.late_since {
                        None => {
                            self.late_since = Some(Instant::now());
                            return Ok(false);
                        }
                        Some(since) if since.elapsed() < patience => return Ok(false),
                        Some(_) => {}
                    }
                }
                self.late_since = None;
                writer.append_chunk(self.cpu, &header, words)?;
                self.unwritten += missing;
                let (_, mut last) = self.last.take().unwrap_or_default();
                last.clear();
                last.extend_from_slice(words);
                self.last = Some((header, last));
            }
            None => {
                self.damaged += 1;
                let text = format!("CPU {}: chunk {} has a damaged header and was left out", self.cpu, self.next);
                warn(warnings, text);
            }
        }
        region.zero(at, ALL_WORDS);
        self.next = self.next.wrapping_add(1);
        region.set_consumed(self.cpu, self.next);
        Ok(true)
    }

    /// Header and words of a copied chunk; no header if its magic number is not there.
    fn split<'a>(&self, copy: &'a [u64]) -> (Option<ChunkHeader>, &'a [u64]) {
        let (head, words) = copy.split_at(HEADER_WORDS);
        let header = ChunkHeader::read_from_bytes(head.as_bytes()).ok();
        (header.filter(|header| header.magic == CHUNK_MAGIC), words)
    }

    /// Whether the words end in the last closed chunk, and not in the open one.
    fn ends_in_closed(&self, region: &SharedRegion, ending: &Ending) -> bool {
        let produced = region.control(self.cpu).produced;
        let mut copy = vec![0; ALL_WORDS];
        let mut ends_in = |number: u64| {
            let header = region.header();
            let at = header.chunk_offset(self.cpu, number % u64::from(header.chunks_per_cpu))?;
            region.copy_words(at, &mut copy);
            let (header, words) = self.split(&copy);
            let header = header.filter(|header| header.cpu == self.cpu && header.seq == number)?;
            ending.find(self.text(region), header.tsc, words)
        };
        produced > self.next && ends_in(produced).is_none() && ends_in(produced.wrapping_sub(1)).is_some()
    }

    /// Where the kernel's text begins, as it runs.
    fn text(&self, region: &SharedRegion) -> u64 {
        region.header().text_start
    }

    fn is_next(&self, header: &ChunkHeader) -> bool {
        header.cpu == self.cpu && header.seq == self.next
    }

    /// `produced` has gone back, or further than the ring is long: the guest was reset, or its
    /// memory is damaged. What the ring still holds is believed, if its numbers fit; returns how many
    /// chunks are to be tried.
    fn resync(&mut self, region: &SharedRegion, produced: u64, warnings: &mut Vec<String>) -> u64 {
        let chunks = u64::from(region.header().chunks_per_cpu);
        let text = format!("CPU {}: the guest counts {produced} chunks, {} were taken", self.cpu, self.next);
        warn(warnings, text);
        self.damaged += 1;
        self.late_since = None;
        let ready = produced.min(chunks);
        self.next = produced - ready;
        region.set_consumed(self.cpu, self.next);
        ready
    }
}

fn warn(warnings: &mut Vec<String>, text: String) {
    if warnings.len() < WARNINGS {
        warnings.push(text);
    }
}
