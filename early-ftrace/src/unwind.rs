// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a replaced return address was: the kernel's unwinder asks, so that its stack traces stay right.

use crate::marked::eft_return_marked;
use crate::shadow::{Frame, RETURN_SLOT, base_of, top_of};
use crate::trampoline::{eft_return, eft_return_full};

/// In place of `ftrace_graph_ret_addr(task, idx, ret, retp)`: the address that belongs at `retp`.
///
/// # Safety
/// `task` is a task with a shadow stack. It may run meanwhile: then the answer may be stale, never a
/// bad access (its stack stays mapped).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eft_ret_addr(task: usize, _index: *mut i32, ret: usize, slot: usize) -> usize {
    let ours = [&raw const eft_return, &raw const eft_return_full, &raw const eft_return_marked];
    if !ours.iter().any(|ours| ours.addr() == ret) {
        return ret;
    }
    // SAFETY: frames of the task's own stack, between its base and its top.
    unsafe {
        let top = *top_of(task);
        let base = base_of(top);
        let mut frame = (top - size_of::<Frame>()) as *const Frame;
        while frame.addr() > base {
            if (*frame).stack + RETURN_SLOT == slot as u64 {
                return (*frame).ret as usize;
            }
            frame = frame.sub(1);
        }
    }
    ret
}
