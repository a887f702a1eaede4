//! What is worth knowing although the answer is complete.

use crate::text::plain;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;

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

/// Writes warnings to standard error, one line each.
pub fn print(warnings: &[vhdx_rct::Warning]) -> io::Result<()> {
    let mut err = io::stderr().lock();
    Warning::all(warnings).iter().try_for_each(|Warning { path, message }| {
        writeln!(err, "vhdx-rct: warning: {}: {}", plain(path), plain(message))
    })
}
