// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The two trampolines. In: a call from a call site, a return from a traced function. Out: a frame on
//! the task's shadow stack, words in the CPU's chunk. The common cases are all here, in assembly;
//! what is rare goes to [`crate::slow`].
//!
//! Why no lock prefix is needed: everything written here is this CPU's (slots, its chunk) or this
//! task's (its shadow stack). Interrupts and NMIs of the same CPU come between instructions only, so
//! each step that must not be torn is one instruction: `xadd` reserves a slot, `bts` claims a pending
//! entry, `add` and `sub` move the top of the stack. A task may be preempted and go on elsewhere
//! between any two: its stack goes with it, and whether a slot is one is told by its own address, on
//! whatever CPU. The host takes a word only once its low half, stored last, is not zero; it waits for a
//! late writer for some milliseconds, then gives the chunk back all the same.
//!
//! Known limit: the time base is read after the slot is reserved. If in just that gap an interrupt moves
//! the base to another epoch (once in 2^31 ticks), or the task is preempted and goes on on another CPU
//! (kernels with full preemption only), the word is decoded with the base before, and its time is wrong
//! by one epoch. Counts and nesting are not.

use crate::marked::Marked;
use crate::percpu::INSIDE;
use crate::percpu::offset::{ANCHOR, EPOCH, HIGH, POSITION};
use crate::plan::GATE;
use crate::shadow::{Frame, RETURN_SLOT, SLACK_BIT};
use core::arch::global_asm;
use core::mem::offset_of;
use early_ftrace_format::word::{EXIT_LOW, LEAF_DURATION_MAX, LEAF_REACH};

// The leaf test in the assembly folds both limits into one shift.
const _: () = assert!(LEAF_REACH == 1 << 16 && LEAF_DURATION_MAX == (1 << 15) - 1);
const _: () = assert!(offset_of!(Frame, site) == 0 && size_of::<Frame>() == 32);

