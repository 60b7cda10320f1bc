// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From sums and names to what people and programs read. In: [`crate::calltree`]'s figures and
//! [`crate::resolve`]'s names. Out: text, JSON, call trees, to a writer. Never here: raw bytes of a
//! trace, DWARF, standard output.
//!
//! The tour: [`names`] names the functions that were hit; [`model`] puts all that a report says into
//! plain data, [`levels`] the boot by its phases and initcalls; [`text`] (with [`sections`],
//! [`levels_text`], [`style`] and [`units`]) and [`json`] (with `levels_json`) write it; [`exits`] what the host has seen; [`overhead`] what of it
//! is the recorder's own cost; [`tree`] prints calls as they end, with no model; [`graph`] is the callers and
//! callees of one function, which [`graph_text`] and [`graph_json`] write; [`flames`] draws flame graphs of whatever is
//! given.

pub mod exits;
pub mod flames;
pub mod graph;
pub mod graph_json;
pub mod graph_text;
pub mod json;
pub mod levels;
mod levels_json;
pub mod levels_text;
pub mod model;
pub mod names;
pub mod overhead;
pub mod sections;
pub mod shutdown;
pub mod style;
pub mod text;
pub mod tree;
pub mod units;

pub use model::Report;
pub use names::Names;
