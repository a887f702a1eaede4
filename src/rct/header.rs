//! The header pair of an `.rct` file and the branch history in it.

use super::RctId;
use super::checksum::{self, Checksum};
use super::layout::{HEADER_BYTES, HEADER_OFFSETS};
use super::raw::HeaderCopy;
use crate::error::{ErrorKind, Result};
use crate::inspect::hex;
use crate::limits::Limits;
use crate::source::Reader;
use uuid::Uuid;

/// A part of a disk's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Branch {
    /// The branch's GUID, which its ids contain.
    pub id: Uuid,
    /// The number of its first id.
    pub first: u32,
    /// A field of unknown meaning.
    pub limit: u32,
}

/// The current header of an `.rct` file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableHeader {
    /// The index of this copy: 0 (at 0x1000) or 1 (at 0x5000).
    pub copy: usize,
    /// Increases with each update of the header.
    pub counter: u64,
    /// The tracked disk's size in units.
    pub units: u64,
    /// The id that was created last: later writes have a greater number.
    pub current: RctId,
    /// A flag of unknown use.
    pub new_id: u8,
    /// The history, oldest first.
    pub branches: Vec<Branch>,
    /// The convention of its checksum.
    pub checksum: Checksum,
}

impl TableHeader {
    pub(super) fn read(file: &Reader, limits: &Limits) -> Result<Self> {
        // The copies follow one another.
        let (at, length) = (HEADER_OFFSETS[0], 2 * HEADER_BYTES);
        let bytes = file.read_vec(limits, at, length, "the headers of the tracking table")?;
        let (first, second) = bytes.split_at(HEADER_BYTES);
        let copies = [first, second];
        let checksum = checksum::of_headers(copies);
        let valid = (0..2).filter_map(|i| Self::parse(copies[i], i, checksum.as_ref()?));
        // Of two equal counters the first copy is as good as the second.
        valid.reduce(|a, b| if b.counter > a.counter { b } else { a }).ok_or_else(|| {
            let start = hex(&copies[0][..64]);
            let reason = match checksum {
                None => format!(
                    "expected a checksum by one of {} conventions, found none that holds",
                    checksum::header_candidates().count()
                ),
                Some(sum) => format!(
                    "its {sum} holds, but expected its history to have 1 to 511 branches, found another count"
                ),
            };
            file.error(
                ErrorKind::UntrustedTracking,
                format!(
                    "neither header of the tracking table is valid: {reason}. The first begins {start}; if Windows \
                     wrote this file, please report what `vhdx-rct inspect` says of it"
                ),
            )
        })
    }

    /// Returns None if the copy is invalid.
    pub(super) fn parse(bytes: &[u8], copy: usize, checksum: &Checksum) -> Option<Self> {
        if !checksum.holds(bytes) {
            return None;
        }
        HeaderCopy::from_bytes(bytes).ok()?.table_header(copy, *checksum)
    }
}
