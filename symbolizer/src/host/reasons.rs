// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Names of exit reasons. In: the instruction set's extension and the reason's number, as `kvm:kvm_exit` has them.
//! Out: the name that Linux gives it. Source of names and numbers: arch/x86/include/uapi/asm/svm.h (SVM_EXIT_*) and
//! vmx.h (EXIT_REASON_*). Never here: what a reason costs.

use super::placed::Reason;

/// VMX.
pub const VMX: u32 = 1;

/// SVM.
pub const SVM: u32 = 2;

/// Either, by one of the tracer's own hypercalls. KVM has no such number.
pub const OURS: u32 = 0x4546;

/// In order.
const SVM_NAMES: &[(u32, &str)] = &[
    (0x000, "read_cr0"),
    (0x002, "read_cr2"),
    (0x003, "read_cr3"),
    (0x004, "read_cr4"),
    (0x008, "read_cr8"),
    (0x010, "write_cr0"),
    (0x012, "write_cr2"),
    (0x013, "write_cr3"),
    (0x014, "write_cr4"),
    (0x018, "write_cr8"),
    (0x020, "read_dr0"),
    (0x021, "read_dr1"),
    (0x022, "read_dr2"),
    (0x023, "read_dr3"),
    (0x024, "read_dr4"),
    (0x025, "read_dr5"),
    (0x026, "read_dr6"),
    (0x027, "read_dr7"),
    (0x030, "write_dr0"),
    (0x031, "write_dr1"),
    (0x032, "write_dr2"),
    (0x033, "write_dr3"),
    (0x034, "write_dr4"),
    (0x035, "write_dr5"),
    (0x036, "write_dr6"),
    (0x037, "write_dr7"),
    (0x040, "DE excp"),
    (0x041, "DB excp"),
    (0x043, "BP excp"),
    (0x044, "OF excp"),
    (0x045, "BR excp"),
    (0x046, "UD excp"),
    (0x047, "NM excp"),
    (0x048, "DF excp"),
    (0x04a, "TS excp"),
    (0x04b, "NP excp"),
    (0x04c, "SS excp"),
    (0x04d, "GP excp"),
    (0x04e, "PF excp"),
    (0x050, "MF excp"),
    (0x051, "AC excp"),
    (0x052, "MC excp"),
    (0x053, "XM excp"),
    (0x060, "interrupt"),
    (0x061, "nmi"),
    (0x062, "smi"),
    (0x063, "init"),
    (0x064, "vintr"),
    (0x065, "cr0_sel_write"),
    (0x066, "idtr_read"),
    (0x067, "gdtr_read"),
    (0x068, "ldtr_read"),
    (0x069, "tr_read"),
    (0x06a, "idtr_write"),
    (0x06b, "gdtr_write"),
    (0x06c, "ldtr_write"),
    (0x06d, "tr_write"),
    (0x06e, "rdtsc"),
    (0x06f, "rdpmc"),
    (0x070, "pushf"),
    (0x071, "popf"),
    (0x072, "cpuid"),
    (0x073, "rsm"),
    (0x074, "iret"),
    (0x075, "swint"),
    (0x076, "invd"),
    (0x077, "pause"),
    (0x078, "hlt"),
    (0x079, "invlpg"),
    (0x07a, "invlpga"),
    (0x07b, "io"),
    (0x07c, "msr"),
    (0x07d, "task_switch"),
    (0x07e, "ferr_freeze"),
    (0x07f, "shutdown"),
    (0x080, "vmrun"),
    (0x081, "vmmcall"),
    (0x082, "vmload"),
    (0x083, "vmsave"),
    (0x084, "stgi"),
    (0x085, "clgi"),
    (0x086, "skinit"),
    (0x087, "rdtscp"),
    (0x089, "wbinvd"),
    (0x08a, "monitor"),
    (0x08b, "mwait"),
    (0x08c, "mwait_cond"),
    (0x08d, "xsetbv"),
    (0x08e, "rdpru"),
    (0x08f, "efer_write_trap"),
    (0x090, "cr0_write_trap"),
    (0x094, "cr4_write_trap"),
    (0x098, "cr8_write_trap"),
    (0x0a2, "invpcid"),
    (0x0a5, "bus_lock"),
    (0x0a6, "idle_hlt"),
    (0x400, "npf"),
    (0x401, "avic_incomplete_ipi"),
    (0x402, "avic_unaccelerated_access"),
    (0x403, "vmgexit"),
    (0xffff_ffff, "invalid_guest_state"),
];

