//! The structures of an `.rct` file as they are stored, unvalidated: for programs that show or
//! check what is known of the format. [`TrackingTable`](super::TrackingTable) is for all others.
//!
//! Each structure has its fields in file order; bytes of unknown meaning are fields, too.
//!
//! ```
//! use vhdx_rct::rct::raw;
//!
//! # if !std::path::Path::new("testdata").exists() { return Ok(()); } // not in the packaged crate
//! let table = std::fs::read("testdata/child.avhdx.rct")?;
//! let copies = raw::HEADER_OFFSETS.map(|at| &table[at as usize..][..raw::HEADER_BYTES]);
//! let checksum = raw::header_checksum(copies).expect("a convention that holds");
//! assert!(checksum.holds(copies[0]));
//! let header = raw::HeaderCopy::from_bytes(copies[0])?;
//! assert_eq!(header.branches().count(), usize::from(header.branch_count));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::checksum;
use super::{Branch, Checksum, RctId, TableHeader};
use crate::error::Result;
use crate::wire::Fields;
use uuid::Uuid;

pub use super::checksum::SequenceChecksums;
use super::layout::{BRANCH_BYTES, MAX_BRANCHES, PAGE_BYTES, PAGE_HEADER};
pub use super::layout::{
    HEADER_BYTES, HEADER_OFFSETS, OFFSET_CHECKSUM, OFFSET_SIGNATURE, OFFSET_TABLE, PAGE, PER_PAGE,
    UNIT, offset_pages, units,
};

/// The offset of a header's history (branch-size).
const HISTORY_AT: usize = 0x1000;
/// The number of entries of an offset page, and of numbers of a sequence page.
const ARRAY_BYTES: usize = PAGE_BYTES - PAGE_HEADER;

/// A copy of the header: 0x4000 bytes at one of [`HEADER_OFFSETS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeaderCopy<'a> {
    /// 0x00: unknown (header-signature).
    pub signature: u32,
    /// 0x04: the most likely place of the checksum (header-checksum).
    pub checksum: u32,
    /// 0x08: an update counter (header-counter).
    pub counter: u64,
    /// 0x10: unknown.
    pub unknown_10: [u8; 24],
    /// 0x28: the tracked disk's size in units (header-units).
    pub units: u64,
    /// 0x30: the branch of the current RCT id (header-branch).
    pub branch: Uuid,
    /// 0x40: the sequence number of the current RCT id (header-number).
    pub number: u32,
    /// 0x44: the number of branches (header-branches).
    pub branch_count: u16,
    /// 0x46: a flag for a new id (header-new-id).
    pub new_id_flag: u8,
    /// 0x47: unknown.
    pub unknown_47: &'a [u8],
    /// 0x1000: the branches that the count allows, 511 at most (branch-size); see
    /// [`branches`](Self::branches).
    pub history: &'a [u8],
    /// The bytes after the history: unknown.
    pub unknown_after_history: &'a [u8],
}

