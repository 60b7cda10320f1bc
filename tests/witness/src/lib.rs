// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A second, independent witness of a boot: a QEMU plugin that counts how often each call site of the
//! kernel was executed, and how many instructions were executed where. The tests compare a trace
//! with its counts; the bench divides its instructions by the trace's events.
//!
//! In: `-plugin libwitness.so,sites=FILE,out=FILE[,hook=START-END]...[,insns=off]` (`options.rs`).
//! Out: one JSON file, written when QEMU exits:
//! `{"insns":{"hook":N,"kernel":N,"user":N,"other":N},"kernel_pages":[["0xADDR",N],...],
//! "sites":[["0xADDR",COUNT],...]}`. `kernel_pages` has the kernel's instructions by 2 MiB page of the
//! image's part of the address space. Only what was executed is listed; with `insns=off` the first two
//! are absent.
//!
//! Exactness: sites are counted with an atomic addition in a callback, right under any `-accel tcg`.
//! Instructions are counted by additions that QEMU compiles into its translation, one for each
//! instruction: a block that is left early (interrupt, fault) counts what it executed, which a count
//! for each block could not. QEMU 7.2 does not make these additions atomic: use
//! `-accel tcg,thread=single` with more than one CPU, or `insns=off`.
//!
//! The tour: `options.rs` -> `counters.rs` -> this file (what happens at each translation) -> `abi.rs`
//! (QEMU's side). Never here: guest memory or registers, anything that changes what the guest does.

mod abi;
mod counters;
mod options;

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use counters::Counters;
use options::Options;

/// Read by QEMU before it calls [`qemu_plugin_install`].
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static qemu_plugin_version: c_int = abi::API_VERSION;

/// Set once, before the first callback is registered.
static WITNESS: OnceLock<(Options, Counters)> = OnceLock::new();

/// QEMU's entry point: nonzero refuses to start.
///
/// # Safety
/// To be called by QEMU, with `argc` C strings in `argv`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: abi::PluginId,
    _info: *const c_void,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    let arguments = (0..usize::try_from(argc).unwrap_or(0)).map(|index| {
        // SAFETY: QEMU gives argc valid pointers to C strings that live as long as this call.
        unsafe { CStr::from_ptr(*argv.add(index)) }.to_string_lossy().into_owned()
    });
    let ready = Options::parse(arguments).and_then(|options| {
        let counters = Counters::for_sites_in(&options.sites)?;
        WITNESS.set((options, counters)).map_err(|_| "the witness is loaded twice".into())
    });
    if let Err(message) = ready {
        eprintln!("witness: {message}");
        return 1;
    }
    // SAFETY: `id` is the one that QEMU gave; both callbacks have the declared signatures and live as
    // long as this library, which QEMU never unloads before its exit.
    unsafe {
        abi::qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
        abi::qemu_plugin_register_atexit_cb(id, on_exit, std::ptr::null_mut());
    }
    0
}

/// QEMU is about to translate a block: ask for a count at each of its instructions.
extern "C" fn on_translation(_id: abi::PluginId, block: *mut abi::Block) {
    let Some((options, counters)) = WITNESS.get() else { return };
    // SAFETY: QEMU hands out a block that is valid during this callback, as are its instructions for
    // indices below the given number. The counters live in a static and are never moved or freed, so
    // QEMU's generated code may add to them for as long as the process lives.
    unsafe {
        for index in 0..abi::qemu_plugin_tb_n_insns(block) {
            let instruction = abi::qemu_plugin_tb_get_insn(block, index);
            let address = abi::qemu_plugin_insn_vaddr(instruction);
            if options.instructions {
                let counter = counters.instructions_at(address, &options.hook);
                abi::qemu_plugin_register_vcpu_insn_exec_inline(
                    instruction,
                    abi::INLINE_ADD_U64,
                    counter.as_ptr().cast(),
                    1,
                );
            }
            if let Some(counter) = counters.site_at(address) {
                abi::qemu_plugin_register_vcpu_insn_exec_cb(
                    instruction,
                    on_site,
                    abi::CB_NO_REGS,
                    std::ptr::from_ref(counter).cast_mut().cast(),
                );
            }
        }
    }
}

/// A call site is executed.
extern "C" fn on_site(_cpu: c_uint, counter: *mut c_void) {
    // SAFETY: the pointer is the one registered in `on_translation`: a counter in a static.
    let counter = unsafe { &*counter.cast::<AtomicU64>() };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// QEMU ends: write what was counted.
extern "C" fn on_exit(_id: abi::PluginId, _data: *mut c_void) {
    let Some((options, counters)) = WITNESS.get() else { return };
    let text = counters.to_json(options.instructions);
    if let Err(error) = std::fs::write(&options.out, text) {
        eprintln!("witness: cannot write {}: {error}", options.out.display());
    }
}
