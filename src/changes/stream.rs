//! The answer as a stream.

use super::answer::DiskIdentity;
use crate::chain::Chain;
use crate::error::{Error, Result};
use crate::query::Ranges;
use crate::range::ByteRange;

/// The changed ranges one by one: sorted, coalesced, clipped, in constant memory however many
/// there are.
///
/// The files' identity is looked at once more behind the last range: an `Err` there means
/// that none of the ranges can be trusted, so act on them only when the iterator has ended.
/// After an `Err` it ends.
pub struct Changes {
    ranges: Ranges,
    chain: Chain,
    disk: DiskIdentity,
    start: u64,
    end: u64,
    left: usize,
    processed: u64,
    done: bool,
}

impl Changes {
    pub(super) fn new(
        ranges: Ranges,
        chain: Chain,
        disk: DiskIdentity,
        region: std::ops::Range<u64>,
        max_ranges: usize,
    ) -> Self {
        let (start, end) = (region.start, region.end);
        Changes { ranges, chain, disk, start, end, left: max_ranges, processed: 0, done: false }
    }

    /// Which disk the ranges are of.
    pub fn disk(&self) -> DiskIdentity {
        self.disk
    }

    /// The files, as far as the question needed them.
    pub(super) fn disk_chain(&self) -> &Chain {
        &self.chain
    }

    /// How much of the region is dealt with, in bytes from its start: every change before is
    /// among the ranges given so far.
    pub fn processed_byte_length(&self) -> u64 {
        self.processed
    }

    fn advance(&mut self) -> Result<Option<ByteRange>> {
        let next = self.ranges.next()?;
        match next {
            Some(range) if self.left > 0 => {
                self.left -= 1;
                self.processed = range.end() - self.start;
                return Ok(next);
            }
            Some(unreported) => self.processed = unreported.offset - self.start,
            None => self.processed = self.end - self.start,
        }
        self.done = true;
        for file in self.chain.files() {
            file.must_be_unchanged()?;
        }
        self.ranges.must_be_unchanged()?;
        Ok(None)
    }
}

impl Iterator for Changes {
    type Item = std::result::Result<ByteRange, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let result = self.advance();
        self.done |= result.is_err();
        result.transpose()
    }
}

impl std::iter::FusedIterator for Changes {}
