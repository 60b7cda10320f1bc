// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The `symbolize` command (a stand-in until the whole command line is merged).

mod cli;

#[derive(clap::Parser)]
#[command(version)]
enum Command {
    /// Boot a traced kernel and record what it does
    Record(cli::record::Args),
    /// Make a traced kernel
    Inject(cli::inject::Args),
    /// Print what happened
    Report(cli::report::Args),
}

fn main() -> std::process::ExitCode {
    let result = match <Command as clap::Parser>::parse() {
        Command::Record(args) => cli::record::run(args),
        Command::Inject(args) => cli::inject::run(args),
        Command::Report(args) => cli::report::run(args),
    };
    result
        .unwrap_or_else(|error| {
            eprintln!("symbolize: error: {error:#}");
            2
        })
        .into()
}
