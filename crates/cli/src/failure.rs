//! Commands that end without success.

use crate::text::{plain, plain_json};
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use vhdx_rct::{Error, ReturnValue};

/// Why a command ends without success.
pub enum Failure {
    /// The question was not answered.
    Refused(Refusal),
    /// The answer could not be written.
    Output(io::Error),
    /// The answer is written, and it is a bad one: the exit status repeats that.
    Verdict,
}

/// Why a question was not answered; in JSON, as this object.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Refusal {
    #[serde(skip)]
    status: u8,
    return_value: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    win32_error: Option<String>,
    message: String,
    needs_full_backup: bool,
}

const FAILED: u8 = 1;
const USAGE: u8 = 2;

impl Failure {
    /// Creates a failure of the tool itself.
    pub fn new(value: ReturnValue, message: impl Into<String>) -> Self {
        Failure::Refused(Refusal::new(value, message))
    }

    /// Creates a failure of the tool about a file.
    pub fn about(path: &Path, value: ReturnValue, message: &str) -> Self {
        Failure::new(value, format!("{}: {message}", path.display()))
    }

    /// Creates a failure for a file that cannot be read.
    pub fn unreadable(path: &Path, cause: &io::Error) -> Self {
        Failure::io(path, "read", cause)
    }

    /// Creates a failure for a file that cannot be written.
    pub fn unwritable(path: &Path, cause: &io::Error) -> Self {
        Failure::io(path, "written", cause)
    }

    fn io(path: &Path, what: &str, cause: &io::Error) -> Self {
        let value = match cause.kind() {
            io::ErrorKind::NotFound => ReturnValue::FileNotFound,
            io::ErrorKind::PermissionDenied => ReturnValue::AccessDenied,
            _ => ReturnValue::Failed,
        };
        Failure::about(path, value, &format!("cannot be {what}: {cause}"))
    }

    /// Creates a failure for a command line that cannot be understood.
    pub fn usage(message: impl Into<String>) -> Self {
        let refusal = Refusal::new(ReturnValue::InvalidParameter, message);
        Failure::Refused(Refusal { status: USAGE, ..refusal })
    }

    /// Creates a failure for text of the command line that the library cannot parse.
    pub fn malformed(option: &str, error: &Error) -> Self {
        Failure::Refused(Refusal { status: USAGE, ..Refusal::at(option, error) })
    }

    /// Reports the failure, as an object on standard output or as a line on standard error, and
    /// returns the exit status.
    pub fn report(&self, as_json: bool) -> ExitCode {
        let (mut out, mut err) = (io::stdout(), io::stderr());
        // If the failure cannot be written either, the exit status is all that is left.
        let status = match self {
            Failure::Refused(refusal) => {
                let _ = match serde_json::to_string(refusal) {
                    Ok(object) if as_json => writeln!(out, "{}", plain_json(object)),
                    _ => writeln!(err, "{}", refusal.line()),
                };
                refusal.status
            }
            // The program that read the output has closed it: nothing failed.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Failure::Output(error) => {
                let code = ReturnValue::Failed.code();
                let _ =
                    writeln!(err, "vhdx-rct: error {code}: the output cannot be written: {error}");
                FAILED
            }
            Failure::Verdict => FAILED,
        };
        ExitCode::from(status)
    }
}

impl Refusal {
    fn new(value: ReturnValue, message: impl Into<String>) -> Self {
        Refusal {
            status: FAILED,
            return_value: value.code(),
            win32_error: None,
            message: message.into(),
            needs_full_backup: false,
        }
    }

    /// Creates a refusal for an error of the library, which is about a place.
    fn at(place: impl Display, error: &Error) -> Self {
        Refusal { message: format!("{place}: {error}"), ..Refusal::from(error) }
    }

    fn line(&self) -> String {
        let code = self.win32_error.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
        format!("vhdx-rct: error {}{code}: {}", self.return_value, plain(&self.message))
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        Refusal {
            win32_error: error.win32_code().map(|code| format!("{code:#010X}")),
            needs_full_backup: error.needs_full_backup(),
            ..Refusal::new(error.return_value(), error.to_string())
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Refused(Refusal::from(&error))
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
