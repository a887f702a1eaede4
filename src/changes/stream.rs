//! The answer as a stream.

use super::answer::{DiskIdentity, VirtualDiskChanges};
use crate::chain::Chain;
use crate::error::{Error, Result};
use crate::query::{Plan, Ranges};
use crate::range::ByteRange;
use crate::source::Guard;
use crate::vhd_set::VhdSet;
use crate::warning::Warning;
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
    warnings: Vec<Warning>,
    start: u64,
    end: u64,
    /// Ranges that were found together, of which so many were told.
    found: Vec<ByteRange>,
    told: usize,
    /// How many more may be found, and where the first begins that may not be told.
    left: usize,
    untold: Option<u64>,
    /// What was processed before those.
    processed: u64,
    done: bool,
}

impl Changes {
    pub(super) fn new(
        plan: Plan,
        (chain, set): (Chain, Option<VhdSet>),
        region: Range<u64>,
        (max_ranges, threads): (usize, usize),
    ) -> Result<Self> {
        let metadata = chain.leaf().metadata();
        let disk = DiskIdentity {
            virtual_disk_id: metadata.disk_id,
            virtual_size: metadata.virtual_size,
            logical_sector_size: metadata.logical_sector_size,
            granularity: plan.granularity,
        };
        let (start, end) = (region.start, region.end);
        let warnings = plan.warnings.clone();
        let ranges = plan.ranges(region, threads)?;
        Ok(Changes {
            ranges,
            chain,
            set,
            disk,
            warnings,
            start,
            end,
            found: Vec::new(),
            told: 0,
            left: max_ranges,
            untold: None,
            processed: 0,
            done: false,
        })
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

    /// What is worth knowing about the files that answer.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The files, as far as the question needed them.
    pub(super) fn disk_chain(&self) -> &Chain {
        &self.chain
    }

    /// How much of the region is dealt with, in bytes from its start: every change before is
    /// among the ranges given so far.
    pub fn processed_byte_length(&self) -> u64 {
        let told = self.found[..self.told].last();
        told.map_or(self.processed, |range| range.end() - self.start)
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
            processed_byte_length: self.processed_byte_length(),
            ranges,
            job: None,
            disk: self.disk,
            warnings: self.warnings,
        })
    }

    /// Finds the next ranges; at the end, makes sure that no file was written to.
    fn find(&mut self) -> Result<()> {
        self.processed = self.processed_byte_length();
        (self.told, self.done) = (0, true);
        self.found.clear();
        if self.untold.is_none() {
            self.ranges.add_next(&mut self.found)?;
            self.untold = self.found.get(self.left).map(|range| range.offset);
            self.found.truncate(self.left);
            self.left -= self.found.len();
            self.done = self.found.is_empty();
        }
        if !self.done {
            return Ok(());
        }
        self.processed = self.untold.unwrap_or(self.end) - self.start;
        for file in self.chain.files() {
            file.must_be_unchanged()?;
        }
        self.ranges.must_be_unchanged()?;
        if let Some(set) = &self.set {
            set.must_be_unchanged()?;
        }
        Ok(())
    }
}

impl Iterator for Changes {
    type Item = std::result::Result<ByteRange, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(&range) = self.found.get(self.told) {
                self.told += 1;
                return Some(Ok(range));
            }
            if self.done {
                return None;
            }
            if let Err(error) = self.find() {
                return Some(Err(error));
            }
        }
    }
}

impl std::iter::FusedIterator for Changes {}
