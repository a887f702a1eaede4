//! The errors of this crate.

use std::io;
use std::path::{Path, PathBuf};

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a sample cannot be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the sample breaks a rule.
    #[error("{}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// A sentence with the expected and the found value.
        message: String,
    },
    /// The directory has no sample.
    #[error(
        "{}: expected a sample, a directory with a manifest.json, here or in a directory in it, found none; unpack \
         the archive that collect.ps1 made, and name its directory",
        .0.display()
    )]
    NoSample(PathBuf),
    /// A file of the sample cannot be read.
    #[error("{}: {what}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The attempted operation.
        what: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A disk of the sample cannot be read.
    #[error(transparent)]
    Disk(#[from] vhdx_rct::Error),
}

impl Error {
    pub(crate) fn invalid(path: &Path, message: impl Into<String>) -> Self {
        Error::Invalid { path: path.to_owned(), message: message.into() }
    }

    pub(crate) fn io(path: &Path, what: &'static str, source: io::Error) -> Self {
        Error::Io { path: path.to_owned(), what, source }
    }
}
