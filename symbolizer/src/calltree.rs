// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From events to call trees. In: the batches of each CPU ([`crate::decode`]). Out: calls, one at a
//! time as they end, to a [`Sink`]. Never here: names, DWARF, text.
//!
//! The tour, in the order that data flows:
//! 1. [`mod@build`]: merges the CPUs and keeps the stack of each task
//!    (where each stands: `cursor`; what it counts: [`totals`]);
//! 2. [`sites`]: call sites to dense function numbers; [`modules`]: whose code was there when;
//! 3. [`task`]: tasks and their open frames;
//! 4. [`sink`]: what a consumer of calls implements;
//! 5. [`filter`]: which calls a consumer wants;
//! 6. [`phases`]: which phase of the boot it is at a time;
//! 7. [`aggregate`]: the consumer that adds up per function, phase and task;
//! 8. [`levels`]: the consumer of marks: phases, initcalls, options;
//! 9. [`contexts`]: the consumer that merges equal calls to one tree;
//! 10. [`both`]: two consumers in one run;
//! 11. [`by_cpu`]: where functions run;
//! 12. [`exits`]: in which function the host took over; [`steal`]: times without what the host took away.
//!
//! ## What a duration is
//! A call lasts from its entry to its exit. Its *wall* time is just that. Its *total* time leaves out
//! the time in which its task was not on a CPU. Its *self* time is the total less the totals of the
//! calls made from it; an interrupt nests in what it interrupts and is one of those calls.
//!
//! ## What is not known
//! Where events were lost nobody can say which functions returned meanwhile. The frames that were
//! open on that CPU are *cut*: counted as calls, with their time up to the last event before the
//! loss. An exit that finds no open frame is an *orphan*: counted, and given to no function.

pub mod aggregate;
pub mod both;
pub mod build;
pub mod by_cpu;
pub mod checkpoint;
pub mod contexts;
mod cursor;
pub mod exits;
pub mod filter;
pub mod levels;
pub mod modules;
pub mod overhead;
pub mod partial;
pub mod phases;
pub mod shutdown;
pub mod sink;
pub mod sites;
pub mod steal;
pub mod task;
pub mod totals;
pub mod wire;

pub use build::build;
pub use filter::Filter;
pub use sink::{Call, How, Sink};
pub use sites::{Function, Site};
pub use task::{Frame, Task, TaskId};
pub use totals::Totals;

#[cfg(test)]
mod host_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod module_tests;
#[cfg(test)]
mod partial_tests;
#[cfg(test)]
mod tests;
