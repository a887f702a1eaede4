//! The parts of a disk that have data or read as zeros, and where their bytes are stored.

use super::{Chain, LayerStack};
use crate::error::Result;
use crate::layer::LayerState;
use crate::limits::Limits;
use crate::range::ByteRange;
use crate::vhdx::Vhdx;
use std::ops::Range;
use std::sync::Arc;

/// The kind of a part of a virtual disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum ExtentKind {
    /// Data that must be read.
    Data,
    /// Zeros that a file of the chain records as such.
    Zero,
    /// Zeros because no file of the chain has anything there.
    Hole,
}

/// A part of a virtual disk whose bytes are of one kind and come from one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Extent {
    /// The range on the virtual disk.
    pub range: ByteRange,
    /// The kind of the extent.
    pub kind: ExtentKind,
    /// The file that the extent comes from, as an index into [`Disk::files`](crate::Disk::files): 0
    /// for the leaf. A hole comes from the root, the last file.
    pub file: usize,
    /// The offset of its first byte in that file, in bytes, for data that is stored there
    /// contiguously. None for zeros and holes, and for data that the file's log replaces or that
    /// lies past the file's end: read it through the [`Disk`](crate::Disk).
    pub host_offset: Option<u64>,
}

impl Extent {
    /// Returns whether the other extent continues this one.
    fn joins(&self, other: &Extent) -> bool {
        let host_end = self.host_offset.map(|offset| offset + self.range.length);
        self.range.end() == other.range.offset
            && (self.kind, self.file) == (other.kind, other.file)
            && host_end == other.host_offset
    }
}

/// The extents of regions, split where the kind, the file or the place in the file changes.
pub(crate) struct ExtentIter {
    stack: LayerStack,
    files: Vec<Arc<Vhdx>>,
    region: Range<u64>,
    open: Option<Extent>,
}

impl ExtentIter {
    pub(crate) fn new(chain: &Chain, region: Range<u64>, limits: &Limits) -> Self {
        let files = chain.files.iter().map(|file| file.vhdx.clone()).collect();
        ExtentIter { stack: chain.stack(limits), files, region, open: None }
    }

    /// Starts a region.
    pub(crate) fn set_region(&mut self, region: Range<u64>) {
        self.region = region;
        self.open = None;
    }

    /// Returns the next extent; None at the region's end.
    pub(crate) fn next(&mut self) -> Result<Option<Extent>> {
        while !self.region.is_empty() {
            let extent = self.find()?;
            self.region.start = extent.range.end();
            match &mut self.open {
                Some(open) if open.joins(&extent) => open.range.length += extent.range.length,
                open => {
                    if let Some(whole) = open.replace(extent) {
                        return Ok(Some(whole));
                    }
                }
            }
        }
        Ok(self.open.take())
    }

    /// Returns the extent at the region's start.
    fn find(&mut self) -> Result<Extent> {
        let Range { start, end } = self.region;
        let found = self.stack.extent(start, end)?;
        let file = found.depth.min(self.files.len() - 1);
        let (mut end, mut host_offset) = (found.extent.end, None);
        let kind = match found.extent.state {
            LayerState::Absent => ExtentKind::Hole,
            LayerState::Zero | LayerState::Undefined => ExtentKind::Zero,
            LayerState::Data => {
                let offset = found.extent.file_offset;
                let (run, stored) =
                    self.files[file].file.stored_run(offset, offset + (end - start));
                end = start + (run - offset);
                host_offset = stored.then_some(offset);
                ExtentKind::Data
            }
        };
        Ok(Extent { range: (start..end).into(), kind, file, host_offset })
    }
}
