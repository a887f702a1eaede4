//! Warnings about answers that are nevertheless complete.

use crate::text::plain;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;
use vhdx_rct::{Disk, NextBaseline};

/// A warning of the library or of the tool itself; in JSON, as this object.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Warning {
    pub path: String,
    pub message: String,
}

impl Warning {
    pub fn new(path: &Path, message: impl Into<String>) -> Self {
        Warning { path: path.display().to_string(), message: message.into() }
    }

    /// Gathers the warnings of the library.
    pub fn all(warnings: &[vhdx_rct::Warning]) -> Vec<Self> {
        warnings.iter().map(|warning| Warning::new(&warning.path, &warning.message)).collect()
    }
}

/// Writes warnings of the library to standard error, one line each.
pub fn print(warnings: &[vhdx_rct::Warning]) -> io::Result<()> {
    print_all(&Warning::all(warnings))
}

/// Writes warnings to standard error, one line each.
pub fn print_all(warnings: &[Warning]) -> io::Result<()> {
    let mut err = io::stderr().lock();
    warnings.iter().try_for_each(|Warning { path, message }| {
        writeln!(err, "vhdx-rct: warning: {}: {}", plain(path), plain(message))
    })
}

/// Returns the baselines for the next backup. An answer is complete without them, so a failure is
/// a warning.
pub fn next_baselines(
    disk: &Disk,
    deadline: Option<Instant>,
    warnings: &mut Vec<Warning>,
) -> Vec<NextBaseline> {
    disk.next_baselines_until(deadline, None).unwrap_or_else(|error| {
        let message = format!("what to ask since the next time is unknown: {error}");
        warnings.push(Warning::new(disk.files()[0].path(), message));
        Vec::new()
    })
}
