//! The answer as a stream.

use super::answer::{DiskIdentity, VirtualDiskChanges};
use crate::chain::Chain;
use crate::error::{Error, Result};
use crate::query::{Plan, Ranges};
use crate::range::ByteRange;
use crate::source::Guard;
use crate::vhd_set::VhdSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// The changed ranges one by one: sorted, coalesced, clipped, in constant memory however many
/// there are.
///
/// The files' identity is looked at once more behind the last range: an `Err` there means
/// that none of the ranges can be trusted, so act on them only when the iterator has ended.
/// After an `Err` it ends.
pub struct Changes {
    ranges: Ranges,
    chain: Chain,
    set: Option<VhdSet>,
    disk: DiskIdentity,
    start: u64,
    end: u64,
    left: usize,
    processed: u64,
    done: bool,
}

impl Changes {
    pub(super) fn new(
        plan: Plan,
        (chain, set): (Chain, Option<VhdSet>),
        region: Range<u64>,
        max_ranges: usize,
    ) -> Self {
        let metadata = chain.leaf().metadata();
        let disk = DiskIdentity {
            virtual_disk_id: metadata.disk_id,
            virtual_size: metadata.virtual_size,
            logical_sector_size: metadata.logical_sector_size,
            granularity: plan.granularity,
        };
        let (start, end) = (region.start, region.end);
        let ranges = plan.ranges(region);
        Changes {
            ranges,
            chain,
            set,
            disk,
            start,
            end,
            left: max_ranges,
            processed: 0,
            done: false,
        }
    }

    /// The region that was asked about, in bytes of the disk.
    pub fn region(&self) -> Range<u64> {
        self.start..self.end
    }

    /// See [`Ranges::position`].
    pub(super) fn position(&self) -> Arc<AtomicU64> {
        self.ranges.position()
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

    /// The whole answer, in as much memory as the budget allows.
    pub(super) fn collect_within(mut self, guard: &Guard) -> Result<VirtualDiskChanges> {
        let mut ranges = Vec::new();
        for range in self.by_ref() {
            let needed = (ranges.len() + 1) * size_of::<ByteRange>();
            guard.need(needed as u64, "the list of changed ranges")?;
            ranges.push(range?);
        }
        Ok(VirtualDiskChanges {
            processed_byte_length: self.processed,
            ranges,
            job: None,
            disk: self.disk,
        })
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
        if let Some(set) = &self.set {
            set.must_be_unchanged()?;
        }
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
