//! The structures of an `.rct` file as they are stored, not validated, for programs that show or
//! check what is known of the format. All other programs use
//! [`TrackingTable`](super::TrackingTable).
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
//! let header = raw::TableHeader::from_bytes(copies[0])?;
//! assert_eq!(header.branches.len(), usize::from(header.branch_count));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::error::Result;
use crate::wire::Fields;

pub use super::TableHeader;
pub use super::checksum::{SequenceChecksums, header_checksum};
pub use super::layout::{
    HEADER_BYTES, HEADER_OFFSETS, OFFSET_CHECKSUM, OFFSET_SIGNATURE, OFFSET_TABLE, PAGE, PER_PAGE,
    UNIT, offset_pages, units,
};
use super::layout::{PAGE_BYTES, PAGE_HEADER};

/// The bytes of an offset page's entries, and of a sequence page's numbers.
const ARRAY_BYTES: usize = PAGE_BYTES - PAGE_HEADER;

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

/// A sequence page: the sequence numbers of the 1021 units of one chunk (sequence-page).
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::{sample, word};

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
