//! How a failure reaches the user: one line on standard error.

use crate::text::plain;
use std::io;
use vhdx_rct::Error;

pub enum Failure {
    /// The library refused; already told on standard output where that was asked for.
    Query { error: Error, told: bool },
    /// The tool itself refuses.
    Refused(String),
    /// Writing the answer failed.
    Output(io::Error),
    /// A command has told all there is to tell, and its answer is no.
    Told,
}

impl Failure {
    pub fn report(&self) {
        match self {
            Failure::Query { told: true, .. } | Failure::Told => {}
            Failure::Query { error, .. } => match error.win32_code() {
                Some(win32) => {
                    eprintln!("error {} ({win32:#010X}): {error}", error.return_value().code())
                }
                None => eprintln!("error {}: {error}", error.return_value().code()),
            },
            Failure::Refused(message) => eprintln!("error 32775: {}", plain(message)),
            Failure::Output(error) => {
                eprintln!("error 32768: the output cannot be written: {error}")
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Query { error, told: false }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Failure::Output(error.into())
    }
}
