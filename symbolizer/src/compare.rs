// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Several boots next to each other. In: a report of each. Out: what they have in common and how much they vary,
//! as text or JSON. Never here: raw bytes of a trace, DWARF, standard output.
//!
//! The tour, in the order that data flows:
//! 1. [`settings`]: what boots must have in common to be compared;
//! 2. [`profile`]: one boot's figures by names, which are the same in each boot, as addresses need not be;
//! 3. [`spread`]: a figure over many boots; [`noise`]: what so many can tell;
//! 4. [`merge`]: the figures of many boots, written by [`merge_text`] and [`merge_json`].

pub mod boot;
pub mod diff;
pub mod kept;
pub mod merge;
pub mod merge_json;
pub mod merge_text;
pub mod noise;
pub mod profile;
pub mod settings;
pub mod spread;
