// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Hypercalls. In: frames. Out: hypercalls of up to four words each (`early_ftrace_format::stream::Call` has the
//! numbers); an unmodified KVM refuses them, and its tracepoint has seen them by then. Never here: one where it could be
//! an invalid instruction.
//!
//! Only KVM is trusted to take the instruction of the processor's vendor: QEMU's own emulation, Xen, Hyper-V and others
//! raise #UD, act upon the number, or show it to no tracepoint. So CPUID must tell of KVM, at the first leaf (KVM that
//! plays Hyper-V stands at a later one, and takes hypercalls for Hyper-V's). A confidential guest (SEV-ES, TDX) has no
//! early CPUID: such a kernel cannot be traced before it has handlers for that, whatever the channel.

use super::frames::Frame;
use crate::ring::header;
use core::arch::{global_asm, x86_64::__cpuid};
use early_ftrace_format::stream::{Call, MOST_WORDS};

/// CPUID leaf 1, ecx: a hypervisor is present.
const HYPERVISOR: u32 = 1 << 31;

/// First CPUID leaf of hypervisors (`KVM_CPUID_SIGNATURE`, arch/x86/include/uapi/asm/kvm_para.h).
const SIGNATURE: u32 = 0x4000_0000;

/// `KVMKVMKVM\0\0\0`, in ebx, ecx, edx.
const KVM: [u32; 3] = [u32::from_le_bytes(*b"KVMK"), u32::from_le_bytes(*b"VMKV"), u32::from_le_bytes(*b"M\0\0\0")];

// The one place where hypercalls are made: the host tells them by its address from those of user space.
//
// eft_hypercall(number, a0, a1, a2, a3, amd): KVM takes rax, rbx, rcx, rdx, rsi, and gives rax back, which says -ENOSYS.
// rbx is the caller's.
global_asm!(
    ".pushsection .text.eft_hypercall, \"ax\", @progbits",
    ".balign 16",
    ".globl eft_hypercall",
    ".type eft_hypercall, @function",
    "eft_hypercall:",
    "push rbx",
    "mov rax, rdi",
    "mov rbx, rsi",
    "xchg rcx, rdx", // a1 and a2 came the other way round
    "mov rsi, r8",
    "test r9d, r9d",
    "jnz 2f",
    ".globl eft_vmcall",
    "eft_vmcall:",
    "vmcall",
    "pop rbx",
    "ret",
    "2:",
    ".globl eft_vmmcall",
    "eft_vmmcall:",
    "vmmcall",
    "pop rbx",
    "ret",
    ".size eft_hypercall, . - eft_hypercall",
    ".popsection",
);

unsafe extern "C" {
    fn eft_hypercall(number: u64, a0: u64, a1: u64, a2: u64, a3: u64, amd: u32);
    /// Address only.
    static eft_vmcall: u8;
    /// Address only.
    static eft_vmmcall: u8;
}

/// Words in each hypercall, of what the command line says.
pub fn words(asked: Option<u16>) -> u32 {
    match asked {
        Some(words) if words >= 1 && words as usize <= MOST_WORDS => words as u32,
        _ => MOST_WORDS as u32,
    }
}

/// Takes it into use; false if it is not there.
pub fn take() -> bool {
    let Some(amd) = vendor() else { return false };
    let at = if amd { &raw const eft_vmmcall } else { &raw const eft_vmcall };
    // SAFETY: our header; only the boot CPU runs.
    unsafe { (*header()).hypercall_rip = at.addr() as u64 };
    true
}

/// Whether the instruction is AMD's; none where no hypercall may be made.
fn vendor() -> Option<bool> {
    if __cpuid(1).ecx & HYPERVISOR == 0 {
        return None;
    }
    let leaf = __cpuid(SIGNATURE);
    if [leaf.ebx, leaf.ecx, leaf.edx] != KVM {
        return None;
    }
    // The first four letters tell vendors apart, and who has which instruction.
    match &__cpuid(0).ebx.to_le_bytes() {
        b"Auth" | b"Hygo" => Some(true),
        b"Genu" | b"Cent" | b"  Sh" => Some(false),
        _ => None,
    }
}

/// Sends a frame.
pub fn send(frame: &Frame) -> bool {
    // SAFETY: header fields that do not change once the channel is chosen.
    let (pack, rip) = unsafe { ((*header()).pack as usize, (*header()).hypercall_rip) };
    let amd = (rip == (&raw const eft_vmmcall).addr() as u64) as u32;
    let (mut at, length) = (0, frame.words());
    while at < length {
        let left = length - at;
        let words = if pack == 0 || pack > left { left.min(MOST_WORDS) } else { pack };
        let number = Call { level: 0, first: at == 0, words: words as u8 }.number();
        let word = |index: usize| if index < words { frame.word(at + index) } else { 0 };
        // SAFETY: `take` has found who executes it; it changes rax.
        unsafe { eft_hypercall(number, word(0), word(1), word(2), word(3), amd) };
        at += words;
    }
    true
}
