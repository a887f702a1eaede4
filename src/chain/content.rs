//! Where a disk has data and where it reads as zeros.

use super::Stack;
use crate::error::Result;
use crate::extent::Held;
use crate::range::ByteRange;
use std::ops::Range;

/// What a stretch of a virtual disk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Content {
    /// Bytes that have to be read.
    Data,
    /// Zeros, by a file's own word.
    Zero,
    /// Zeros, since no file of the chain has anything there.
    Hole,
}

/// A stretch of a virtual disk whose content is of one kind and from one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct DiskExtent {
    /// Where it lies on the virtual disk.
    pub range: ByteRange,
    /// What it holds.
    pub content: Content,
    /// Which file of the chain decides, 0 for the leaf; the root's for a hole.
    pub depth: usize,
}

impl DiskExtent {
    /// Does the other one go on where this one ends, alike?
    fn joins(&self, other: &DiskExtent) -> bool {
        self.range.end() == other.range.offset
            && (self.content, self.depth) == (other.content, other.depth)
    }
}

/// Cuts regions into extents.
pub(crate) struct Cutter {
    stack: Stack,
    region: Range<u64>,
    open: Option<DiskExtent>,
}

impl Cutter {
    pub fn new(stack: Stack) -> Self {
        Cutter { stack, region: 0..0, open: None }
    }

    /// Starts on a region.
    pub fn set_region(&mut self, region: Range<u64>) {
        self.region = region;
        self.open = None;
    }

    /// The next extent; None at the region's end.
    pub fn next(&mut self) -> Result<Option<DiskExtent>> {
        while !self.region.is_empty() {
            let found = self.stack.at(self.region.start, self.region.end)?;
            let content = match found.extent.held {
                Held::Data => Content::Data,
                Held::Zero | Held::Undefined => Content::Zero,
                Held::Absent => Content::Hole,
            };
            let range = ByteRange::from(self.region.start..found.extent.end);
            let depth = found.depth.min(self.stack.layers().saturating_sub(1));
            let extent = DiskExtent { range, content, depth };
            self.region.start = found.extent.end;
            match &mut self.open {
                Some(open) if open.joins(&extent) => open.range.length += range.length,
                open => {
                    if let Some(whole) = open.replace(extent) {
                        return Ok(Some(whole));
                    }
                }
            }
        }
        Ok(self.open.take())
    }
}
