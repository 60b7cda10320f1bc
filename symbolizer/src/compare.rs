// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Several boots next to each other. In: a report of each. Out: what they have in common and how much they vary,
//! as text or JSON. Never here: raw bytes of a trace, DWARF, standard output.
//!
//! The tour, in the order that data flows:
//! 1. [`settings`]: what boots must have in common to be compared;
//! 2. [`profile`]: one boot's figures by names, which are the same in each boot, as addresses need not be;
//! 3. [`spread`]: a figure over many boots; [`noise`]: what so many can tell;
//! 4. [`merge`]: the figures of many boots, written by [`merge_text`] and [`merge_json`];
//! 5. [`boot`]: all that is kept of one boot, [`kept`], its file, and [`identity`], whether two are one;
//! 6. [`judge`] compares two sets of boots, with [`matching`] for functions of different kernels and [`statistics`];
//! 7. [`diff`]: what it finds, and [`signature`], what of it tells most clearly on which side another boot is;
//! 8. [`explain`] says a comparison in sentences, [`diff_text`], [`diff_json`] and [`diff_flame`] write all of it;
//! 9. [`budget`]: what a boot may cost; [`check`] holds boots against it and a baseline (`check_text`, `check_json`, `check_junit`);
//! 10. [`trend`]: many boots over time, with [`changepoints`] (`trend_text`, `trend_json`, `trend_svg`).

pub mod boot;
pub mod budget;
pub mod changepoints;
pub mod check;
pub mod check_json;
pub mod check_junit;
pub mod check_text;
pub mod diff;
pub mod diff_flame;
pub mod diff_json;
pub mod diff_text;
pub mod diff_words;
pub mod explain;
pub mod identity;
pub mod judge;
pub mod kept;
pub mod matching;
pub mod merge;
pub mod merge_json;
pub mod merge_text;
pub mod noise;
pub mod profile;
pub mod settings;
pub mod signature;
#[cfg(test)]
mod sketch;
pub mod spread;
pub mod statistics;
pub mod trend;
pub mod trend_json;
pub mod trend_svg;
pub mod trend_text;
pub mod ways;
