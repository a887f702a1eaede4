//! The header pair of an `.rct` file and the branch history in it.

use super::RctId;
use super::checksum::{Checksum, header_checksum};
use super::error::RctError;
use super::layout::*;
use crate::error::Result;
use crate::inspect::hex;
use crate::source::FileView;
use crate::wire::{Fields, structure};
use uuid::Uuid;

structure! {
    /// An entry of the branch history: a part of the disk's history, with ids of its own
    /// (branch-fields).
    ///
    /// It takes 24 bytes in the file.
    #[derive(Copy)]
    #[non_exhaustive]
    pub struct Branch {
        /// The branch's GUID, which its ids contain.
        pub id: Uuid = guid,
        /// The number of its first id.
        pub first: u32 = u32,
        /// A field of unknown meaning.
        pub limit: u32 = u32,
    }
}

/// A copy of the header: 0x4000 bytes at 0x1000 or 0x5000 of an `.rct` file (header-places).
/// Unknown bytes after 0x47 are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableHeader {
    /// 0x00: unknown (header-signature).
    pub signature: u32,
    /// 0x04: the most likely place of the checksum (header-checksum).
    pub checksum: u32,
    /// 0x08: increases with each update of the header (header-counter).
    pub counter: u64,
    /// 0x10: unknown.
    pub unknown_10: [u8; 24],
    /// 0x28: the tracked disk's size in units (header-units).
    pub units: u64,
    /// 0x30: the id that was created last: later writes have a greater number (header-branch,
    /// header-number).
    pub current: RctId,
    /// 0x44: the number of branches (header-branches).
    pub branch_count: u16,
    /// 0x46: a flag for a new id (header-new-id).
    pub new_id_flag: u8,
    /// 0x1000: the branches that the count allows, 511 at most, oldest first (branch-size).
    pub branches: Vec<Branch>,
}

impl TableHeader {
    /// Reads a copy from its 0x4000 bytes. Neither its checksum nor its branch count is verified.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`](crate::ErrorKind::Truncated) if there are fewer bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::parse(&mut Fields::new("a header of the tracking table", bytes))
    }

    pub(super) fn parse(fields: &mut Fields<'_>) -> Result<Self> {
        let mut header = TableHeader {
            signature: fields.u32("signature")?,
            checksum: fields.u32("checksum")?,
            counter: fields.u64("counter")?,
            unknown_10: fields.bytes("unknown")?,
            units: fields.u64("units")?,
            current: RctId::new(fields.guid("branch")?, fields.u32("number")?),
            branch_count: fields.u16("branch_count")?,
            new_id_flag: fields.u8("new_id_flag")?,
            branches: Vec::new(),
        };
        fields.slice("unknown", HISTORY_AT - fields.position())?;
        let count = usize::from(header.branch_count).min(MAX_BRANCHES);
        let history = fields.slice("history", count * BRANCH_BYTES)?;
        fields.slice("unknown", HEADER_BYTES - fields.position())?;
        let mut history = Fields::new("the branch history", history);
        header.branches = (0..count).map(|_| Branch::parse(&mut history)).collect::<Result<_>>()?;
        Ok(header)
    }

    /// Returns whether the branch count is valid: from 1 to 511 (header-branches).
    #[must_use]
    pub fn has_valid_branch_count(&self) -> bool {
        (1..=MAX_BRANCHES).contains(&usize::from(self.branch_count))
    }
}

/// A valid copy of the header, with its index and the convention of its checksum.
#[derive(Debug, PartialEq)]
pub(super) struct CurrentHeader {
    pub copy: usize,
    pub checksum: Checksum,
    pub header: TableHeader,
}

impl CurrentHeader {
    pub(super) fn read(file: FileView<'_>) -> Result<Self> {
        // The copies follow one another.
        let (at, length) = (HEADER_OFFSETS[0], 2 * HEADER_BYTES);
        let bytes = file.read_vec(at, length, "the headers of the tracking table")?;
        let (first, second) = bytes.split_at(HEADER_BYTES);
        let begins = hex(&first[..64]);
        let Some(checksum) = header_checksum([first, second]) else {
            let probed = HEADER_CHECKSUMS.all().count();
            return Err(file.name(RctError::HeaderChecksum { probed, begins }));
        };
        let valid = [first, second].into_iter().enumerate().filter_map(|(copy, bytes)| {
            let header = TableHeader::from_bytes(bytes).ok().filter(|_| checksum.holds(bytes))?;
            let is_valid = header.has_valid_branch_count();
            is_valid.then_some(CurrentHeader { copy, checksum, header })
        });
        // Of two equal counters the first copy is as good as the second.
        let current = valid.reduce(|a, b| if b.header.counter > a.header.counter { b } else { a });
        current.ok_or_else(|| file.name(RctError::BranchCount { checksum, begins }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::wire::testing::{sample, word};

    #[test]
    fn header_has_its_size_for_every_branch_count() {
        for (count, stored) in [(0_u16, 0), (1, 1), (511, 511), (512, 511), (u16::MAX, 511)] {
            let mut bytes = sample(HEADER_BYTES + 1);
            bytes[BRANCH_COUNT_AT..][..2].copy_from_slice(&count.to_le_bytes());
            let mut fields = Fields::recording("a header", &bytes, 0);
            let header = TableHeader::parse(&mut fields).unwrap();
            assert_eq!(fields.position(), 0x4000);
            assert_eq!((header.signature, header.checksum), (word(&bytes, 0), word(&bytes, 4)));
            assert_eq!(header.counter.to_le_bytes(), bytes[8..16]);
            assert_eq!(header.unknown_10, bytes[0x10..0x28]);
            assert_eq!(header.units.to_le_bytes(), bytes[0x28..0x30]);
            assert_eq!(header.current.branch.to_bytes_le(), bytes[0x30..0x40]);
            assert_eq!((header.current.number, header.branch_count), (word(&bytes, 0x40), count));
            assert_eq!(header.new_id_flag, 0x46);
            assert_eq!(header.branches.len(), stored);
            for (branch, at) in header.branches.iter().zip((0x1000..).step_by(24)) {
                assert_eq!(branch.id.to_bytes_le(), bytes[at..at + 16]);
                assert_eq!(branch.first, word(&bytes, at + 16));
                assert_eq!(branch.limit, word(&bytes, at + 20));
            }
            let places: Vec<_> =
                fields.into_records().iter().rev().take(3).map(|r| (r.name, r.offset)).collect();
            let end = 0x1000 + 24 * stored as u64;
            assert_eq!(places, [("unknown", end), ("history", 0x1000), ("unknown", 0x47)]);
            assert_eq!(header.has_valid_branch_count(), (1..=511).contains(&count));
            let short = TableHeader::from_bytes(&bytes[..0x3FFF]).unwrap_err();
            assert_eq!(short.kind(), ErrorKind::Truncated);
        }
    }

    #[test]
    fn branch_has_its_size() {
        let bytes = sample(25);
        let mut fields = Fields::new("a branch", &bytes);
        Branch::parse(&mut fields).unwrap();
        assert_eq!(fields.position(), BRANCH_BYTES);
    }
}
