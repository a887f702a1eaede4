//! The answer as an iterator of extents.

use super::Changes;
use super::query::region_in;
use crate::chain::{Chain, Extent, ExtentIter};
use crate::disk::Disk;
use crate::error::Result;
use crate::limits::Limits;
use std::ops::{Range, RangeBounds};

/// An iterator of the [`Extent`]s of a question's ranges, or of a region: parts that have data,
/// with its place in a file, and parts that read as zeros.
///
/// Created by [`ChangeQuery::extents`](crate::ChangeQuery::extents) and [`Disk::extents`]. Together
/// the extents of a question cover exactly the ranges of [`Changes`]. As there, an `Err` at the end
/// means that no extent is certain.
pub struct ChangedExtents {
    /// The ranges that are split; None for a region.
    changes: Option<Changes>,
    extents: ExtentIter,
    processed: u64,
    done: bool,
}

impl_debug!(ChangedExtents, |extents| changes: extents.changes);

impl Disk {
    /// Returns the content of a region as extents: data, zeros or nothing, from which file, and at
    /// which offset in it. Together the extents cover the region, in order and without a gap.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameter`](crate::ErrorKind::InvalidParameter) if the region does not
    /// lie inside the disk; a missing parent. The iterator returns errors from reading the files,
    /// and then ends.
    pub fn extents(&self, region: impl RangeBounds<u64>) -> Result<ChangedExtents> {
        let region = region_in(self.identity().virtual_size, &region)?;
        ChangedExtents::new(self.chain(), None, region, &self.limits())
    }
}

impl ChangedExtents {
    /// Splits the ranges or, without any, the region.
    pub(super) fn new(
        chain: &Chain,
        changes: Option<Changes>,
        region: Range<u64>,
        limits: &Limits,
    ) -> Result<Self> {
        chain.verify_complete()?;
        let processed = region.end - region.start;
        let region = if changes.is_some() { 0..0 } else { region };
        let extents = ExtentIter::new(chain, region, limits);
        Ok(ChangedExtents { changes, extents, processed, done: false })
    }

    /// Returns the ranges that are split; None if the extents are those of a region.
    #[must_use]
    pub fn changes(&self) -> Option<&Changes> {
        self.changes.as_ref()
    }

    /// Returns the length of the processed part of the region, in bytes from its start, once the
    /// iterator has ended; see [`Changes::processed_byte_length`].
    #[must_use]
    pub fn processed_byte_length(&self) -> u64 {
        self.changes.as_ref().map_or(self.processed, Changes::processed_byte_length)
    }

    fn advance(&mut self) -> Result<Option<Extent>> {
        loop {
            if let Some(extent) = self.extents.next()? {
                return Ok(Some(extent));
            }
            match self.changes.as_mut().and_then(Iterator::next).transpose()? {
                Some(range) => self.extents.set_region(range.into()),
                None => return Ok(None),
            }
        }
    }
}

impl Iterator for ChangedExtents {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let result = self.advance();
        self.done = !matches!(result, Ok(Some(_)));
        result.transpose()
    }
}

impl std::iter::FusedIterator for ChangedExtents {}
