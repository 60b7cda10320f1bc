// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `meta.json`: what is known about the whole recording. In and out: [`Meta`] and the file. Never
//! here: events. Unknown fields of later tools are ignored, so that fields can be added within a
//! format version.

use super::TraceError;
use bootlevel::Phase;
use early_ftrace_format::shared::{Header, ORIGIN_IN_TREE, ORIGIN_INJECTED, State};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Version of the directory's layout and of the blocks.
pub const TRACE_VERSION: u32 = 1;

/// Name of the file in the directory.
pub const META_FILE: &str = "meta.json";

/// Largest `meta.json` that is read.
const META_MAX: u64 = 16 << 20;

/// Most CPUs that a trace may name.
pub const MAX_CPUS: u32 = early_ftrace_format::shared::MAX_CPUS;

/// How the recording ended. `meta.json` has `null` while it runs, and for ever when the recorder
/// itself was killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Ended {
    /// The guest powered off.
    PowerOff,
    /// The recorder was told to stop, or its time was up; the guest would have run on.
    Stopped {
        /// Which of them.
        detail: String,
    },
    /// The guest or its virtual machine monitor died, or the recorder could not go on.
    Died {
        /// What is known of it.
        detail: String,
    },
}

/// Counters of one CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuMeta {
    /// The CPU.
    pub cpu: u32,
    /// Words written.
    pub words: u64,
    /// Entries and exits in them.
    pub events: u64,
    /// Events lost with the ring full (the guest's count).
    pub lost: u64,
    /// Blocks written.
    pub blocks: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// How often the guest waited for the recorder.
    pub waits: u64,
    /// Ticks that it spent so.
    pub wait_ticks: u64,
    /// Events lost in an NMI that came at a change of chunk.
    pub nmi_lost: u64,
    /// Words that were still unwritten when their chunk was taken.
    pub unwritten: u64,
    /// Chunks that were damaged or skipped.
    pub damaged_chunks: u64,
}

/// Sums over the CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Words written.
    pub words: u64,
    /// Entries and exits in them.
    pub events: u64,
    /// Events lost.
    pub lost: u64,
    /// Bytes of all `cpuN.eft`.
    pub bytes: u64,
}

/// Where the shared region lay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegionMeta {
    /// Guest physical address.
    pub phys: u64,
    /// Guest virtual address.
    pub virt: u64,
    /// Bytes.
    pub size: u64,
    /// Bytes of each CPU's ring.
    pub ring_bytes: u64,
    /// `wait` or `drop`.
    pub overflow: String,
}

/// The whole of `meta.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// [`TRACE_VERSION`].
    pub format_version: u32,
    /// Version of the event words ([`early_ftrace_format::FORMAT_VERSION`]).
    pub words_version: u32,
    /// Name and version of the tool that wrote the trace.
    pub tool: String,
    /// Kernel release, as `uname -r`.
    pub release: String,
    /// GNU build ID of the vmlinux, in hexadecimal.
    pub build_id: String,
    /// Link address of `_stext`.
    pub text_start: u64,
    /// The kernel command line as the guest got it.
    pub command_line: String,
    /// What of it the tool added.
    pub command_line_added: String,
    /// CPUs that had a ring.
    pub cpus: u32,
    /// Frequency of the time stamp counter, as the kernel found it; `null` if it did not come so far.
    pub tsc_khz: Option<u64>,
    /// Time stamp counter at the first event.
    pub first_tsc: u64,
    /// Call sites in the kernel.
    pub sites: u64,
    /// Call sites that were hooked.
    pub hooked: u64,
    /// The shared region.
    pub region: RegionMeta,
    /// The virtual machine monitor and its arguments; empty when attached to one that ran already.
    pub vmm: Vec<String>,
    /// When the recording began, in seconds of Unix time.
    pub started_at: u64,
    /// How it ended.
    pub ended: Option<Ended>,
    /// Counters of each CPU.
    pub per_cpu: Vec<CpuMeta>,
    /// Their sums.
    pub totals: Totals,
    /// Calls not recorded since their task's shadow stack was full.
    pub depth_overflows: u64,
    /// Tasks that got no shadow stack.
    pub stacks_exhausted: u64,
    /// CPUs that came up and have no ring.
    pub cpus_untraced: u64,
    /// What went wrong with the recording, for the user.
    pub warnings: Vec<String>,
    /// Name of each phase that began, and when, in ticks; empty in traces of guests that knew no phases.
    pub phases: Vec<(String, u64)>,
    /// How the guest code came into the kernel: `injected` or `in-tree`; empty if not known.
    pub origin: String,
    /// What the guest made of its options: `unread`, `off` or `on`; empty if not known.
    pub state: String,
    /// Time is instructions, and another boot would be the same (`record --deterministic`).
    pub deterministic: bool,
    /// Path of the vmlinux that was given to the recorder; empty if none was.
    pub vmlinux: String,
}

/// Only what must be right before the rest is looked at.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

