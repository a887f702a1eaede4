//! The ranges of one region, found from its start to its end: sorted, coalesced, clipped, in
//! constant memory.

use crate::chain::Stack;
use crate::error::Result;
use crate::extent::Rule;
use crate::mask::Mask;
use crate::range::ByteRange;
use std::ops::Range;

/// Looks at a region from its start to its end.
pub(super) struct Walk {
    stack: Stack,
    rule: Rule,
    /// Units that were looked at together.
    mask: Mask,
    at: u64,
    end: u64,
    /// A range that may still grow: it ends where the region was looked at last.
    open: Option<ByteRange>,
    stride: u64,
}

/// The least stretch that is looked at before the position is told again.
const MIN_STRIDE: u64 = 1 << 30;

impl Walk {
    pub fn new(stack: Stack, rule: Rule, region: Range<u64>) -> Self {
        let (at, end) = (region.start, region.end);
        let stride = ((end - at) / 256).max(MIN_STRIDE);
        Walk { stack, rule, mask: Mask::default(), at, end, open: None, stride }
    }

    /// Another walk through the same files. What lies before `from` somebody else looks at.
    pub fn fork(&self, region: Range<u64>, from: u64) -> Self {
        Walk::new(self.stack.fork(from), self.rule, region)
    }

    /// How far the region was looked at, in bytes of the disk.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Looks at the next stretch, and adds the ranges that end in it; false at the region's end.
    pub fn look(&mut self, ranges: &mut Vec<ByteRange>) -> Result<bool> {
        if self.at == self.end {
            ranges.extend(self.open.take());
            return Ok(false);
        }
        if self.find_mask()? {
            self.add_masked(ranges);
        } else {
            self.add_extent(ranges)?;
        }
        Ok(true)
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
    fn find_mask(&mut self) -> Result<bool> {
        let Some(layer) = self.stack.only_layer(self.end) else { return Ok(false) };
        layer.mask(self.at, self.end, self.rule, &mut self.mask)
    }
}
