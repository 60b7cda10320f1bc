// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A trace to walk through, in a terminal. In: a report and the merged call tree; then keys and clicks. Out: cells of
//! a screen. Never here: the terminal itself, standard output, raw bytes of a trace, DWARF.
//!
//! The tour, in the order that a key travels:
//! 1. [`input`]: what comes in, and which keys there are;
//! 2. [`state`]: what they do ([`find`]: typing and searching; [`mouse`]: clicks; [`list`]: cursors; [`matcher`]: what
//!    matches);
//! 3. [`data`]: what there is to look at; [`table`] and [`rows`] put it into tables, [`tree`] into the call tree, [`page`]
//!    into the page of one function, with its [`source`];
//! 4. [`view`]: draws it.

pub mod data;
pub mod find;
pub mod input;
pub mod list;
pub mod matcher;
pub mod mouse;
pub mod page;
pub mod rows;
pub mod source;
pub mod state;
pub mod table;
pub mod tree;
pub mod view;

pub use data::{Data, Scope};
pub use input::{Input, Key};
pub use state::State;
pub use view::draw;
pub use view::palette::Palette;
