//! The block allocation table ([MS-VHDX] 2.5): where each block is, and in which state.

use super::layout::*;
use super::metadata::Metadata;

/// The arithmetic of a disk's BAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatShape {
    /// Payload blocks per sector bitmap block.
    pub chunk_ratio: u64,
    /// Payload blocks of the disk; the last may be only partly used.
    pub payload_blocks: u64,
    /// Sector bitmap blocks that a differencing file of this size has.
    pub bitmap_blocks: u64,
    /// Entries that the table has to have.
    pub entries: u64,
}

impl BatShape {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let block_size = u64::from(metadata.block_size);
        let chunk_ratio = SECTORS_PER_CHUNK * u64::from(metadata.logical_sector_size) / block_size;
        let payload_blocks = metadata.virtual_size.div_ceil(block_size);
        let bitmap_blocks = payload_blocks.div_ceil(chunk_ratio);
        let entries = if metadata.has_parent() {
            bitmap_blocks * (chunk_ratio + 1)
        } else {
            payload_blocks + payload_blocks.saturating_sub(1) / chunk_ratio
        };
        BatShape { chunk_ratio, payload_blocks, bitmap_blocks, entries }
    }

    /// The entry of a payload block.
    pub(crate) fn payload_entry(&self, block: u64) -> u64 {
        block + block / self.chunk_ratio
    }

    /// The entry of a chunk's sector bitmap block.
    pub(crate) fn bitmap_entry(&self, chunk: u64) -> u64 {
        (chunk + 1) * (self.chunk_ratio + 1) - 1
    }
}

/// A payload block's state; the offset is where the block begins in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    NotPresent,
    Undefined,
    Zero,
    Unmapped,
    Full(u64),
    Partial(u64),
}

/// Why an entry is refused.
pub(crate) struct BadEntry(pub &'static str);

impl Payload {
    /// States 0 to 3 may keep the offset of a block they once had: it is ignored.
    pub fn parse(entry: u64) -> Result<Self, BadEntry> {
        let offset = entry & BAT_OFFSET;
        Ok(match entry & BAT_STATE {
            0 => Payload::NotPresent,
            1 => Payload::Undefined,
            2 => Payload::Zero,
            3 => Payload::Unmapped,
            6 => Payload::Full(offset),
            7 => Payload::Partial(offset),
            _ => return Err(BadEntry("has a state that does not exist")),
        })
    }
}

/// A sector bitmap block's place; None where it is not present. State 7 is read as 6.
pub(crate) fn parse_bitmap(entry: u64) -> Result<Option<u64>, BadEntry> {
    match entry & BAT_STATE {
        0 => Ok(None),
        6 | 7 => Ok(Some(entry & BAT_OFFSET)),
        _ => Err(BadEntry("has a state that sector bitmap blocks do not have")),
    }
}
