// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The events of a trace.dat: as text, which tells readers what they consist of, and as bytes. Text and bytes are those
//! of Linux 6.1 (`/sys/kernel/tracing/events/SYSTEM/EVENT/format`). Never here: times, pages.

use super::super::TaskHead;

const ENTRY: u16 = 11;
const EXIT: u16 = 10;
const SWITCH: u16 = 314;

/// What all formats have first, after name and ID.
macro_rules! format {
    ($name:literal, $id:literal, $rest:literal) => {
        concat!(
            "name: ",
            $name,
            "\nID: ",
            $id,
            "\nformat:\n",
            "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n",
            "\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n",
            "\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n",
            "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n",
            $rest
        )
    };
}

/// Formats of the system `ftrace`.
pub(super) const FTRACE: &[&str] = &[
    format!(
        "funcgraph_entry",
        "11",
        "\tfield:unsigned long func;\toffset:8;\tsize:8;\tsigned:0;\n\
         \tfield:int depth;\toffset:16;\tsize:4;\tsigned:1;\n\n\
         print fmt: \"--> %ps (%d)\", (void *)REC->func, REC->depth\n"
    ),
    format!(
        "funcgraph_exit",
        "10",
        "\tfield:unsigned long func;\toffset:8;\tsize:8;\tsigned:0;\n\
         \tfield:int depth;\toffset:16;\tsize:4;\tsigned:1;\n\
         \tfield:unsigned int overrun;\toffset:20;\tsize:4;\tsigned:0;\n\
         \tfield:unsigned long long calltime;\toffset:24;\tsize:8;\tsigned:0;\n\
         \tfield:unsigned long long rettime;\toffset:32;\tsize:8;\tsigned:0;\n\n\
         print fmt: \"<-- %ps (%d) (start: %llx  end: %llx) over: %d\", (void *)REC->func, REC->depth, \
         REC->calltime, REC->rettime, REC->depth\n"
    ),
];

/// Formats of the system `sched`.
pub(super) const SCHED: &[&str] = &[format!(
    "sched_switch",
    "314",
    "\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
     \tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;\n\
     \tfield:int prev_prio;\toffset:28;\tsize:4;\tsigned:1;\n\
     \tfield:long prev_state;\toffset:32;\tsize:8;\tsigned:1;\n\
     \tfield:char next_comm[16];\toffset:40;\tsize:16;\tsigned:0;\n\
     \tfield:pid_t next_pid;\toffset:56;\tsize:4;\tsigned:1;\n\
     \tfield:int next_prio;\toffset:60;\tsize:4;\tsigned:1;\n\n\
     print fmt: \"prev_comm=%s prev_pid=%d prev_prio=%d prev_state=%ld ==> next_comm=%s next_pid=%d \
     next_prio=%d\", REC->prev_comm, REC->prev_pid, REC->prev_prio, REC->prev_state, REC->next_comm, \
     REC->next_pid, REC->next_prio\n"
)];

/// Priority of a task of which none is known: that of a plain one.
const PRIO: u32 = 120;

/// What all events have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    /// The task that runs.
    pub(super) pid: u32,
}

impl Common {
    /// Type, flags and preemption count, pid; then the event's own fields.
    fn with<const N: usize>(self, kind: u16, fields: &[&[u8]]) -> [u8; N] {
        let mut bytes = [0; N];
        bytes[..2].copy_from_slice(&kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.pid.to_le_bytes());
        let mut at = 8;
        for field in fields {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        }
        bytes
    }
}

/// A call begins.
pub(super) fn entry(common: Common, function: u64, depth: u32) -> [u8; 20] {
    common.with(ENTRY, &[&function.to_le_bytes(), &depth.to_le_bytes()])
}

/// A call ends.
pub(super) fn exit(common: Common, function: u64, depth: u32, start: u64, end: u64) -> [u8; 40] {
    let (function, depth, overrun) = (function.to_le_bytes(), depth.to_le_bytes(), [0; 4]);
    common.with(EXIT, &[&function, &depth, &overrun, &start.to_le_bytes(), &end.to_le_bytes()])
}

/// Another task runs.
pub(super) fn switch(prev: &TaskHead, next: &TaskHead) -> [u8; 64] {
    let (left, right, prio) = (prev.pid.to_le_bytes(), next.pid.to_le_bytes(), PRIO.to_le_bytes());
    let fields: [&[u8]; 7] = [&comm(&prev.name), &left, &prio, &[0; 8], &comm(&next.name), &right, &prio];
    Common { pid: prev.pid }.with(SWITCH, &fields)
}

/// A name as tasks have it: 15 bytes and a zero.
fn comm(name: &str) -> [u8; 16] {
    let mut comm = [0; 16];
    for (to, from) in comm.iter_mut().take(15).zip(name.bytes().filter(|byte| !byte.is_ascii_control())) {
        *to = from;
    }
    comm
}