/// In order.
const VMX_NAMES: &[(u32, &str)] = &[
    (0, "EXCEPTION_NMI"),
    (1, "EXTERNAL_INTERRUPT"),
    (2, "TRIPLE_FAULT"),
    (3, "INIT_SIGNAL"),
    (4, "SIPI_SIGNAL"),
    (6, "OTHER_SMI"),
    (7, "INTERRUPT_WINDOW"),
    (8, "NMI_WINDOW"),
    (9, "TASK_SWITCH"),
    (10, "CPUID"),
    (12, "HLT"),
    (13, "INVD"),
    (14, "INVLPG"),
    (15, "RDPMC"),
    (16, "RDTSC"),
    (18, "VMCALL"),
    (19, "VMCLEAR"),
    (20, "VMLAUNCH"),
    (21, "VMPTRLD"),
    (22, "VMPTRST"),
    (23, "VMREAD"),
    (24, "VMRESUME"),
    (25, "VMWRITE"),
    (26, "VMOFF"),
    (27, "VMON"),
    (28, "CR_ACCESS"),
    (29, "DR_ACCESS"),
    (30, "IO_INSTRUCTION"),
    (31, "MSR_READ"),
    (32, "MSR_WRITE"),
    (33, "INVALID_STATE"),
    (34, "MSR_LOAD_FAIL"),
    (36, "MWAIT_INSTRUCTION"),
    (37, "MONITOR_TRAP_FLAG"),
    (39, "MONITOR_INSTRUCTION"),
    (40, "PAUSE_INSTRUCTION"),
    (41, "MCE_DURING_VMENTRY"),
    (43, "TPR_BELOW_THRESHOLD"),
    (44, "APIC_ACCESS"),
    (45, "EOI_INDUCED"),
    (46, "GDTR_IDTR"),
    (47, "LDTR_TR"),
    (48, "EPT_VIOLATION"),
    (49, "EPT_MISCONFIG"),
    (50, "INVEPT"),
    (51, "RDTSCP"),
    (52, "PREEMPTION_TIMER"),
    (53, "INVVPID"),
    (54, "WBINVD"),
    (55, "XSETBV"),
    (56, "APIC_WRITE"),
    (57, "RDRAND"),
    (58, "INVPCID"),
    (59, "VMFUNC"),
    (60, "ENCLS"),
    (61, "RDSEED"),
    (62, "PML_FULL"),
    (63, "XSAVES"),
    (64, "XRSTORS"),
    (67, "UMWAIT"),
    (68, "TPAUSE"),
    (74, "BUS_LOCK"),
    (75, "NOTIFY"),
];

/// VMX: the basic reason; the bits above say how the exit came about.
const BASIC: u32 = 0xffff;

/// The name, or the number if it has none.
pub fn name(reason: Reason) -> String {
    let (names, code) = match reason.isa {
        VMX => (VMX_NAMES, reason.code & BASIC),
        SVM => (SVM_NAMES, reason.code),
        OURS => return "own hypercall".to_owned(),
        _ => (&[][..], reason.code),
    };
    let known = names.binary_search_by_key(&code, |known| known.0).ok().and_then(|index| names.get(index));
    known.map_or_else(|| format!("reason {:#x}", reason.code), |known| known.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_linuxs_names() {
        let name = |isa, code| name(Reason { isa, code });
        assert_eq!(
            [name(SVM, 0x81), name(SVM, 0x400), name(SVM, 0x78), name(SVM, 0x60)],
            ["vmmcall", "npf", "hlt", "interrupt"]
        );
        assert_eq!(
            [name(VMX, 18), name(VMX, 48), name(VMX, 0x8000_0021)],
            ["VMCALL", "EPT_VIOLATION", "INVALID_STATE"]
        );
        assert_eq!([name(VMX, 5), name(SVM, 0x999), name(3, 18)], ["reason 0x5", "reason 0x999", "reason 0x12"]);
        for names in [SVM_NAMES, VMX_NAMES] {
            assert!(names.is_sorted_by(|a, b| a.0 < b.0));
        }
    }
}
