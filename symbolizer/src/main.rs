// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The `symbolize` command: exit codes and error messages; all else is in [`cli`] and the library.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => ExitCode::from(code),
        // Who closes the pipe has seen enough.
        Err(error) if cli::output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("symbolize: {error:#}");
            ExitCode::from(2)
        }
    }
}
