// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From frames to a trace directory. In: hypercalls as a host has seen them, or the bytes of a port. Out: what a
//! recording of shared memory writes too. Never here: who has seen them, or when it is over.
//!
//! A hypercall is believed if it comes from the one instruction that makes ours, whose address the guest's header tells
//! ([`Header::hypercall_rip`]), and that lies in the kernel's half of the addresses: a process can make hypercalls with
//! our numbers, but not from there. What is not believed is counted. (Who owns the guest's kernel can send anything:
//! that is bounded, not recognised.)

use super::{Assembled, Assembler};
use crate::capture::drain::end_stream;
use crate::trace_dir::meta::{CpuMeta, RegionMeta, TRACE_VERSION};
use crate::trace_dir::{Ended, Existing, Meta, TraceError, TraceWriter};
use bootlevel::{Channel, Options};
use early_ftrace_format::shared::{CHUNK_SIZE, ChunkHeader, Header, POLICY_WAIT};
use early_ftrace_format::stream::Call;
use early_ftrace_format::word::EndReason;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Most chunks that wait for the first header: 4 MiB.
const MOST_EARLY: usize = 64;

/// Kernel addresses have all these bits.
const KERNEL_HALF: u64 = 0xffff_8000_0000_0000;

/// The last chunk of a CPU.
type Last = (ChunkHeader, Vec<u64>);

/// Writes a trace of what a guest sends.
pub struct Recorder {
    dir: PathBuf,
    existing: Existing,
    meta: Meta,
    level: u8,
    assembler: Assembler,
    header: Option<Box<Header>>,
    writer: Option<TraceWriter>,
    last: Vec<Option<Last>>,
    early: VecDeque<(u32, ChunkHeader, Vec<u64>)>,
    /// Chunks that came before the first header, and were too many.
    lost: u64,
    forged: u64,
    unwritten: u64,
}

impl Recorder {
    /// A trace is written to `dir`, from the first header on. `meta` has what is known besides: the guest's header
    /// completes it.
    pub fn new(dir: &Path, existing: Existing, meta: Meta) -> Recorder {
        Recorder {
            dir: dir.into(),
            existing,
            meta,
            level: 0,
            assembler: Assembler::new(),
            header: None,
            writer: None,
            last: Vec::new(),
            early: VecDeque::new(),
            lost: 0,
            forged: 0,
            unwritten: 0,
        }
    }

    /// The same, of the hypercalls of another nesting level than 0.
    pub fn of_level(self, level: u8) -> Recorder {
        Recorder { level, ..self }
    }

    /// Takes a hypercall of `vcpu`: made at `rip`, with `number` in rax. Those that are none of ours are passed over.
    ///
    /// # Errors
    /// When the trace cannot be written.
    pub fn push_call(&mut self, vcpu: u32, rip: u64, number: u64, args: &[u64; 4]) -> Result<(), TraceError> {
        let Some(call) = Call::read(number).filter(|call| call.level == self.level) else { return Ok(()) };
        let known = self.header.as_ref().map(|header| header.hypercall_rip);
        if rip & KERNEL_HALF != KERNEL_HALF || known.is_some_and(|known| known != rip) {
            self.forged = self.forged.saturating_add(1);
            return Ok(());
        }
        self.assembler.push_call(vcpu, call, args);
        self.take(Some(rip))
    }

    /// Hypercalls were lost here: frames that have begun are not gone on with.
    pub fn lost(&mut self) {
        self.assembler.lost();
    }

