// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The few functions of QEMU's plugin interface that the witness calls, declared by hand for
//! version 1 of the interface (QEMU 4.2 to 8.2; QEMU 9 replaced the inline additions).
//! Never here: anything but declarations.

use std::ffi::{c_int, c_uint, c_void};

/// Version of the interface that these declarations follow.
pub const API_VERSION: c_int = 1;
/// `QEMU_PLUGIN_INLINE_ADD_U64`.
pub const INLINE_ADD_U64: c_int = 0;
/// `QEMU_PLUGIN_CB_NO_REGS`: the callback reads and writes no guest register.
pub const CB_NO_REGS: c_int = 0;

/// `qemu_plugin_id_t`.
pub type PluginId = u64;

/// `struct qemu_plugin_tb`: a block of instructions under translation.
#[repr(C)]
pub struct Block {
    opaque: [u8; 0],
}

/// `struct qemu_plugin_insn`.
#[repr(C)]
pub struct Instruction {
    opaque: [u8; 0],
}

unsafe extern "C" {
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(id: PluginId, callback: extern "C" fn(PluginId, *mut Block));
    pub fn qemu_plugin_register_atexit_cb(
        id: PluginId,
        callback: extern "C" fn(PluginId, *mut c_void),
        data: *mut c_void,
    );
    pub fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    pub fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    pub fn qemu_plugin_insn_vaddr(instruction: *const Instruction) -> u64;
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        callback: extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_insn_exec_inline(
        instruction: *mut Instruction,
        operation: c_int,
        counter: *mut c_void,
        addend: u64,
    );
}
