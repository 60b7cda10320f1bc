// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a replaced return address was: the kernel's unwinder asks, so that its stack traces stay right. And that ours is
//! text: the dump of a stack (at a panic, an oops, a warning) looks only at such addresses, and asks the unwinder then.

use crate::marked::eft_return_marked;
use crate::shadow::{Frame, RETURN_SLOT, base_of, top_of};
use crate::trampoline::{eft_return, eft_return_full};

/// Where we make functions return to.
fn is_ours(address: usize) -> bool {
    let ours = [&raw const eft_return, &raw const eft_return_full, &raw const eft_return_marked];
    ours.iter().any(|ours| ours.addr() == address)
}

/// In place of `is_ftrace_trampoline(addr)`: ftrace is off, and has none; ours are what is asked for.
#[unsafe(no_mangle)]
pub extern "C" fn eft_is_trampoline(address: usize) -> bool {
    is_ours(address)
}

/// In place of `ftrace_graph_ret_addr(task, idx, ret, retp)`: the address that belongs at `retp`.
///
/// # Safety
/// `task` is a task with a shadow stack. It may run meanwhile: then the answer may be stale, never a
/// bad access (its stack stays mapped).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eft_ret_addr(task: usize, _index: *mut i32, ret: usize, slot: usize) -> usize {
    if !is_ours(ret) {
        return ret;
    }
    // SAFETY: frames of the task's own stack, between its base and its top.
    unsafe {
        let top = *top_of(task);
        let base = base_of(top);
        let mut frame = (top - size_of::<Frame>()) as *const Frame;
        while frame.addr() > base {
            // A function that ends by a jump to another shares its slot: what it replaced is a frame further down.
            if (*frame).stack + RETURN_SLOT == slot as u64 && !is_ours((*frame).ret as usize) {
                return (*frame).ret as usize;
            }
            frame = frame.sub(1);
        }
    }
    ret
}
