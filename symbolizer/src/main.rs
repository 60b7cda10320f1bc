// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The `symbolize` command (skeleton).

mod cli;

fn main() {}
