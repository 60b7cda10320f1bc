// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What runs in the kernel: kvm_exit, the kvm_hypercall that may follow and kvm_entry become one record. In: where the
//! tracepoints' fields are, the files of our maps. Out: programs. Never here: how they get into the kernel.
//!
//! The map of threads has the record that each thread is about to send; who is not in it is not recorded. What a thread
//! of it starts comes into it, too, and leaves it at its end.

use super::super::format::Field;
use super::super::record::Layout;
use super::code::{Helper, Program, R, Size};

/// Bytes of a record without a hypercall.
pub const EXIT: usize = 64;
/// Bytes of one with a hypercall.
pub const CALL: usize = 104;
/// Bytes of a thread's value: a record, and what is not sent.
pub const THREAD: usize = 112;

/// Where things stand in a record.
pub mod at {
    /// Nanoseconds of CLOCK_MONOTONIC at the exit; in the map, 0: there was none yet.
    pub const TIME: i16 = 0;
    /// Nanoseconds up to the entry.
    pub const LENGTH: i16 = 8;
    /// guest_rip.
    pub const RIP: i16 = 16;
    /// info1, info2.
    pub const INFO: [i16; 2] = [24, 32];
    /// The thread, 4 bytes as all up to REASON.
    pub const TASK: i16 = 40;
    /// CPU of the exit, of the entry.
    pub const CPUS: [i16; 2] = [44, 48];
    /// vcpu_id.
    pub const VCPU: i16 = 52;
    /// exit_reason.
    pub const REASON: i16 = 56;
    /// isa.
    pub const ISA: i16 = 60;
    /// nr.
    pub const NUMBER: i16 = 64;
    /// a0 to a3.
    pub const ARGS: [i16; 4] = [72, 80, 88, 96];
    /// In the map only: whether there was a hypercall.
    pub const CALLED: i16 = 104;
}

/// BPF_RB_NO_WAKEUP: nobody sleeps on the ring.
const NO_WAKEUP: i32 = 1;
/// The key on the stack, and behind it a value.
const KEY: i16 = -8;

/// Files of the maps.
#[derive(Clone, Copy, Debug)]
pub struct Maps {
    /// By thread.
    pub threads: i32,
    /// Records.
    pub ring: i32,
    /// 8 bytes: records that did not fit.
    pub lost: i32,
}

struct Builder {
    program: Program,
    maps: Maps,
}

/// In r6 what the tracepoint says, in r7 the value of the thread: of another nothing is recorded.
fn of_a_thread(maps: Maps) -> Builder {
    let mut of = Builder { program: Program::default(), maps };
    of.program.copy(R::R6, R::R1);
    of.program.call(Helper::PidTgid);
    of.program.store(Size::Word, R::R10, KEY, R::R0);
    of.key();
    of.program.call(Helper::MapLookup);
    of.program.out_if(R::R0, 0);
    of.program.copy(R::R7, R::R0);
    of
}

impl Builder {
    /// r1 and r2 of a helper: the map of threads, and the key on the stack.
    fn key(&mut self) {
        let Builder { program, maps } = self;
        program.map(R::R1, maps.threads);
        program.copy(R::R2, R::R10);
        program.add(R::R2, i32::from(KEY));
    }

    /// Counts one that is lost, unless r0 is 0.
    fn lose_unless_done(&mut self) {
        let Builder { program, maps } = self;
        let done = program.if_is(R::R0, 0);
        program.value_of(R::R1, maps.lost);
        program.set(R::R2, 1);
        program.add_shared(R::R1, 0, R::R2);
        program.land(done);
    }

    /// Sends a record that has no end, if there is one.
    fn send_open(&mut self) {
        self.program.load(Size::Double, R::R1, R::R7, at::TIME);
        let sent = self.program.if_is(R::R1, 0);
        self.program.store_value(Size::Double, R::R7, at::LENGTH, 0);
        self.send();
        self.program.land(sent);
    }

    /// The field of what the tracepoint says goes to a place in the record. None: no number.
    fn take(&mut self, field: Field, to: i16, size: Size) -> Option<()> {
        self.program.load(Size::of(field)?, R::R1, R::R6, i16::try_from(field.offset()).ok()?);
        self.program.store(size, R::R7, to, R::R1);
        Some(())
    }

    fn cpu(&mut self, to: i16) {
        self.program.call(Helper::ProcessorId);
        self.program.store(Size::Word, R::R7, to, R::R0);
    }

