// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! BPF instructions (the kernel's Documentation/bpf/standardization/instruction-set.rst). In: what a program does, one
//! call each. Out: its 64-bit words. Never here: what our programs do.
//!
//! Jumps go forward only, to a [`Program::land`] or to the program's end, so that a program always ends.

use super::super::format::Field;

/// A register. r0: results; r1 to r5: arguments, gone after a call; r6 to r9 stay; r10: the end of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum R {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R10 = 10,
}

/// Bytes of a load or store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 4.
    Word = 0x00,
    /// 2.
    Half = 0x08,
    /// 1.
    Byte = 0x10,
    /// 8.
    Double = 0x18,
}

impl Size {
    /// That of a field; those of tracepoints have no others.
    pub fn of(field: Field) -> Option<Size> {
        match field.size() {
            1 => Some(Size::Byte),
            2 => Some(Size::Half),
            4 => Some(Size::Word),
            8 => Some(Size::Double),
            _ => None,
        }
    }
}

/// Functions of the kernel, with their numbers in <linux/bpf.h>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Helper {
    MapLookup = 1,
    MapUpdate = 2,
    MapDelete = 3,
    KtimeGetNs = 5,
    ProcessorId = 8,
    PidTgid = 14,
    RingbufOutput = 130,
}

/// A jump whose aim is not known yet.
#[must_use]
#[derive(Debug)]
pub struct Jump(usize);

/// A program.
#[derive(Debug, Default)]
pub struct Program {
    words: Vec<u64>,
    out: Vec<Jump>,
}

impl Program {
    /// opcode: 8, destination: 4, source: 4, offset: 16, immediate: 32, from the lowest bit.
    fn push(&mut self, code: u8, to: R, from: u64, offset: i16, value: i32) {
        let registers = to as u64 | from << 4;
        let (offset, value) = (u64::from(offset as u16), u64::from(value as u32));
        self.words.push(u64::from(code) | registers << 8 | offset << 16 | value << 32);
    }

    /// to = from
    pub fn copy(&mut self, to: R, from: R) {
        self.push(0xbf, to, from as u64, 0, 0);
    }

    /// to = value
    pub fn set(&mut self, to: R, value: i32) {
        self.push(0xb7, to, 0, 0, value);
    }

    /// to += value
    pub fn add(&mut self, to: R, value: i32) {
        self.push(0x07, to, 0, 0, value);
    }

    /// to -= from
    pub fn subtract(&mut self, to: R, from: R) {
        self.push(0x1f, to, from as u64, 0, 0);
    }

    /// to = what stands at from + offset
    pub fn load(&mut self, size: Size, to: R, from: R, offset: i16) {
        self.push(0x61 | size as u8, to, from as u64, offset, 0);
    }

    /// What stands at to + offset = from
    pub fn store(&mut self, size: Size, to: R, offset: i16, from: R) {
        self.push(0x63 | size as u8, to, from as u64, offset, 0);
    }

    /// What stands at to + offset = value
    pub fn store_value(&mut self, size: Size, to: R, offset: i16, value: i32) {
        self.push(0x62 | size as u8, to, 0, offset, value);
    }

    /// What stands in the 8 bytes at to + offset += from, against all other CPUs.
    pub fn add_shared(&mut self, to: R, offset: i16, from: R) {
        self.push(0xdb, to, from as u64, offset, 0);
    }

    /// to = the map of that file
    pub fn map(&mut self, to: R, map: i32) {
        self.push(0x18, to, 1, 0, map);
        self.words.push(0);
    }

    /// to = the address of the only value of the array of that file
    pub fn value_of(&mut self, to: R, map: i32) {
        self.push(0x18, to, 2, 0, map);
        self.words.push(0);
    }

    /// r0 = helper(r1 to r5)
    pub fn call(&mut self, helper: Helper) {
        self.push(0x85, R::R0, 0, 0, helper as i32);
    }

    /// Forward, if it is that value.
    pub fn if_is(&mut self, register: R, value: i32) -> Jump {
        self.push(0x15, register, 0, 0, value);
        Jump(self.words.len())
    }

    /// Jumps come here.
    pub fn land(&mut self, jump: Jump) {
        let far = (self.words.len() - jump.0) as u64 & 0x7fff;
        if let Some(word) = self.words.get_mut(jump.0 - 1) {
            *word |= far << 16;
        }
    }

    /// To the end, if it is that value.
    pub fn out_if(&mut self, register: R, value: i32) {
        let jump = self.if_is(register, value);
        self.out.push(jump);
    }

    /// To the end, if they differ.
    pub fn out_if_other(&mut self, one: R, other: R) {
        self.push(0x5d, one, other as u64, 0, 0);
        self.out.push(Jump(self.words.len()));
    }

    /// Returns 1; its words. After 0 the kernel would keep the event from everybody else who records it by perf, of any
    /// process (kernel/events/core.c, perf_trace_run_bpf_submit).
    pub fn end(mut self) -> Vec<u64> {
        for jump in std::mem::take(&mut self.out) {
            self.land(jump);
        }
        self.set(R::R0, 1);
        self.push(0x95, R::R0, 0, 0, 0);
        self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words as `llvm-objdump -d` of clang's code for BPF shows them, byte for byte.
    #[test]
    fn instructions_are_those_of_the_standard() {
        let mut program = Program::default();
        program.copy(R::R6, R::R1);
        program.load(Size::Word, R::R1, R::R6, 56);
        program.store(Size::Double, R::R10, -8, R::R0);
        program.store_value(Size::Double, R::R7, 24, -1);
        program.map(R::R1, 5);
        program.call(Helper::MapLookup);
        program.out_if(R::R0, 0);
        program.add(R::R2, -8);
        program.add_shared(R::R1, 8, R::R2);
        let bytes: Vec<[u8; 8]> = program.end().into_iter().map(u64::to_le_bytes).collect();
        assert_eq!(
            bytes,
            [
                [0xbf, 0x16, 0, 0, 0, 0, 0, 0],
                [0x61, 0x61, 0x38, 0, 0, 0, 0, 0],
                [0x7b, 0x0a, 0xf8, 0xff, 0, 0, 0, 0],
                [0x7a, 0x07, 0x18, 0, 0xff, 0xff, 0xff, 0xff],
                [0x18, 0x11, 0, 0, 5, 0, 0, 0],
                [0; 8],
                [0x85, 0, 0, 0, 1, 0, 0, 0],
                // Over the next two.
                [0x15, 0, 2, 0, 0, 0, 0, 0],
                [0x07, 0x02, 0, 0, 0xf8, 0xff, 0xff, 0xff],
                [0xdb, 0x21, 8, 0, 0, 0, 0, 0],
                [0xb7, 0, 0, 0, 1, 0, 0, 0],
                [0x95, 0, 0, 0, 0, 0, 0, 0],
            ]
        );
    }
}