// Entry. Reached by the `call` at a site, first instruction of a function (after endbr64).
//
//   stack on arrival            after the two pushes
//   rsp+8  function's return    rsp+24
//   rsp    address after site   rsp+16
//                               rsp+8   rax
//                               rsp     rdx
//
// Live: every argument register, rax (kept to be safe: variadic calls), all callee-saved. Free: r10 and
// r11 (the kernel's own ftrace_caller does not keep them either), flags.
//   r10 = my frame; r10-32 = the frame of the innermost open function.
global_asm!(
    ".pushsection .text.eft_entry, \"ax\", @progbits",
    ".balign 64",
    ".globl eft_entry",
    ".type eft_entry, @function",
    "eft_entry:",
    "push rax",
    "push rdx",
    "mov r11, gs:[eft_fact_current_task]",
    "mov r10, [r11 + eft_fact_task_ret_stack]",
    "add qword ptr [r11 + eft_fact_task_ret_stack], {frame}", // mine from here: interrupts go above
    "bts dword ptr [r10 + {up_high}], 31",                    // claim my parent's entry word
    "jc 2f",
    // Its entry was not written: write it, since something now happens inside it.
    "test r10d, {slack}",
    "jnz 5f",
    "mov eax, 8",
    "xadd gs:[eft_fact_slots + {position}], rax",
    "test eax, {inside}", // in the header of a chunk: no slot
    "jz 3f",
    "mov edx, [r10 + {up_high}]",
    "mov r11d, [r10 + {up_time}]",
    "shld edx, r11d, 1", // bits 31 to 62 of its time
    "cmp edx, gs:[eft_fact_slots + {epoch}]",
    "jne 4f",
    "mov gs:[eft_fact_slots + {anchor}], r11d",
    "btr r11d, 31",
    "mov [rax + 4], r11d",
    "mov edx, [r10 + {up_site}]",
    "mov [rax], edx", // low half last: the word is complete
    "2:",
    "rdtsc",
    "mov [r10 + {time}], eax",
    "mov rax, [rsp + 16]",
    "mov [r10 + {site}], eax",
    "mov rax, [rsp + {slot}]",
    "mov [r10 + {ret}], rax",
    "mov [r10 + {stack}], rsp",
    "mov qword ptr [rsp + {slot}], offset eft_return",
    "mov [r10 + {high}], edx", // last: bit 31 is 0, pending; only a whole frame may be claimed
    "pop rdx",
    "pop rax",
    "ret",
    // No chunk has room (3), or the slot in rax is mine but the epoch has passed (4).
    "3:",
    "xor eax, eax",
    "4:",
    "push rcx",
    "push rsi",
    "push rdi",
    "push r8",
    "push r9",
    "push r10",
    "lea rdi, [r10 - {frame}]",
    "mov rsi, rax",
    "call eft_slow_entry",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdi",
    "pop rsi",
    "pop rcx",
    "jmp 2b",
    // The shadow stack is full: this call is not hooked.
    "5:",
    "push rcx",
    "push rsi",
    "push rdi",
    "push r8",
    "push r9",
    "mov rdi, r10",
    "call eft_slow_full",
    "pop r9",
    "pop r8",
    "pop rdi",
    "pop rsi",
    "pop rcx",
    "pop rdx",
    "pop rax",
    "ret",
    ".size eft_entry, . - eft_entry",
    ".popsection",
    frame = const size_of::<Frame>(),
    slack = const SLACK_BIT,
    slot = const RETURN_SLOT,
    site = const offset_of!(Frame, site),
    time = const offset_of!(Frame, time),
    ret = const offset_of!(Frame, ret),
    stack = const offset_of!(Frame, stack),
    high = const offset_of!(Frame, high),
    up_site = const offset_of!(Frame, site) as isize - size_of::<Frame>() as isize,
    up_time = const offset_of!(Frame, time) as isize - size_of::<Frame>() as isize,
    up_high = const offset_of!(Frame, high) as isize - size_of::<Frame>() as isize,
    position = const POSITION,
    inside = const INSIDE,
    epoch = const EPOCH,
    anchor = const ANCHOR,
);

