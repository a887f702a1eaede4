//! Something to know about an answer that is complete all the same.

use std::path::{Path, PathBuf};

/// A remark on a file that does not make an answer less complete: a damaged table that was not
/// needed, a disk that was modified after its table, a parent with another disk id.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct Warning {
    /// The file that it is about.
    pub path: PathBuf,
    /// A sentence.
    pub message: String,
}

impl Warning {
    pub(crate) fn new(path: &Path, message: impl Into<String>) -> Self {
        Warning { path: path.to_owned(), message: message.into() }
    }
}
