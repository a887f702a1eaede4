//! The ranges of one region, scanned from its start to its end: sorted, coalesced and clipped, in
//! constant memory.

use crate::chain::LayerStack;
use crate::error::Result;
use crate::layer::{StateSet, UnitBitmap};
use crate::range::ByteRange;
use std::ops::Range;

/// Scans a region from its start to its end.
pub(crate) struct RangeScanner {
    stack: LayerStack,
    /// The units that were scanned together.
    bitmap: UnitBitmap,
    scanned_until: u64,
    end: u64,
    /// A range that may still grow: it ends at the scan position.
    open: Option<ByteRange>,
    stride: u64,
}

/// The minimum length that is scanned before the position is published again.
const MIN_STRIDE: u64 = 1 << 30;

impl RangeScanner {
    pub(crate) fn new(stack: LayerStack, reported: StateSet, region: Range<u64>) -> Self {
        let stride = ((region.end - region.start) / 256).max(MIN_STRIDE);
        RangeScanner {
            stack,
            bitmap: UnitBitmap::new(reported),
            scanned_until: region.start,
            end: region.end,
            open: None,
            stride,
        }
    }

    /// Returns how far the region was scanned, in bytes of the disk.
    pub(crate) fn position(&self) -> u64 {
        self.scanned_until
    }

    /// Continues the scan and adds the ranges that end there: at least one, unless the region ends
    /// first.
    pub(crate) fn next_ranges(&mut self, ranges: &mut Vec<ByteRange>) -> Result<()> {
        let before = ranges.len();
        while ranges.len() == before && self.advance(ranges)? {}
        Ok(())
    }

    /// Scans the next part, and adds the ranges that end in it; returns false at the region's end.
    fn advance(&mut self, ranges: &mut Vec<ByteRange>) -> Result<bool> {
        if self.scanned_until == self.end {
            ranges.extend(self.open.take());
            return Ok(false);
        }
        if self.fill_bitmap()? {
            self.push_runs(ranges);
        } else {
            self.push_extent(ranges)?;
        }
        Ok(true)
    }

    /// Converts the bitmap to ranges. The first continues the open range if it begins at the scan
    /// position, and the last may continue after the bitmap.
    fn push_runs(&mut self, ranges: &mut Vec<ByteRange>) {
        let mut open = self.open.take();
        if !self.bitmap.is_set(self.scanned_until) {
            ranges.extend(open.take());
        }
        let before = ranges.len();
        self.bitmap.add_ranges(self.scanned_until..self.end, ranges);
        self.scanned_until = self.end.min(self.bitmap.end());
        if let (Some(open), Some(first)) = (open, ranges.get_mut(before)) {
            *first = (open.offset..first.end()).into();
        }
        if ranges.last().is_some_and(|last| last.end() == self.scanned_until) {
            self.open = ranges.pop();
        }
    }

    /// Scans to the end of an extent; a range that ended before it is complete.
    fn push_extent(&mut self, ranges: &mut Vec<ByteRange>) -> Result<()> {
        let limit = self.end.min(self.scanned_until.saturating_add(self.stride));
        let extent = self.stack.extent(self.scanned_until, limit)?.extent;
        let part = ByteRange::from(self.scanned_until..extent.end);
        self.scanned_until = extent.end;
        if self.bitmap.reported.contains(extent.state) {
            self.open.get_or_insert(ByteRange { length: 0, ..part }).length += part.length;
        } else {
            ranges.extend(self.open.take());
        }
        Ok(())
    }

    /// Fills the bitmap if one layer decides alone and has details of its units loaded.
    fn fill_bitmap(&mut self) -> Result<bool> {
        let Some(layer) = self.stack.only_layer(self.end) else { return Ok(false) };
        layer.fill(self.scanned_until, self.end, &mut self.bitmap)
    }
}