// Return. Reached by the `ret` of a traced function, whose return address the entry has replaced.
//
//   stack on arrival                     before the final ret
//   rsp-8  (the replaced address)        rsp  the true return address
//
// Live: rax and rdx (the function's result), all callee-saved. Free: every other caller-saved register:
// the caller believes in a C call, and gcc makes no closer assumption where functions are profiled
// (-fipa-ra is off with -pg).
//   rcx = task, rsi = top of its shadow stack, rsi-32 = my frame, rdi = my slot, eax = the time.
global_asm!(
    ".pushsection .text.eft_return, \"ax\", @progbits",
    ".balign 64",
    ".globl eft_return",
    ".type eft_return, @function",
    "eft_return:",
    "mov r8, rax",
    "mov r9, rdx",
    "mov rcx, gs:[eft_fact_current_task]",
    "mov rsi, [rcx + eft_fact_task_ret_stack]",
    "rdtsc",
    "mov edi, 8",
    "bts dword ptr [rsi + {my_high}], 31", // claim my own entry word
    ".globl eft_return_claimed",
    "eft_return_claimed:",
    "jc 2f",
    // Never written: nothing was recorded inside me. One word for both.
    "xadd gs:[eft_fact_slots + {position}], rdi",
    "test edi, {inside}",
    "jz 3f",
    "cmp edx, gs:[eft_fact_slots + {higher}]",
    "jne 4f",
    // The anchor is read after the slot is reserved: an interrupt between clock and slot has moved it
    // past my time, the difference is huge, and the slow path writes two words.
    "mov edx, eax",
    "sub edx, gs:[eft_fact_slots + {anchor}]", // below 2^16?
    "mov r10d, eax",
    "sub r10d, [rsi + {my_time}]", // duration: below 2^15?
    "shr edx, 1",
    "or edx, r10d",
    "shr edx, 15",
    "jnz 4f",
    "shl eax, 15",
    "or eax, r10d",
    "bts eax, 31",
    "mov [rdi + 4], eax",
    "mov edx, [rsi + {my_site}]",
    "mov [rdi], edx",
    "push qword ptr [rsi + {my_ret}]",
    "sub qword ptr [rcx + eft_fact_task_ret_stack], {frame}",
    "mov rax, r8",
    "mov rdx, r9",
    "ret",
    // My entry word is written: an exit word.
    "2:",
    "xadd gs:[eft_fact_slots + {position}], rdi",
    "test edi, {inside}",
    "jz 6f",
    "cmp edx, gs:[eft_fact_slots + {higher}]",
    "jne 7f",
    "mov gs:[eft_fact_slots + {anchor}], eax",
    "mov [rdi + 4], eax",
    "mov dword ptr [rdi], {exit_low}",
    "5:",
    "push qword ptr [rsi + {my_ret}]",
    "sub qword ptr [rcx + eft_fact_task_ret_stack], {frame}",
    "mov rax, r8",
    "mov rdx, r9",
    "ret",
    // Slow: edx = 1 if my entry word is still to be written; rdi = my slot or 0.
    "3:",
    "xor edi, edi",
    "4:",
    "mov edx, 1",
    "jmp 8f",
    "6:",
    "xor edi, edi",
    "7:",
    "xor edx, edx",
    "8:",
    "push rcx",
    "push rsi",
    "push r8",
    "push r9",
    "xchg rdi, rsi",
    "sub rdi, {frame}",
    "call eft_slow_exit",
    "pop r9",
    "pop r8",
    "pop rsi",
    "pop rcx",
    "jmp 5b",
    ".size eft_return, . - eft_return",
    // The return of the last function on a full shadow stack: its entry word is written although its
    // frame is pending.
    ".balign 16",
    ".globl eft_return_full",
    ".type eft_return_full, @function",
    "eft_return_full:",
    "mov r8, rax",
    "mov r9, rdx",
    "mov rcx, gs:[eft_fact_current_task]",
    "mov rsi, [rcx + eft_fact_task_ret_stack]",
    "bts dword ptr [rsi + {my_high}], 31",
    "jmp 6b",
    ".size eft_return_full, . - eft_return_full",
    ".popsection",
    frame = const size_of::<Frame>(),
    exit_low = const EXIT_LOW,
    my_site = const offset_of!(Frame, site) as isize - size_of::<Frame>() as isize,
    my_time = const offset_of!(Frame, time) as isize - size_of::<Frame>() as isize,
    my_ret = const offset_of!(Frame, ret) as isize - size_of::<Frame>() as isize,
    my_high = const offset_of!(Frame, high) as isize - size_of::<Frame>() as isize,
    position = const POSITION,
    inside = const INSIDE,
    higher = const HIGH,
    anchor = const ANCHOR,
);

// Where patched kernel functions and calls arrive, and must leave everything as they found it.
//
// eft_switch: in place of the jump to __switch_to at the end of __switch_to_asm (rdi = prev, rsi = next;
// like at a function's entry otherwise).
// eft_setup_arch: in place of the call to setup_arch in start_kernel (rdi = &command_line).
global_asm!(
    ".pushsection .text.eft_glue, \"ax\", @progbits",
    ".balign 16",
    ".globl eft_switch",
    ".type eft_switch, @function",
    "eft_switch:",
    "push rdi",
    "push rsi",
    "call eft_on_switch",
    "pop rsi",
    "pop rdi",
    "jmp eft_kernel_switch_to",
    ".size eft_switch, . - eft_switch",
    ".balign 16",
    ".globl eft_setup_arch",
    ".type eft_setup_arch, @function",
    "eft_setup_arch:",
    "push rdi",
    "call eft_reserve_region",
    "pop rdi",
    "jmp eft_kernel_setup_arch",
    ".size eft_setup_arch, . - eft_setup_arch",
    // What stop_machine calls, by pointer.
    ".balign 16",
    ".globl eft_stop_point",
    ".type eft_stop_point, @function",
    "eft_stop_point:",
    "endbr64",
    "jmp eft_on_stop_point",
    ".size eft_stop_point, . - eft_stop_point",
    ".popsection",
);