impl<'a> HeaderCopy<'a> {
    /// Reads a copy from its [`HEADER_BYTES`] bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`](crate::ErrorKind::Truncated) if there are fewer bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self> {
        Self::parse(&mut Fields::new("a header of the tracking table", bytes))
    }

    pub(super) fn parse(fields: &mut Fields<'a>) -> Result<Self> {
        let signature = fields.u32("signature")?;
        let checksum = fields.u32("checksum")?;
        let counter = fields.u64("counter")?;
        let unknown_10 = fields.bytes("unknown")?;
        let units = fields.u64("units")?;
        let branch = fields.guid("branch")?;
        let number = fields.u32("number")?;
        let branch_count = fields.u16("branch_count")?;
        let new_id_flag = fields.u8("new_id_flag")?;
        let unknown_47 = fields.slice("unknown", HISTORY_AT - fields.position())?;
        let history = BRANCH_BYTES * usize::from(branch_count).min(MAX_BRANCHES);
        Ok(HeaderCopy {
            signature,
            checksum,
            counter,
            unknown_10,
            units,
            branch,
            number,
            branch_count,
            new_id_flag,
            unknown_47,
            history: fields.slice("history", history)?,
            unknown_after_history: fields.slice("unknown", HEADER_BYTES - HISTORY_AT - history)?,
        })
    }

    /// Returns the entries of the history, in file order.
    pub fn branches(&self) -> impl Iterator<Item = BranchEntry> + use<'a> {
        self.history.chunks_exact(BRANCH_BYTES).filter_map(|entry| {
            BranchEntry::parse(&mut Fields::new("a branch of the history", entry)).ok()
        })
    }

    /// Returns the header that a reader parses from this copy, which is 0 or 1, or None if the
    /// branch count is invalid. The checksum is not verified.
    #[must_use]
    pub fn table_header(&self, copy: usize, checksum: Checksum) -> Option<TableHeader> {
        let is_valid = (1..=MAX_BRANCHES).contains(&usize::from(self.branch_count));
        is_valid.then(|| TableHeader {
            copy,
            counter: self.counter,
            units: self.units,
            current: RctId::new(self.branch, self.number),
            new_id: self.new_id_flag,
            branches: self.branches().map(Branch::from).collect(),
            checksum,
        })
    }
}

/// An entry of the branch history: 24 bytes (branch-fields).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BranchEntry {
    /// The branch.
    pub id: Uuid,
    /// The branch's first number.
    pub first: u32,
    /// A field of unknown meaning.
    pub limit: u32,
}

impl BranchEntry {
    pub(super) fn parse(fields: &mut Fields<'_>) -> Result<Self> {
        Ok(BranchEntry {
            id: fields.guid("id")?,
            first: fields.u32("first")?,
            limit: fields.u32("limit")?,
        })
    }
}

impl From<BranchEntry> for Branch {
    fn from(entry: BranchEntry) -> Self {
        Branch { id: entry.id, first: entry.first, limit: entry.limit }
    }
}

/// A page of the offset table, which begins at [`OFFSET_TABLE`] (offset-page).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffsetPage<'a> {
    /// [`OFFSET_SIGNATURE`].
    pub signature: u32,
    /// See [`OFFSET_CHECKSUM`].
    pub checksum: u32,
    /// The index of this page in the table.
    pub index: u32,
    /// The chunks' entries; see [`entries`](Self::entries).
    pub entries: &'a [u8],
}

impl<'a> OffsetPage<'a> {
    /// Reads a page from its [`PAGE`] bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`](crate::ErrorKind::Truncated) if there are fewer bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self> {
        Self::parse(&mut Fields::new("an offset page", bytes))
    }

    pub(super) fn parse(fields: &mut Fields<'a>) -> Result<Self> {
        Ok(OffsetPage {
            signature: fields.u32("signature")?,
            checksum: fields.u32("checksum")?,
            index: fields.u32("index")?,
            entries: fields.slice("entries", ARRAY_BYTES)?,
        })
    }

    /// Returns the entry of each chunk: a sequence number (entry-uniform) or, if negative, minus
    /// the number of a sequence page (entry-detailed).
    pub fn entries(&self) -> impl Iterator<Item = i32> + Clone + use<'a> {
        self.entries.as_chunks().0.iter().map(|entry| i32::from_le_bytes(*entry))
    }
}

/// A sequence page (sequence-page).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SequencePage<'a> {
    /// A checksum and two unknowns, in unknown order (sequence-header).
    pub words: [u32; 3],
    /// The units' sequence numbers; see [`numbers`](Self::numbers).
    pub numbers: &'a [u8],
}

impl<'a> SequencePage<'a> {
    /// Reads a page from its [`PAGE`] bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`](crate::ErrorKind::Truncated) if there are fewer bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self> {
        Self::parse(&mut Fields::new("a sequence page", bytes))
    }

    pub(super) fn parse(fields: &mut Fields<'a>) -> Result<Self> {
        Ok(SequencePage {
            words: [fields.u32("word_0")?, fields.u32("word_1")?, fields.u32("word_2")?],
            numbers: fields.slice("numbers", ARRAY_BYTES)?,
        })
    }

    /// Returns the sequence number of each unit.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + Clone + use<'a> {
        self.numbers.as_chunks().0.iter().map(|number| u32::from_le_bytes(*number))
    }
}

