// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Which events we want, and which fields of them, by the names that the kernel and LTTng give them. In: names, and the
//! values of fields. Out: [`RawKind`]. Never here: where a field lies.
//!
//! Names: include/trace/events/sched.h and arch/x86/kvm/trace.h in Linux; in lttng-modules
//! include/instrumentation/events/arch/x86/kvm/trace.h and sched.h.

use crate::host::event::{Hypercall, RawKind};

/// An event that we want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// kvm:kvm_exit, kvm_x86_exit.
    Exit,
    /// kvm:kvm_hypercall, kvm_x86_hypercall.
    Hypercall,
    /// kvm:kvm_entry, kvm_x86_entry.
    Entry,
    /// sched:sched_switch.
    Switch,
    /// kvm:kvm_write_tsc_offset, kvm_x86_write_tsc_offset.
    Offset,
}

/// A field that we want: its names, and whether the event says nothing without it.
pub(super) struct Name {
    pub(super) names: &'static [&'static str],
    pub(super) needed: bool,
}

const fn needed(names: &'static [&'static str]) -> Name {
    Name { names, needed: true }
}

const fn helpful(names: &'static [&'static str]) -> Name {
    Name { names, needed: false }
}

/// The most fields of an event.
pub(super) const MOST: usize = 6;

/// Values of an event's wanted fields, in the order of [`Wanted::fields`].
pub(super) type Values = [Option<u64>; MOST];

/// All of them.
pub(super) const ALL: [Wanted; 5] = [Wanted::Exit, Wanted::Hypercall, Wanted::Entry, Wanted::Switch, Wanted::Offset];

/// States of a task in sched_switch that it left the CPU with of its own will; none of these bits: it could run.
const WAITS: u64 = 0xff;

impl Wanted {
    /// By its name, without the system.
    pub(super) fn named(name: &str) -> Option<Wanted> {
        ALL.into_iter().find(|wanted| wanted.names().contains(&name))
    }

    /// What it is called, by whom it is called so.
    pub(super) const fn names(self) -> &'static [&'static str] {
        match self {
            Wanted::Exit => &["kvm_exit", "kvm_x86_exit"],
            Wanted::Hypercall => &["kvm_hypercall", "kvm_x86_hypercall"],
            Wanted::Entry => &["kvm_entry", "kvm_x86_entry"],
            Wanted::Switch => &["sched_switch"],
            Wanted::Offset => &["kvm_write_tsc_offset", "kvm_x86_write_tsc_offset"],
        }
    }

    /// Its fields.
    pub(super) const fn fields(self) -> &'static [Name] {
        match self {
            Wanted::Exit => {
                &const {
                    [
                        needed(&["exit_reason"]),
                        needed(&["guest_rip"]),
                        helpful(&["isa"]),
                        helpful(&["info1"]),
                        helpful(&["info2"]),
                        helpful(&["vcpu_id"]),
                    ]
                }
            }
            Wanted::Hypercall => {
                &const { [needed(&["nr"]), needed(&["a0"]), needed(&["a1"]), needed(&["a2"]), needed(&["a3"])] }
            }
            Wanted::Entry => &const { [needed(&["vcpu_id"]), helpful(&["rip"])] },
            Wanted::Switch => {
                &const { [needed(&["prev_pid", "prev_tid"]), needed(&["prev_state"]), needed(&["next_pid", "next_tid"])] }
            }
            Wanted::Offset => &const { [needed(&["vcpu_id"]), needed(&["next_tsc_offset"])] },
        }
    }

    /// From its values; a needed one that is missing is 0 (whoever looked the fields up has refused that).
    pub(super) fn raw(self, values: &Values) -> RawKind {
        let value = |at: usize| values.get(at).copied().flatten().unwrap_or(0);
        match self {
            Wanted::Exit => RawKind::Exit {
                vcpu: values[5].map(|vcpu| vcpu as u32),
                isa: value(2) as u32,
                reason: value(0) as u32,
                rip: value(1),
                info: [value(3), value(4)],
            },
            Wanted::Hypercall => {
                RawKind::Hypercall(Hypercall { number: value(0), args: [value(1), value(2), value(3), value(4)] })
            }
            Wanted::Entry => RawKind::Entry { vcpu: value(0) as u32, rip: values[1] },
            Wanted::Switch => {
                RawKind::Switch { prev: value(0) as u32, runnable: value(1) & WAITS == 0, next: value(2) as u32 }
            }
            Wanted::Offset => RawKind::Offset { vcpu: value(0) as u32, next: value(1) },
        }
    }
}