    /// Takes bytes of the port.
    ///
    /// # Errors
    /// When the trace cannot be written.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), TraceError> {
        self.assembler.push_bytes(bytes);
        self.take(None)
    }

    /// Whether the guest has told what it is.
    pub fn began(&self) -> bool {
        self.header.is_some()
    }

    /// Hypercalls that were not believed.
    pub fn forged(&self) -> u64 {
        self.forged
    }

    /// Adds to what the trace says went wrong.
    pub fn warn(&mut self, warning: impl IntoIterator<Item = String>) {
        self.meta.warnings.extend(warning);
    }

    /// The writer, once it writes: for progress, and blocks that wait.
    pub fn writer(&mut self) -> Option<&mut TraceWriter> {
        self.writer.as_mut()
    }

    fn take(&mut self, rip: Option<u64>) -> Result<(), TraceError> {
        while let Some(assembled) = self.assembler.next() {
            match assembled {
                Assembled::Header(header) => self.take_header(header, rip)?,
                Assembled::Chunk { cpu, header, words } => self.take_chunk(cpu, header, words)?,
                Assembled::Counters { cpu, control } => {
                    let Some(entry) = self.meta.per_cpu.get_mut(cpu as usize) else { continue };
                    entry.lost = control.lost;
                    entry.waits = control.waits;
                    entry.wait_ticks = control.wait_ticks;
                    entry.nmi_lost = control.nmi_lost;
                }
            }
        }
        Ok(())
    }

    fn take_header(&mut self, header: Box<Header>, rip: Option<u64>) -> Result<(), TraceError> {
        // The first one tells where hypercalls come from: it must itself come from there.
        if rip.is_some_and(|rip| rip != header.hypercall_rip) {
            self.forged = self.forged.saturating_add(1);
            return Ok(());
        }
        // A guest has as many CPUs as at first.
        if self.header.as_ref().is_some_and(|first| first.cpus != header.cpus) {
            return Ok(());
        }
        self.meta.first_tsc = header.first_tsc;
        self.meta.tsc_khz = Some(header.tsc_khz).filter(|&khz| khz != 0).or(self.meta.tsc_khz);
        self.meta.depth_overflows = header.depth_overflows;
        self.meta.stacks_exhausted = header.stacks_exhausted;
        self.meta.cpus_untraced = header.cpus_untraced;
        self.meta.take_phases(&header);
        if self.header.is_none() {
            describe(&mut self.meta, &header);
            self.begin(header.cpus)?;
        }
        self.header = Some(header);
        for (cpu, header, words) in std::mem::take(&mut self.early) {
            self.take_chunk(cpu, header, words)?;
        }
        Ok(())
    }

    fn begin(&mut self, cpus: u32) -> Result<(), TraceError> {
        self.meta.cpus = cpus;
        self.meta.per_cpu = (0..cpus).map(|cpu| CpuMeta { cpu, ..CpuMeta::default() }).collect();
        self.last = vec![None; cpus as usize];
        self.writer = Some(TraceWriter::create(&self.dir, &self.meta, self.existing)?);
        Ok(())
    }

    fn take_chunk(&mut self, cpu: u32, header: ChunkHeader, words: Vec<u64>) -> Result<(), TraceError> {
        let Some(writer) = &mut self.writer else {
            if self.early.len() < MOST_EARLY {
                self.early.push_back((cpu, header, words));
            } else {
                self.lost = self.lost.saturating_add(1);
            }
            return Ok(());
        };
        let Some(last) = self.last.get_mut(cpu as usize) else {
            self.lost = self.lost.saturating_add(1);
            return Ok(());
        };
        writer.append_chunk(cpu, &header, &words)?;
        self.unwritten += words.iter().filter(|&&word| word as u32 == 0).count() as u64;
        *last = Some((header, words));
        Ok(())
    }

    /// Ends each CPU's stream and writes everything out.
    ///
    /// # Errors
    /// When the trace cannot be written.
    pub fn finish(mut self, ended: Ended) -> Result<Meta, TraceError> {
        let reason = match ended {
            Ended::PowerOff => EndReason::PowerOff,
            Ended::Stopped { .. } => EndReason::Stopped,
            Ended::Died { .. } => EndReason::Died,
        };
        self.meta.ended = Some(ended);
        if self.writer.is_none() {
            self.begin(self.meta.cpus.max(1))?;
            self.meta.warnings.push(
                "the guest has sent nothing that says what it is: is it traced, and does it use this channel? \
                 `symbolize options --help` has channel:"
                    .into(),
            );
        }
        let (dropped, strange) = (self.assembler.dropped(), self.assembler.strange());
        self.meta.warnings.extend_from_slice(self.assembler.warnings());
        let mut say = |count: u64, what: &str| {
            if count > 0 {
                self.meta.warnings.push(format!("{count} {what}"));
            }
        };
        say(dropped, "frames are missing or were damaged");
        say(strange, "hypercalls or bytes belong to no frame");
        say(self.lost, "chunks came before the guest said what it is, or of a CPU that it does not have");
        say(self.forged, "hypercalls bore our numbers and were not made by the tracer; they were left out");
        if let Some(first) = self.meta.per_cpu.first_mut() {
            first.unwritten = self.unwritten;
        }
        let Some(mut writer) = self.writer.take() else { return Ok(self.meta) };
        let mut ended = Ok(());
        for (cpu, last) in (0..).zip(&mut self.last) {
            let Some((header, words)) = last else { continue };
            end_stream(header, words, true, &mut Vec::new(), reason);
            ended = ended.and_then(|()| writer.append_chunk(cpu, header, words));
        }
        let finished = writer.finish(&mut self.meta);
        ended.and(finished)?;
        Ok(self.meta)
    }
}

/// What a header says, as the beginning of a [`Meta`].
pub fn described(header: &Header) -> Meta {
    let mut meta = Meta::default();
    describe(&mut meta, header);
    meta
}

fn describe(meta: &mut Meta, header: &Header) {
    let end = header.release.iter().position(|&byte| byte == 0).unwrap_or(header.release.len());
    let id = header.build_id.get(..header.build_id_len as usize).unwrap_or(&header.build_id);
    meta.format_version = TRACE_VERSION;
    meta.words_version = header.version;
    meta.tool = concat!("symbolize ", env!("CARGO_PKG_VERSION")).into();
    meta.release = String::from_utf8_lossy(&header.release[..end]).into_owned();
    meta.build_id = id.iter().map(|byte| format!("{byte:02x}")).collect();
    meta.text_start = header.text_start;
    meta.cpus = header.cpus;
    meta.region = RegionMeta {
        phys: header.region_phys,
        virt: header.region_virt,
        size: header.region_size,
        ring_bytes: u64::from(header.chunks_per_cpu) * CHUNK_SIZE,
        overflow: if header.policy == POLICY_WAIT { "wait" } else { "drop" }.into(),
    };
}

/// Why the guest does not use the channel that its command line asks for; none if it does.
pub fn refused(command_line: &str, header: &Header) -> Option<String> {
    let asked = Options::read(command_line.as_bytes()).channel?;
    // 0: it has not chosen, or was not asked.
    let taken = Channel::ALL.into_iter().find(|channel| *channel as u32 == header.channel && header.channel != 0)?;
    let why = match asked {
        _ if asked == taken => return None,
        Channel::Auto | Channel::Ram => return None,
        Channel::Ivshmem => "it found no ivshmem-plain device (-device ivshmem-plain) that fits",
        Channel::Pmem => "it found no virtio-pmem device that fits",
        Channel::Hypercall => "CPUID tells of no KVM under it: elsewhere the instruction could end the boot",
        Channel::Port => "nothing answers at the debug-console port (-device isa-debugcon, --channel port)",
    };
    Some(format!("channel:{} was asked for, and the guest used {}: {why}", asked.name(), taken.name()))
}