    /// Sends the record, or counts that it is lost.
    fn send(&mut self) {
        let Builder { program, maps } = self;
        program.map(R::R1, maps.ring);
        program.copy(R::R2, R::R7);
        program.set(R::R3, EXIT as i32);
        program.load(Size::Word, R::R5, R::R7, at::CALLED);
        let without = program.if_is(R::R5, 0);
        program.set(R::R3, CALL as i32);
        program.land(without);
        program.set(R::R4, NO_WAKEUP);
        program.call(Helper::RingbufOutput);
        program.store_value(Size::Double, R::R7, at::TIME, 0);
        self.lose_unless_done();
    }
}

/// kvm_exit: a record begins.
pub fn exit(layout: &Layout, maps: Maps) -> Option<Vec<u64>> {
    let fields = layout.exit();
    let mut of = of_a_thread(maps);
    // The entry before belonged to another virtual CPU of this thread.
    of.send_open();
    of.program.call(Helper::KtimeGetNs);
    of.program.store(Size::Double, R::R7, at::TIME, R::R0);
    of.program.store_value(Size::Word, R::R7, at::CALLED, 0);
    of.program.load(Size::Word, R::R1, R::R10, KEY);
    of.program.store(Size::Word, R::R7, at::TASK, R::R1);
    let [from, to] = at::CPUS;
    of.cpu(from);
    of.program.store(Size::Word, R::R7, to, R::R0);
    of.take(fields.rip, at::RIP, Size::Double)?;
    of.take(fields.reason, at::REASON, Size::Word)?;
    of.take(fields.isa, at::ISA, Size::Word)?;
    for (field, to) in fields.info.into_iter().zip(at::INFO) {
        of.take(field, to, Size::Double)?;
    }
    if let Some(vcpu) = fields.vcpu {
        of.take(vcpu, at::VCPU, Size::Word)?;
    }
    Some(of.program.end())
}

/// kvm_hypercall: it goes into the record.
pub fn hypercall(layout: &Layout, maps: Maps) -> Option<Vec<u64>> {
    let (number, args) = layout.hypercall();
    let mut of = of_a_thread(maps);
    of.take(number, at::NUMBER, Size::Double)?;
    for (field, to) in args.into_iter().zip(at::ARGS) {
        of.take(field, to, Size::Double)?;
    }
    of.program.store_value(Size::Word, R::R7, at::CALLED, 1);
    Some(of.program.end())
}

/// kvm_entry: the record is sent.
pub fn entry(layout: &Layout, maps: Maps) -> Option<Vec<u64>> {
    let vcpu = layout.entry_vcpu();
    let mut of = of_a_thread(maps);
    let known = layout.exit().vcpu.is_some();
    if !known {
        of.take(vcpu, at::VCPU, Size::Word)?;
    }
    of.program.load(Size::Double, R::R1, R::R7, at::TIME);
    // The first of all has no exit before it.
    of.program.out_if(R::R1, 0);
    if known {
        of.program.load(Size::of(vcpu)?, R::R1, R::R6, i16::try_from(vcpu.offset()).ok()?);
        of.program.load(Size::Word, R::R2, R::R7, at::VCPU);
        of.program.out_if_other(R::R1, R::R2);
    }
    of.program.call(Helper::KtimeGetNs);
    of.program.load(Size::Double, R::R1, R::R7, at::TIME);
    of.program.subtract(R::R0, R::R1);
    of.program.store(Size::Double, R::R7, at::LENGTH, R::R0);
    of.cpu(at::CPUS[1]);
    of.send();
    Some(of.program.end())
}

/// sched_process_fork: what a thread of ours starts is ours.
pub fn fork(child: Field, maps: Maps) -> Option<Vec<u64>> {
    let mut of = of_a_thread(maps);
    of.program.load(Size::of(child)?, R::R1, R::R6, i16::try_from(child.offset()).ok()?);
    of.program.store(Size::Word, R::R10, KEY, R::R1);
    let value = KEY - THREAD as i16;
    for place in (0..THREAD as i16).step_by(8) {
        of.program.store_value(Size::Double, R::R10, value + place, 0);
    }
    of.key();
    of.program.copy(R::R3, R::R10);
    of.program.add(R::R3, i32::from(value));
    of.program.set(R::R4, 0);
    of.program.call(Helper::MapUpdate);
    // No room for it: then it is not seen, which must be known.
    of.lose_unless_done();
    Some(of.program.end())
}

/// sched_process_exit: a thread ends. What it has not sent yet is sent without its end.
pub fn gone(maps: Maps) -> Vec<u64> {
    let mut of = of_a_thread(maps);
    of.send_open();
    of.key();
    of.program.call(Helper::MapDelete);
    of.program.end()
}
