//! The command-line tool. It says what the library says; all logic is there.

mod args;
mod changes;
mod failure;
mod info;
mod inspect;
mod map;
mod sync;
mod text;

use args::{Args, Command};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Changes(args) => changes::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Sync(args) => sync::run(&args),
        Command::Map(args) => map::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Completions { shell } => args::completions(shell),
        Command::Man => args::man(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has had enough: nothing failed.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            failure.report();
            ExitCode::FAILURE
        }
    }
}
