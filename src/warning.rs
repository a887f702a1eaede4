//! A warning about an answer that is nevertheless complete.

use std::path::{Path, PathBuf};

/// A problem with a file that does not make answers incomplete: a damaged table that was not
/// needed, a disk that was modified after its table, a parent with another disk id.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct Warning {
    /// The file that the warning is about.
    pub path: PathBuf,
    /// The warning as a sentence.
    pub message: String,
}

impl Warning {
    pub(crate) fn new(path: &Path, message: impl Into<String>) -> Self {
        Warning { path: path.to_owned(), message: message.into() }
    }
}
