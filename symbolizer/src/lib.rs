// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From a guest's memory to a report. The tour, in the order that data flows:
//! [`capture`] -> [`trace_dir`] -> [`decode`] -> [`calltree`] -> [`resolve`] -> [`report`]
//! or [`export`], for other tools; [`explore`] is a report to walk through.
//! [`trace_index`] keeps what a run through a large trace has found, for the next one.
//! decode knows no DWARF; report and export know no raw bytes; only main prints. [`compare`] puts reports of several
//! boots next to each other, and [`bisect`] searches with it for the kernel that made a difference. [`options`] stands beside them: what a kernel's command line asks for; and [`suggest`]:
//! what it should ask for next time.

pub mod bisect;
pub mod calltree;
pub mod capture;
pub mod compare;
pub mod decode;
pub mod explore;
pub mod export;
pub mod host;
pub mod import;
pub mod options;
pub mod report;
pub mod resolve;
pub mod suggest;
pub mod trace_dir;
pub mod trace_index;