impl Meta {
    /// Reads and checks the `meta.json` of `dir`.
    ///
    /// # Errors
    /// [`TraceError::NotATrace`], [`TraceError::BadMeta`], [`TraceError::NewerVersion`] or I/O.
    pub fn read(dir: &Path) -> Result<Meta, TraceError> {
        let path = dir.join(META_FILE);
        let text = match File::open(&path) {
            Ok(file) => {
                let mut text = Vec::new();
                std::io::Read::read_to_end(&mut std::io::Read::take(file, META_MAX), &mut text)
                    .map_err(|e| TraceError::io(&path, "read it", e))?;
                text
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let empty = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
                return Err(TraceError::NotATrace { path: dir.to_path_buf(), empty });
            }
            Err(e) => return Err(TraceError::io(&path, "open it", e)),
        };
        let bad = |e: serde_json::Error| TraceError::BadMeta {
            path: path.clone(),
            reason: e.to_string(),
            line: e.line(),
            column: e.column(),
        };
        let version: Version = serde_json::from_slice(&text).map_err(bad)?;
        if version.format_version > TRACE_VERSION {
            return Err(TraceError::NewerVersion {
                path: dir.to_path_buf(),
                found: version.format_version,
                supported: TRACE_VERSION,
            });
        }
        let meta: Meta = serde_json::from_slice(&text).map_err(bad)?;
        if meta.cpus > MAX_CPUS {
            return Err(TraceError::BadMeta {
                path: path.clone(),
                reason: format!("{} CPUs, at most {MAX_CPUS} are possible", meta.cpus),
                line: 1,
                column: 1,
            });
        }
        Ok(meta)
    }

    /// The phases that began, in boot order. What a damaged or hostile trace has that cannot be is left
    /// out: unknown names, a phase twice, a time before that of an earlier phase.
    pub fn phases(&self) -> Vec<(Phase, u64)> {
        let mut last = 0;
        Phase::ALL
            .into_iter()
            .filter_map(|phase| {
                let (_, time) = self.phases.iter().find(|(name, _)| name == phase.name())?;
                let in_order = *time != 0 && *time >= last;
                last = last.max(if in_order { *time } else { 0 });
                in_order.then_some((phase, *time))
            })
            .collect()
    }

    /// Takes over from the shared header what the guest says of its phases and itself; times before its
    /// first event cannot be.
    pub fn take_phases(&mut self, header: &Header) {
        self.phases = Phase::ALL
            .into_iter()
            .filter_map(|phase| Some((phase, *header.phase_began.get(phase as usize)?)))
            .filter(|&(_, time)| time != 0 && time >= header.first_tsc)
            .map(|(phase, time)| (phase.name().to_owned(), time))
            .collect();
        self.origin = match header.origin {
            ORIGIN_INJECTED => "injected".to_owned(),
            ORIGIN_IN_TREE => "in-tree".to_owned(),
            _ => String::new(),
        };
        self.state = match header.state {
            state if state == State::Unread as u32 => "unread".to_owned(),
            state if state == State::Off as u32 => "off".to_owned(),
            state if state == State::On as u32 => "on".to_owned(),
            _ => String::new(),
        };
    }

    /// Writes `meta.json` in one step: a reader sees the old or the new one, never a part.
    ///
    /// # Errors
    /// I/O; the old file stays then.
    pub fn write(&self, dir: &Path) -> Result<(), TraceError> {
        let path = dir.join(META_FILE);
        let tmp = dir.join("meta.json.tmp");
        let text =
            serde_json::to_vec_pretty(self).map_err(|e| TraceError::io(&path, "write it", std::io::Error::other(e)))?;
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&tmp)?;
            file.write_all(&text)?;
            file.write_all(b"\n")?;
            std::fs::rename(&tmp, &path)
        };
        write().map_err(|e| {
            // Best effort: a half-written temporary file is in nobody's way, but need not stay.
            let _ = std::fs::remove_file(&tmp);
            TraceError::io(&path, "write it", e)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(phases: &[(&str, u64)]) -> Meta {
        let phases = phases.iter().map(|&(name, time)| (name.to_owned(), time)).collect();
        Meta { phases, ..Meta::default() }
    }

    #[test]
    fn phases_that_cannot_be_are_left_out() {
        let honest = meta(&[("start", 10), ("early", 20), ("fs", 20), ("user", 99)]);
        let wanted = [(Phase::Start, 10), (Phase::Early, 20), (Phase::Fs, 20), (Phase::User, 99)];
        assert_eq!(honest.phases(), wanted);
        let hostile = meta(&[("user", 99), ("fs", 15), ("nonsense", 5), ("early", 20), ("start", 10), ("start", 30)]);
        assert_eq!(hostile.phases(), [(Phase::Start, 10), (Phase::Early, 20), (Phase::User, 99)]);
    }

    #[test]
    fn phases_of_the_shared_header_come_by_their_names() {
        let mut header: Header = zerocopy::FromZeros::new_zeroed();
        header.first_tsc = 1000;
        header.phase_began[Phase::Start as usize] = 1000;
        header.phase_began[Phase::Smp as usize] = 999;
        header.phase_began[Phase::Fs as usize] = 5000;
        header.phase_began[31] = 6000;
        header.origin = ORIGIN_IN_TREE;
        header.state = State::On as u32;
        let mut meta = Meta::default();
        meta.take_phases(&header);
        assert_eq!(meta.phases, [("start".to_owned(), 1000), ("fs".to_owned(), 5000)]);
        assert_eq!((meta.origin.as_str(), meta.state.as_str()), ("in-tree", "on"));
        (header.origin, header.state) = (7, 7);
        meta.take_phases(&header);
        assert_eq!((meta.origin.as_str(), meta.state.as_str()), ("", ""));
    }
}
