//! The parts of a file that hold no payload, so that a user can share them without sharing the
//! content of the disk.

use super::Vhdx;
use super::bat::{BAT_ENTRY, BatEntry, PayloadState};
use super::layout::*;
use crate::error::Result;
use crate::limits::Limits;
use crate::range::ByteRange;
use std::mem::take;

/// A meaningful BAT entry and its block, if it has one.
pub(super) struct Block {
    pub entry: BatEntry,
    /// Whether this is the sector bitmap of chunk `index`, not payload block `index`.
    pub is_bitmap: bool,
    pub index: u64,
    /// The offset in the file, None if the entry has no block.
    pub place: Result<Option<u64>>,
    /// Whether a defect of the entry makes the file unusable: that of a sector bitmap is ignored if
    /// no block of its chunk is partially present.
    pub needed: bool,
}

impl Vhdx {
    /// Returns the parts of the file, in bytes, that suffice to answer every question about changes
    /// and that hold no payload: the header section, the log, the BAT, the metadata region and the
    /// sector bitmap blocks. Sorted by offset, none overlapping.
    ///
    /// # Errors
    /// Fails if the BAT cannot be read, or if an entry contradicts the format or the file.
    pub(crate) fn metadata_parts(&self, limits: &Limits) -> Result<Vec<ByteRange>> {
        let mut parts = vec![ByteRange::from(0..HEADER_SECTION)];
        let regions =
            [self.regions.bat, self.regions.metadata].into_iter().chain(self.header.log());
        parts.extend(regions.map(|region| ByteRange::from(region.offset..region.end())));
        self.each_block(limits, |block| match block.place {
            Err(error) if block.needed => Err(error),
            Ok(Some(offset)) if block.is_bitmap => {
                parts.push(ByteRange { offset, length: BITMAP_BLOCK });
                Ok(())
            }
            _ => Ok(()),
        })?;
        parts.sort_unstable();
        parts.dedup(); // chunks may share a block
        Ok(parts)
    }

    /// Visits every meaningful entry of the BAT, in order. Entries of a differencing file's last
    /// chunk that are after the disk's end have no meaning, nor do entries of sector bitmaps in a
    /// file without a parent.
    pub(super) fn each_block(
        &self,
        limits: &Limits,
        mut visit: impl FnMut(Block) -> Result<()>,
    ) -> Result<()> {
        let (file, mut window) = (self.file.within(limits), self.bat_window());
        let end = self.entry_offset(self.shape.entries);
        let mut needs_bitmap = false;
        for i in 0..self.shape.entries {
            let at = self.entry_offset(i);
            let bytes = window.bytes(file, at, BAT_ENTRY, end)?;
            let Some(entry) = bytes.first_chunk().copied().map(BatEntry::from_le_bytes) else {
                break;
            };
            let chunk = i / (self.shape.chunk_ratio + 1);
            let block = i - chunk;
            let is_bitmap = i == self.shape.bitmap_entry(chunk);
            let (index, place, needed) = match is_bitmap {
                true if self.metadata.has_parent() => {
                    let needed = take(&mut needs_bitmap);
                    // An entry that no block needs still has to be valid if it is marked as present.
                    let place = match needed || matches!(entry.has_bitmap(), Ok(true)) {
                        true => self.bitmap(entry, chunk).map(Some),
                        false => Ok(None),
                    };
                    (chunk, place, needed)
                }
                false if block < self.shape.payload_blocks => {
                    needs_bitmap |= matches!(entry.state(), Ok(PayloadState::PartiallyPresent));
                    let state = self.payload(entry, block);
                    let place = state.map(|state| state.has_block().then_some(entry.offset()));
                    (block, place, true)
                }
                _ => continue,
            };
            visit(Block { entry, is_bitmap, index, place, needed })?;
        }
        Ok(())
    }
}
