//! The answer as an iterator of ranges.

use super::{ChangeQuery, VirtualDiskChanges};
use crate::chain::LayerStack;
use crate::disk::Disk;
use crate::error::Result;
use crate::query::{Plan, RangeScanner};
use crate::range::ByteRange;
use crate::warning::Warning;
use std::mem::take;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An iterator of the changed ranges: sorted, coalesced, clipped to the region, in constant memory.
///
/// After the last range, the iterator checks that no file was written to: an `Err` there means that
/// none of the ranges is certain, so act on them only once the iterator has ended. After an `Err`
/// it ends.
pub struct Changes {
    disk: Disk,
    scanner: RangeScanner,
    /// Its layers are in the scanner.
    plan: Plan,
    region: Range<u64>,
    /// Ranges that were found together, and the number of them that were returned.
    found: Vec<ByteRange>,
    yielded: usize,
    /// The number of ranges that the limit still allows, and the start of the first one that it
    /// excludes.
    remaining: usize,
    excluded: Option<u64>,
    /// The end of the part that was processed before those ranges.
    processed: u64,
    /// How far the region was scanned, in bytes of the disk.
    position: Arc<AtomicU64>,
    done: bool,
}

impl_debug!(Changes, |changes|
    disk: changes.disk,
    region: changes.region,
    processed_byte_length: changes.processed_byte_length());

impl Changes {
    pub(super) fn new(query: ChangeQuery, region: Range<u64>, max_ranges: usize) -> Result<Self> {
        let ChangeQuery { disk, since, limits, .. } = query;
        let mut plan = disk.plan(&since, &limits)?;
        plan.warnings.extend_from_slice(disk.warnings());
        let stack = LayerStack::new(take(&mut plan.layers), plan.below);
        Ok(Changes {
            scanner: RangeScanner::new(stack, plan.reported, region.clone()),
            disk,
            plan,
            position: Arc::new(AtomicU64::new(region.start)),
            region,
            found: Vec::new(),
            yielded: 0,
            remaining: max_ranges,
            excluded: None,
            processed: 0,
            done: false,
        })
    }

    /// Returns the disk that the ranges belong to.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Returns the requested region, in bytes of the disk.
    #[must_use]
    pub fn region(&self) -> Range<u64> {
        self.region.clone()
    }

    /// Returns the granularity of the answer in bytes: a sector if it comes from blocks alone, a
    /// unit of 16 KiB if it comes from a tracking table.
    #[must_use]
    pub fn granularity(&self) -> u32 {
        self.plan.granularity
    }

    /// Returns warnings about the files that the answer comes from.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.plan.warnings
    }

    /// Returns the length of the processed part of the region, in bytes from its start: every
    /// change before its end is among the ranges returned so far.
    #[must_use]
    pub fn processed_byte_length(&self) -> u64 {
        let last = self.found[..self.yielded].last();
        last.map_or(self.processed, |range| range.end() - self.region.start)
    }

    /// Returns how far the region was scanned, in bytes of the disk; increases while ranges are
    /// returned.
    pub(super) fn position(&self) -> Arc<AtomicU64> {
        self.position.clone()
    }

    /// Collects the whole answer, in as much memory as the budget allows.
    pub(super) fn collect_all(mut self) -> Result<VirtualDiskChanges> {
        let (mut ranges, memory) = (Vec::new(), self.plan.limits.memory.clone());
        for range in self.by_ref() {
            let needed = (ranges.len() + 1) * size_of::<ByteRange>();
            memory.check(needed as u64, "the list of changed ranges")?;
            ranges.push(range?);
        }
        Ok(VirtualDiskChanges {
            processed_byte_length: self.processed_byte_length(),
            ranges,
            disk: self.disk.identity(),
            granularity: self.plan.granularity,
            warnings: self.plan.warnings,
        })
    }

    /// Finds the next ranges; at the end, verifies that no file was written to.
    fn find(&mut self) -> Result<()> {
        self.processed = self.processed_byte_length();
        (self.yielded, self.done) = (0, true);
        self.found.clear();
        if self.excluded.is_none() {
            self.scanner.next_ranges(&mut self.found)?;
            self.position.store(self.scanner.position(), Ordering::Relaxed);
            self.excluded = self.found.get(self.remaining).map(|range| range.offset);
            self.found.truncate(self.remaining);
            self.remaining -= self.found.len();
            self.done = self.found.is_empty();
        }
        if !self.done {
            return Ok(());
        }
        self.processed = self.excluded.unwrap_or(self.region.end) - self.region.start;
        let Plan { tables, limits, .. } = &self.plan;
        self.disk.verify_files(limits)?;
        tables.iter().try_for_each(|table| table.verify_unchanged(limits))
    }
}

impl Iterator for Changes {
    type Item = Result<ByteRange>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(&range) = self.found.get(self.yielded) {
                self.yielded += 1;
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
