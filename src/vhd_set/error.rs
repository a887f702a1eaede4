//! The reasons why a VHD Set or its snapshots cannot be used.

use super::layout::MAX_NAME_BYTES;
use crate::baseline::SnapshotId;
use crate::error::{ErrorKind, impl_from_format};
use std::char::DecodeUtf16Error;
use std::str::Utf8Error;
use thiserror::Error;

/// The reason why a set or a catalog cannot be used. `next_step` is the command that writes a
/// catalog.
#[derive(Debug, Error)]
pub(super) enum SetError {
    #[error("expected a VHD Set (.vhds), which begins \"vhdsetv1\", found {0}")]
    Signature(String),
    #[error("expected header version 1, found {0}")]
    HeaderVersion(u32),
    #[error(
        "expected headers with the same sequence number to be equal, found two that differ, so neither is known to be \
         current"
    )]
    HeadersDiffer,
    #[error(
        "expected a header signed \"shdr\" with a matching CRC-32C at 0x10000 or 0x20000, found none; `vhdx-rct \
         inspect` shows what is there"
    )]
    NoHeader,
    #[error(
        "expected the active file's name to have 2 to {MAX_NAME_BYTES} bytes, an even number, found {0}"
    )]
    NameLength(usize),
    #[error("expected the active file's name to be UTF-16: {0}")]
    NameEncoding(DecodeUtf16Error),
    #[error("expected the active file's name to be a file name, found \"{}\"", .0.escape_debug())]
    NameIsPath(String),
    #[error(
        "the set changed while it was read, so no range is certain; read it from a snapshot of the storage"
    )]
    Changed,
    #[error("expected a snapshot catalog of at most 16 MiB, found {0} bytes")]
    CatalogLength(u64),
    #[error("expected the snapshot catalog to be UTF-8 or UTF-16LE: {0}")]
    CatalogUtf8(Utf8Error),
    #[error(
        "expected the snapshot catalog, which begins as UTF-16LE, to be UTF-16LE, found other bytes"
    )]
    CatalogUtf16,
    #[error("expected the snapshot catalog to be JSON: {0}")]
    CatalogJson(serde_json::Error),
    #[error("expected the snapshot catalog to list each snapshot once, found {0} twice")]
    ListedTwice(SnapshotId),
    #[error("expected each entry of the snapshot catalog to have a SnapshotId, found one without")]
    NoSnapshotId,
    #[error("expected {member} in the snapshot catalog to be {expected}, found {found}")]
    Member { member: &'static str, expected: &'static str, found: String },
    #[error(
        "{what}, {path}, cannot be found in the set's directory nor in {searched} search paths; add its directory as \
         a search path"
    )]
    FileNotFound { what: &'static str, path: String, searched: usize },
    #[error(
        "the snapshot {id} is unknown: the set has no catalog of its snapshots, and the names of its files prove \
         nothing; {next_step}"
    )]
    NoCatalog { id: SnapshotId, next_step: String },
    #[error("the snapshot {id} is unknown: no catalog lists it; {next_step}")]
    NotListed { id: SnapshotId, next_step: String },
    #[error(
        "the snapshot {id} is unknown: no catalog lists it, and the set holds records that this version cannot read \
         ({records}); {next_step}"
    )]
    UnknownRecords { id: SnapshotId, records: String, next_step: String },
    #[error(
        "the target snapshot {0} is reference-only: its file was merged away, so its content is unavailable"
    )]
    ReferenceOnly(SnapshotId),
    #[error(
        "expected the baseline snapshot {id} to lie in the target's history, found the two unrelated: {reason}"
    )]
    Unrelated { id: SnapshotId, reason: String },
    #[error("the snapshot catalog is stale: {differs}; write it again: {next_step}")]
    Stale { differs: String, next_step: String },
}

impl_from_format!(SetError);

impl SetError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Signature(_) => ErrorKind::NotVirtualDisk,
            Self::HeaderVersion(_) => ErrorKind::UnsupportedVersion,
            Self::Changed => ErrorKind::Changed,
            Self::FileNotFound { .. } | Self::ReferenceOnly(_) => ErrorKind::ParentNotFound,
            Self::NoCatalog { .. } | Self::NotListed { .. } => ErrorKind::InvalidParameter,
            Self::Unrelated { .. } => ErrorKind::InvalidParameter,
            Self::UnknownRecords { .. } => ErrorKind::UnknownRequired,
            Self::Stale { .. } => ErrorKind::CatalogMismatch,
            _ => ErrorKind::Corrupt,
        }
    }
}