// The gate: where call sites lead when text cannot be written any more, but phases to come differ.
//
// eft_gate: like at a site; all is live but r10, r11 and flags.
global_asm!(
    ".pushsection .text.eft_entry, \"ax\", @progbits",
    ".balign 16",
    ".globl eft_gate",
    ".type eft_gate, @function",
    "eft_gate:",
    "cmp dword ptr [eft_fact_header + {gate}], 0",
    "jne eft_entry",
    "ret",
    ".size eft_gate, . - eft_gate",
    ".popsection",
    gate = const GATE,
);

// Marked functions.
//
//   stack on arrival at eft_marked       in eft_on_marked's argument (`marked::Called`)
//   rsp+16 function's return             +72
//   rsp+8  address after site            +64
//   rsp    number                        +56
//                                        +48 rax .. +0 r9
//
// Live: as at eft_entry. The number goes before the call goes on, to the entry trampoline or the function.
global_asm!(
    ".pushsection .text.eft_marked, \"ax\", @progbits",
    ".macro eft_mark name, number",
    ".globl eft_mark_\\name",
    ".type eft_mark_\\name, @function",
    "eft_mark_\\name:",
    "push \\number",
    "jmp eft_marked",
    ".size eft_mark_\\name, . - eft_mark_\\name",
    ".endm",
    "eft_mark initcall, {initcall}",
    "eft_mark console, {console}",
    "eft_mark execve, {execve}",
    "eft_mark shutdown, {shutdown}",
    "eft_mark module, {module}",
    "eft_mark irq_enter, {irq_enter}",
    "eft_mark irq_exit, {irq_exit}",
    "eft_mark pci_read, {pci_read}",
    "eft_mark pci_write, {pci_write}",
    ".balign 16",
    ".globl eft_marked",
    ".type eft_marked, @function",
    "eft_marked:",
    "push rax",
    "push rdi",
    "push rsi",
    "push rdx",
    "push rcx",
    "push r8",
    "push r9",
    "mov rdi, rsp",
    "call eft_on_marked",
    "test eax, eax",
    "pop r9", // pop and lea leave the flags
    "pop r8",
    "pop rcx",
    "pop rdx",
    "pop rsi",
    "pop rdi",
    "pop rax",
    "lea rsp, [rsp + 8]",
    "jnz eft_entry",
    "ret",
    ".size eft_marked, . - eft_marked",
    // The return of a marked function. Live: rax, rdx, all callee-saved, as at eft_return. The place of the
    // replaced address is below the stack pointer now, and free: the true one goes there.
    ".balign 16",
    ".globl eft_return_marked",
    ".type eft_return_marked, @function",
    "eft_return_marked:",
    "sub rsp, 8",
    "push rax",
    "push rdx",
    "mov rdi, rsp",
    "call eft_on_marked_return",
    "pop rdx",
    "pop rax",
    "ret",
    ".size eft_return_marked, . - eft_return_marked",
    ".popsection",
    initcall = const Marked::Initcall as u32,
    console = const Marked::Console as u32,
    execve = const Marked::Execve as u32,
    shutdown = const Marked::Shutdown as u32,
    module = const Marked::Module as u32,
    irq_enter = const Marked::IrqEnter as u32,
    irq_exit = const Marked::IrqExit as u32,
    pci_read = const Marked::PciRead as u32,
    pci_write = const Marked::PciWrite as u32,
);

unsafe extern "C" {
    /// The return trampoline's address; compare only.
    pub static eft_return: u8;
    /// See [`eft_return`].
    pub static eft_return_full: u8;
    /// In the return trampoline: from here on the entry word is claimed.
    pub static eft_return_claimed: u8;
}
