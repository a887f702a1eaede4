//! Which parts of a file hold no payload: what a stranger can hand over without handing over
//! what is on the disk.

use super::Vhdx;
use super::bat::Payload;
use super::layout::*;
use crate::error::Result;
use crate::range::ByteRange;
use crate::source::Window;
use byteorder::{ByteOrder, LittleEndian};
use std::mem::take;

/// A block that the BAT places in the file.
pub(crate) enum Block {
    Payload(ByteRange),
    Bitmap(ByteRange),
}

/// What an entry of the BAT is for: a payload block, or the sector bitmap of a chunk.
pub(super) enum Slot {
    Payload(u64),
    Bitmap(u64),
}

impl Vhdx {
    /// The parts of the file, in bytes, from which every question about changes can be answered
    /// and that hold no payload: the header section, the log, the BAT, the metadata region and
    /// the sector bitmap blocks. Sorted by offset, none overlapping.
    ///
    /// # Errors
    /// As reading the BAT: an entry that contradicts the format or the file.
    pub fn metadata_parts(&self) -> Result<Vec<ByteRange>> {
        let mut parts = vec![ByteRange::from(0..HEADER_SECTION)];
        if self.header.log_length > 0 {
            let end = self.header.log_offset.saturating_add(self.header.log_length);
            parts.push(ByteRange::from(self.header.log_offset..end));
        }
        for region in [&self.regions.bat, &self.regions.metadata] {
            parts.push(ByteRange::from(region.offset..region.end()));
        }
        self.blocks(|block| {
            if let Block::Bitmap(place) = block {
                parts.push(place);
            }
            Ok(())
        })?;
        parts.sort_unstable();
        Ok(parts)
    }

    /// Tells every block that the BAT places in the file, as far as the disk uses it, in the
    /// BAT's order. What is wrong with a sector bitmap that no block needs is not looked at.
    pub(crate) fn blocks(&self, mut tell: impl FnMut(Block) -> Result<()>) -> Result<()> {
        let mut needed = false;
        self.each_entry(|slot, entry| match slot {
            // Means nothing in a file without a parent.
            Slot::Bitmap(_) if !self.metadata.has_parent() => Ok(()),
            Slot::Bitmap(chunk) => match (self.bitmap(entry, chunk), take(&mut needed)) {
                (Ok(offset), _) => tell(Block::Bitmap(ByteRange { offset, length: BITMAP_BLOCK })),
                (Err(error), true) => Err(error),
                (Err(_), false) => Ok(()),
            },
            Slot::Payload(block) => {
                let payload = self.payload(entry, block)?;
                needed |= matches!(payload, Payload::Partial(_));
                let (Payload::Full(offset) | Payload::Partial(offset)) = payload else {
                    return Ok(());
                };
                tell(Block::Payload(ByteRange { offset, length: self.used_bytes(block) }))
            }
        })
    }

    /// Visits every payload block, in order.
    pub(crate) fn visit_payload(
        &self,
        mut visit: impl FnMut(u64, Payload) -> Result<()>,
    ) -> Result<()> {
        self.each_entry(|slot, entry| match slot {
            Slot::Payload(block) => visit(block, self.payload(entry, block)?),
            Slot::Bitmap(_) => Ok(()),
        })
    }

    /// Tells every entry of the BAT that means something, in order. Those of a differencing
    /// file's last chunk that are behind the disk's end do not.
    pub(super) fn each_entry(&self, mut tell: impl FnMut(Slot, u64) -> Result<()>) -> Result<()> {
        let start = self.regions.bat.offset;
        let end = start + self.shape.entries * BAT_ENTRY;
        let mut window = Window::new("the BAT", start, end);
        for index in 0..self.shape.entries {
            let bytes = window.bytes(&self.file, start + index * BAT_ENTRY, BAT_ENTRY, end)?;
            let entry = LittleEndian::read_u64(bytes);
            let chunk = index / (self.shape.chunk_ratio + 1);
            let block = index - chunk;
            if index == self.shape.bitmap_entry(chunk) {
                tell(Slot::Bitmap(chunk), entry)?;
            } else if block < self.shape.payload_blocks {
                tell(Slot::Payload(block), entry)?;
            }
        }
        Ok(())
    }
}