/// Returns the convention of a file's two header copies, or None if none of those that are probed
/// is correct on either.
#[must_use]
pub fn header_checksum(copies: [&[u8]; 2]) -> Option<Checksum> {
    checksum::of_headers(copies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn header_copy_has_its_size_whatever_it_counts() {
        for (count, stored) in [(0_u16, 0), (1, 1), (511, 511), (512, 511), (u16::MAX, 511)] {
            let mut bytes = sample(HEADER_BYTES + 1);
            bytes[0x44..0x46].copy_from_slice(&count.to_le_bytes());
            let mut fields = Fields::new("a header", &bytes);
            let header = HeaderCopy::parse(&mut fields).unwrap();
            assert_eq!(fields.position(), 0x4000);
            assert_eq!((header.signature, header.checksum), (word(&bytes, 0), word(&bytes, 4)));
            assert_eq!(header.counter.to_le_bytes(), bytes[8..16]);
            assert_eq!(header.unknown_10, bytes[0x10..0x28]);
            assert_eq!(header.units.to_le_bytes(), bytes[0x28..0x30]);
            assert_eq!(header.branch.to_bytes_le(), bytes[0x30..0x40]);
            assert_eq!((header.number, header.branch_count), (word(&bytes, 0x40), count));
            assert_eq!((header.new_id_flag, header.unknown_47), (0x46, &bytes[0x47..0x1000]));
            let end = 0x1000 + 24 * stored;
            assert_eq!(header.history, &bytes[0x1000..end]);
            assert_eq!(header.unknown_after_history, &bytes[end..0x4000]);
            let branches: Vec<BranchEntry> = header.branches().collect();
            assert_eq!(branches.len(), stored);
            for (branch, at) in branches.iter().zip((0x1000..).step_by(24)) {
                assert_eq!(branch.id.to_bytes_le(), bytes[at..at + 16]);
                assert_eq!(branch.first, word(&bytes, at + 16));
                assert_eq!(branch.limit, word(&bytes, at + 20));
            }
            let header = header.table_header(1, OFFSET_CHECKSUM);
            assert_eq!(
                header.map(|h| h.branches.len()),
                (1..=511).contains(&count).then_some(stored)
            );
            let short = HeaderCopy::from_bytes(&bytes[..0x3FFF]).unwrap_err();
            assert_eq!(short.kind(), ErrorKind::Truncated);
        }
    }

    #[test]
    fn branch_entry_has_its_size() {
        let bytes = sample(25);
        let mut fields = Fields::new("a branch", &bytes);
        BranchEntry::parse(&mut fields).unwrap();
        assert_eq!(fields.position(), BRANCH_BYTES);
    }

    #[test]
    fn pages_have_their_size() {
        let bytes = sample(5000);
        let mut fields = Fields::new("an offset page", &bytes);
        let page = OffsetPage::parse(&mut fields).unwrap();
        assert_eq!(fields.position(), 4096);
        let head = (page.signature, page.checksum, page.index);
        assert_eq!(head, (word(&bytes, 0), word(&bytes, 4), word(&bytes, 8)));
        assert_eq!(page.entries, &bytes[12..4096]);
        assert_eq!(page.entries().count(), 1021);
        assert_eq!(page.entries().last(), Some(word(&bytes, 4092) as i32));
        let mut fields = Fields::new("a sequence page", &bytes);
        let page = SequencePage::parse(&mut fields).unwrap();
        assert_eq!(fields.position(), 4096);
        assert_eq!(page.words, [word(&bytes, 0), word(&bytes, 4), word(&bytes, 8)]);
        assert_eq!((page.numbers().count(), page.numbers().nth(1)), (1021, Some(word(&bytes, 16))));
        assert!(OffsetPage::from_bytes(&bytes[..4095]).is_err());
        assert!(SequencePage::from_bytes(&bytes[..4095]).is_err());
    }
}
