// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The command line: one file per subcommand. Only this module and main print.

pub mod inject;
pub mod record;
pub mod report;
