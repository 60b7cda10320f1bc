// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The guest: what runs inside the traced kernel. No allocation, no lock, no panic, no floating
//! point, no call into the kernel on the path of an event.
//!
//! The tour, in the order that an event flows:
//! 1. [`trampoline`]: the assembly that a `call __fentry__` site reaches, and the one that a traced
//!    function returns to; both write the common words themselves;
//! 2. [`shadow`]: the frame that the first leaves for the second, and the stacks of frames;
//! 3. [`slow`]: what the trampolines hand over: an epoch has passed, a chunk is full, a leaf is long;
//! 4. [`ring`]: chunks of this CPU's ring, waiting, loss; [`percpu`]: the few variables behind it;
//! 5. [`task`]: tasks begin, switch, end; [`boot`]: the few moments of the boot that need a hand;
//!    [`unwind`]: the kernel's unwinder asks what a return address was;
//! 6. [`plan`]: what the command line asks for; [`sites`]: the call sites, led to the recorder or to nowhere;
//!    [`marked`]: the functions whose calls mean something: [`levels`] of the boot, [`modules`];
//!    [`calibrate`]: what all this costs, measured once;
//! 7. [`channel`]: where chunks go;
//! 8. [`facts`]: everything that differs from kernel to kernel, as symbols that the injector (or the
//!    kernel's own link) defines.
//!
//! The crate is compiled twice: as a library, so that its docs, lints and tests are like any other's,
//! and as the object that `kernel-config` links into an image (its `build.rs` has the flags and the
//! gate that the object must pass).
#![no_std]

pub mod boot;
pub mod calibrate;
pub mod channel;
pub mod facts;
pub mod levels;
pub mod marked;
pub mod modules;
pub mod percpu;
pub mod plan;
pub mod ring;
pub mod shadow;
pub mod sites;
pub mod slow;
pub mod task;
pub mod trampoline;
pub mod unwind;
