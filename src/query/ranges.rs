//! The stream of ranges: sorted, coalesced, clipped, in constant memory.

use crate::chain::Stack;
use crate::error::Result;
use crate::extent::{Mask, Rule};
use crate::range::ByteRange;
use crate::rct::Tracking;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The ranges of a region that a rule reports.
pub(crate) struct Ranges {
    stack: Stack,
    rule: Rule,
    /// Units that were looked at together, and the first one not yet told of.
    mask: Mask,
    bit: usize,
    /// The tracking tables that the stack reads.
    tables: Vec<Arc<Tracking>>,
    at: u64,
    end: u64,
    /// A range that may still grow.
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
        Ranges {
            stack,
            rule,
            mask: Mask::default(),
            bit: 0,
            tables,
            at,
            end,
            open: None,
            position,
            stride,
        }
    }

    /// How far the region was looked at, in bytes of the disk; grows while ranges are asked for.
    pub fn position(&self) -> Arc<AtomicU64> {
        self.position.clone()
    }

    /// Fails with "in use" where somebody wrote to a tracking table in the meantime.
    pub fn must_be_unchanged(&self) -> Result<()> {
        self.tables.iter().try_for_each(|table| table.must_be_unchanged())
    }

    /// The next range; None at the region's end.
    pub fn next(&mut self) -> Result<Option<ByteRange>> {
        while self.at < self.end {
            let (end, reported) = self.piece()?;
            let piece = ByteRange::from(self.at..end);
            self.at = end;
            if reported {
                let open = self.open.get_or_insert(ByteRange { length: 0, ..piece });
                open.length += piece.length;
            } else if self.open.is_some() {
                break;
            }
        }
        Ok(self.open.take())
    }

    /// How far what begins at `at` is alike, as far as is known, and whether it is reported.
    fn piece(&mut self) -> Result<(u64, bool)> {
        if self.bit == self.mask.count && !self.look_further()? {
            let limit = self.end.min(self.at.saturating_add(self.stride));
            let extent = self.stack.at(self.at, limit)?.extent;
            return Ok((extent.end, (self.rule)(extent.held)));
        }
        let (length, reported) = self.mask.run(self.bit);
        self.bit += length;
        let end = self.mask.start + self.bit as u64 * self.mask.unit;
        Ok((end.min(self.end), reported))
    }

    /// Takes the next mask, where one layer decides alone and has one.
    fn look_further(&mut self) -> Result<bool> {
        self.position.store(self.at, Ordering::Relaxed);
        (self.bit, self.mask.count) = (0, 0);
        let Some(layer) = self.stack.only_layer(self.end) else { return Ok(false) };
        let found = layer.mask(self.at, self.end, self.rule, &mut self.mask)?;
        if found {
            self.bit = ((self.at - self.mask.start) / self.mask.unit) as usize;
        } else {
            self.mask.count = 0;
        }
        Ok(found)
    }
}
