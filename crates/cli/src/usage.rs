//! Parses the command line; its failures have the form of all failures.

use crate::args::Args;
use crate::failure::Failure;
use clap::Parser;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::process::ExitCode;

/// Parses the command line of this process. Help and failures are printed here, and the exit
/// status is returned.
pub fn parse() -> Result<Args, ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    Args::try_parse_from(&arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print(); // a closed output is not a failure
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
        _ => Failure::usage(sentence(&error)).report(asks_for_json(&arguments)),
    })
}

/// Returns whether a command line that cannot be understood seems to ask for JSON.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let options: Vec<_> = arguments.iter().take_while(|argument| *argument != "--").collect();
    options.iter().any(|argument| *argument == "--format=json")
        || options.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
}

/// The error in one line, without the usage.
fn sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let parts =
        text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let parts = parts.filter(|part| !part.is_empty() && !part.starts_with("Usage:"));
    let sentence = parts.collect::<Vec<_>>().join("; ");
    let sentence = sentence.strip_prefix("error: ").unwrap_or(&sentence);
    sentence
        .replace("; For more information, try '--help'.", "; for more information, try '--help'")
}
