//! The header pair of an `.rct` file and the branch history in it.

use super::RctId;
use super::checksum::{self, Checksum};
use super::layout::*;
use crate::bytes::guid;
use crate::error::{ErrorKind, Result};
use crate::inspect::hex;
use crate::source::Reader;
use byteorder::{ByteOrder, LittleEndian};
use uuid::Uuid;

/// A part of a disk's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Branch {
    /// Its GUID, which its ids carry.
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
    /// Which copy this is: 0 (at 0x1000) or 1 (at 0x5000).
    pub copy: usize,
    /// Grows with each update of the header.
    pub counter: u64,
    /// The tracked disk's size in units.
    pub units: u64,
    /// The id that was sealed and handed out last: what was written since has a greater number.
    pub current: RctId,
    /// A flag of unknown use.
    pub new_id: u8,
    /// The history, oldest first.
    pub branches: Vec<Branch>,
    /// The convention by which its checksum holds.
    pub checksum: Checksum,
}

impl TableHeader {
    pub(super) fn read(file: &Reader) -> Result<Self> {
        let mut copies = [const { Vec::new() }; 2];
        for (copy, offset) in copies.iter_mut().zip(HEADER_OFFSETS) {
            *copy = file.read_vec(offset, HEADER_BYTES, "a header of the tracking table")?;
        }
        let checksum = checksum::of_headers([&copies[0], &copies[1]]);
        let valid = (0..2).filter_map(|i| Self::parse(&copies[i], i, checksum.as_ref()?));
        // Of two equal counters the first copy is as good as the second.
        valid.reduce(|a, b| if b.counter > a.counter { b } else { a }).ok_or_else(|| {
            let start = hex(&copies[0][..64]);
            let reason = match checksum {
                None => format!(
                    "expected a checksum by one of {} conventions, found none that holds",
                    checksum::header_candidates().count()
                ),
                Some(sum) => format!(
                    "its {sum} holds, but a valid history has 1 to 511 branches and this one does not"
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

    /// None where the copy is invalid.
    pub(super) fn parse(bytes: &[u8], copy: usize, checksum: &Checksum) -> Option<Self> {
        let count = usize::from(LittleEndian::read_u16(&bytes[BRANCH_COUNT_AT..]));
        if !checksum.holds(bytes) || !(1..=MAX_BRANCHES).contains(&count) {
            return None;
        }
        let branches =
            bytes[HISTORY_AT..].chunks_exact(BRANCH_BYTES).take(count).map(|entry| Branch {
                id: guid(entry),
                first: LittleEndian::read_u32(&entry[BRANCH_FIRST_AT..]),
                limit: LittleEndian::read_u32(&entry[BRANCH_LIMIT_AT..]),
            });
        Some(TableHeader {
            copy,
            counter: LittleEndian::read_u64(&bytes[COUNTER_AT..]),
            units: LittleEndian::read_u64(&bytes[UNITS_AT..]),
            current: RctId::new(
                guid(&bytes[BRANCH_AT..]),
                LittleEndian::read_u32(&bytes[NUMBER_AT..]),
            ),
            new_id: bytes[NEW_ID_AT],
            branches: branches.collect(),
            checksum: *checksum,
        })
    }
}
