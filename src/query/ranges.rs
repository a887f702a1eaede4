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
    /// Units that were looked at together, and the ranges that came of them, of which so many
    /// have been taken.
    mask: Mask,
    ready: Vec<ByteRange>,
    taken: usize,
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
            ready: Vec::new(),
            taken: 0,
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
    #[inline]
    pub fn next(&mut self) -> Result<Option<ByteRange>> {
        if let Some(&range) = self.ready.get(self.taken) {
            self.taken += 1;
            return Ok(Some(range));
        }
        self.next_behind_ready()
    }

    fn next_behind_ready(&mut self) -> Result<Option<ByteRange>> {
        while self.at < self.end {
            let found = if self.look_further()? { self.decode() } else { self.next_extent()? };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(self.open.take())
    }

    /// Makes ranges of the mask. The first may go on from the open range, and the last may go
    /// on behind the mask; gives the next range to be told, if there is one.
    fn decode(&mut self) -> Option<ByteRange> {
        let (mask, at, end) = (&self.mask, self.at, self.end);
        let place = |bit: usize| (mask.start + bit as u64 * mask.unit).min(end);
        let first = ((at - mask.start) / mask.unit) as usize;
        self.ready.clear();
        // The first unit may begin before the region, or before what was told already.
        mask.runs(first, |start, stop| self.ready.push((place(start).max(at)..place(stop)).into()));
        (self.at, self.taken) = (place(mask.count), 0);
        let open = self.open.take();
        if self.ready.last().is_some_and(|last| last.end() == self.at) {
            self.open = self.ready.pop();
        }
        let Some(before) = open else { return self.take_ready() };
        let next = if self.ready.is_empty() { self.open.as_mut() } else { self.ready.first_mut() };
        match next {
            Some(next) if next.offset == before.end() => {
                *next = (before.offset..next.end()).into();
                self.take_ready()
            }
            _ => Some(before),
        }
    }

    fn take_ready(&mut self) -> Option<ByteRange> {
        let range = self.ready.get(self.taken).copied();
        self.taken += usize::from(range.is_some());
        range
    }

    /// Goes on to the end of an extent: a range that ended in front of it.
    fn next_extent(&mut self) -> Result<Option<ByteRange>> {
        let limit = self.end.min(self.at.saturating_add(self.stride));
        let extent = self.stack.at(self.at, limit)?.extent;
        let piece = ByteRange::from(self.at..extent.end);
        self.at = extent.end;
        if !(self.rule)(extent.held) {
            return Ok(self.open.take());
        }
        self.open.get_or_insert(ByteRange { length: 0, ..piece }).length += piece.length;
        Ok(None)
    }

    /// Takes the next mask, where one layer decides alone and has one.
    fn look_further(&mut self) -> Result<bool> {
        self.position.store(self.at, Ordering::Relaxed);
        let Some(layer) = self.stack.only_layer(self.end) else { return Ok(false) };
        layer.mask(self.at, self.end, self.rule, &mut self.mask)
    }
}
