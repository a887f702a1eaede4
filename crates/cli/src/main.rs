//! The command-line tool. It prints what the library finds.

mod args;
mod changes;
mod failure;
mod info;
mod inspect;
mod map;
mod number;
mod question;
mod sync;
mod text;
mod usage;
mod warning;

use args::Command;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = match usage::parse() {
        Ok(args) => args.command,
        Err(status) => return status,
    };
    let result = match &command {
        Command::Changes(args) => changes::run(args),
        Command::Info(args) => info::run(args),
        Command::Sync(args) => sync::run(args),
        Command::Map(args) => map::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Completions { shell } => args::completions(*shell),
        Command::Man => args::man(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(command.is_json()),
    }
}
