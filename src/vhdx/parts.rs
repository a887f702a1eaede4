//! The parts of a file that hold no payload, so that a user can share them without sharing the
//! content of the disk.

use super::Vhdx;
use super::bat::{BAT_ENTRY, BatEntry, PayloadState};
use super::layout::*;
use crate::error::Result;
use crate::limits::Limits;
use crate::range::ByteRange;
use crate::source::Window;
use std::mem::take;

/// The kind of a BAT entry: a payload block, or the sector bitmap of a chunk.
pub(super) enum BatSlot {
    Payload(u64),
    Bitmap(u64),
}

impl Vhdx {
    /// Returns the parts of the file, in bytes, that suffice to answer every question about changes
    /// and that hold no payload: the header section, the log, the BAT, the metadata region and the
    /// sector bitmap blocks. Sorted by offset, none overlapping.
    ///
    /// # Errors
    /// As reading the BAT: an entry that contradicts the format or the file.
    pub(crate) fn metadata_parts(&self, limits: &Limits) -> Result<Vec<ByteRange>> {
        let mut parts = vec![ByteRange::from(0..HEADER_SECTION)];
        if self.header.log_length > 0 {
            let end = self.header.log_offset.saturating_add(self.header.log_length);
            parts.push(ByteRange::from(self.header.log_offset..end));
        }
        for region in [&self.regions.bat, &self.regions.metadata] {
            parts.push(ByteRange::from(region.offset..region.end()));
        }
        let mut needed = false;
        self.each_entry(limits, |slot, entry| {
            match slot {
                // This entry has no meaning in a file without a parent.
                BatSlot::Bitmap(_) if !self.metadata.has_parent() => {}
                // An error in a sector bitmap that no block needs is ignored.
                BatSlot::Bitmap(chunk) => match (self.bitmap(entry, chunk), take(&mut needed)) {
                    (Ok(offset), _) => parts.push(ByteRange { offset, length: BITMAP_BLOCK }),
                    (Err(error), true) => return Err(error),
                    (Err(_), false) => {}
                },
                BatSlot::Payload(block) => {
                    needed |= self.payload(entry, block)? == PayloadState::PartiallyPresent;
                }
            }
            Ok(())
        })?;
        parts.sort_unstable();
        parts.dedup(); // chunks may share a block
        Ok(parts)
    }

    /// Visits every meaningful entry of the BAT, in order. Entries of a differencing file's last
    /// chunk that are after the disk's end have no meaning.
    pub(super) fn each_entry(
        &self,
        limits: &Limits,
        mut visit: impl FnMut(BatSlot, BatEntry) -> Result<()>,
    ) -> Result<()> {
        let start = self.regions.bat.offset;
        let end = start + self.shape.entries * BAT_ENTRY;
        let mut window = Window::new("the BAT", start, end);
        for index in 0..self.shape.entries {
            let bytes =
                window.bytes(&self.file, limits, start + index * BAT_ENTRY, BAT_ENTRY, end)?;
            let Some(entry) = bytes.first_chunk().copied().map(BatEntry::from_le_bytes) else {
                break;
            };
            let chunk = index / (self.shape.chunk_ratio + 1);
            let block = index - chunk;
            if index == self.shape.bitmap_entry(chunk) {
                visit(BatSlot::Bitmap(chunk), entry)?;
            } else if block < self.shape.payload_blocks {
                visit(BatSlot::Payload(block), entry)?;
            }
        }
        Ok(())
    }
}
