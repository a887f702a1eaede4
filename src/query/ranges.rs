//! The stream of ranges: sorted, coalesced, clipped, in constant memory.

use crate::chain::Stack;
use crate::error::Result;
use crate::extent::Rule;
use crate::mask::Mask;
use crate::range::ByteRange;
use crate::rct::Tracking;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The ranges of a region that a rule reports.
pub(crate) struct Ranges {
    stack: Stack,
    rule: Rule,
    /// Units that were looked at together.
    mask: Mask,
    /// The tracking tables that the stack reads.
    tables: Vec<Arc<Tracking>>,
    at: u64,
    end: u64,
    /// A range that may still grow: it ends where the region was looked at last.
    open: Option<ByteRange>,
    /// How far the region was looked at, for whoever watches.
    position: Arc<AtomicU64>,
    stride: u64,
}

/// The least stretch that is looked at before the position is told again.
const MIN_STRIDE: u64 = 1 << 30;

impl Ranges {
    pub fn new(stack: Stack, rule: Rule, tables: Vec<Arc<Tracking>>, region: Range<u64>) -> Self {
        let (at, end) = (region.start, region.end);
        let position = Arc::new(AtomicU64::new(at));
        let stride = ((end - at) / 256).max(MIN_STRIDE);
        Ranges { stack, rule, mask: Mask::default(), tables, at, end, open: None, position, stride }
    }

    /// How far the region was looked at, in bytes of the disk; grows while ranges are asked for.
    pub fn position(&self) -> Arc<AtomicU64> {
        self.position.clone()
    }

    /// Fails with "in use" where somebody wrote to a tracking table in the meantime.
    pub fn must_be_unchanged(&self) -> Result<()> {
        self.tables.iter().try_for_each(|table| table.must_be_unchanged())
    }

    /// Adds the next ranges, at least one; false at the region's end, where there are none.
    pub fn add_next(&mut self, ranges: &mut Vec<ByteRange>) -> Result<bool> {
        let before = ranges.len();
        while self.at < self.end && ranges.len() == before {
            if self.look_further()? {
                self.add_masked(ranges);
            } else {
                self.add_extent(ranges)?;
            }
        }
        if ranges.len() == before {
            ranges.extend(self.open.take());
        }
        Ok(ranges.len() > before)
    }

    /// Makes ranges of the mask. The first goes on from the open range, where it begins at the
    /// place that was reached, and the last may go on behind the mask.
    fn add_masked(&mut self, ranges: &mut Vec<ByteRange>) {
        let mut open = self.open.take();
        if !self.mask.is_set(self.at) {
            ranges.extend(open.take());
        }
        let before = ranges.len();
        self.mask.add_ranges(self.at..self.end, ranges);
        self.at = self.end.min(self.mask.end());
        if let (Some(open), Some(first)) = (open, ranges.get_mut(before)) {
            *first = (open.offset..first.end()).into();
        }
        if ranges.last().is_some_and(|last| last.end() == self.at) {
            self.open = ranges.pop();
        }
    }

    /// Goes on to the end of an extent, where a range that ended in front of it is known.
    fn add_extent(&mut self, ranges: &mut Vec<ByteRange>) -> Result<()> {
        let limit = self.end.min(self.at.saturating_add(self.stride));
        let extent = self.stack.at(self.at, limit)?.extent;
        let piece = ByteRange::from(self.at..extent.end);
        self.at = extent.end;
        if (self.rule)(extent.held) {
            self.open.get_or_insert(ByteRange { length: 0, ..piece }).length += piece.length;
        } else {
            ranges.extend(self.open.take());
        }
        Ok(())
    }

    /// Takes the next mask, where one layer decides alone and has one.
    fn look_further(&mut self) -> Result<bool> {
        self.position.store(self.at, Ordering::Relaxed);
        let Some(layer) = self.stack.only_layer(self.end) else { return Ok(false) };
        layer.mask(self.at, self.end, self.rule, &mut self.mask)
    }
}
