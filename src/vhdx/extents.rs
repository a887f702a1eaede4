//! The extents of one file: the state of each part of the virtual disk according to the file's BAT
//! and, within partially present blocks, its sector bitmaps. Both are read in windows.

use super::Vhdx;
use super::bat::{BAT_ENTRY, BatEntry, PayloadState};
use super::bitmap;
use super::layout::*;
use crate::error::Result;
use crate::layer::{LayerExtent, LayerState};
use crate::limits::Limits;
use crate::size::to_usize;
use crate::source::Window;
use std::sync::Arc;

/// The changes at which extents are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coalescing {
    /// A change of state: for questions about ranges.
    ByState,
    /// A change of state or of the data's place in the file: for reading the data.
    Mapped,
    /// A change of state, with a partially present block as data in its whole length: for questions
    /// about other states, which need no sector bitmaps.
    ByBlock,
}

/// The minimum length of a BAT or sector bitmap read at a new place, unless the table ends before.
const MIN_READ: u64 = 4 << 10;

/// A cursor over a file's BAT and bitmaps; cheapest if queried in ascending order.
pub(crate) struct Extents {
    pub(super) vhdx: Arc<Vhdx>,
    pub(super) coalescing: Coalescing,
    limits: Limits,
    bat: Window,
    bitmap: Window,
    /// The chunk whose bitmap block was looked up last, and the offset of that block.
    chunk: Option<(u64, u64)>,
}

impl Extents {
    pub(crate) fn new(vhdx: Arc<Vhdx>, coalescing: Coalescing, limits: &Limits) -> Self {
        let bat = vhdx.bat_window();
        let bitmap = Window::new("a sector bitmap", 0, u64::MAX);
        Extents { vhdx, coalescing, limits: limits.clone(), bat, bitmap, chunk: None }
    }

    pub(super) fn block_size(&self) -> u64 {
        self.vhdx.metadata.block_size.into()
    }

    /// Returns the BAT entries from block `first` on: at least one, and as many as the window has
    /// before block `until` and the next chunk.
    pub(super) fn entries(&mut self, first: u64, until: u64) -> Result<&[[u8; 8]]> {
        let Vhdx { shape, file, metadata, .. } = &*self.vhdx;
        let chunk = first / shape.chunk_ratio;
        let at = self.vhdx.entry_offset(shape.payload_entry(first));
        let mut ahead = at + MIN_READ;
        if metadata.has_parent() {
            // The entry of the chunk's sector bitmap is likely to be needed next.
            ahead = ahead.max(self.vhdx.entry_offset(shape.bitmap_entry(chunk) + 1));
        }
        // The window may continue after the chunk, up to the last requested entry.
        let requested = self.vhdx.entry_offset(shape.payload_entry(until - 1) + 1);
        let end = requested.max(ahead.min(file.length));
        let bytes = self.bat.bytes(file.within(&self.limits), at, BAT_ENTRY, end)?;
        let (entries, _) = bytes.as_chunks();
        let count = until.min((chunk + 1) * shape.chunk_ratio) - first;
        Ok(&entries[..entries.len().min(to_usize(count))])
    }

    /// Returns the state of block `first`, and the number of blocks from there on, before `until`,
    /// that share it.
    pub(crate) fn block_run(&mut self, first: u64, until: u64) -> Result<(PayloadState, u64)> {
        let (_, state, count) = self.blocks(first, until)?;
        Ok((state, count))
    }

    /// Returns the entry and the state of block `first`, and the number of blocks from there on,
    /// before `until`, that are known to share the state (as far as the window and the chunk
    /// reach).
    fn blocks(&mut self, first: u64, until: u64) -> Result<(BatEntry, PayloadState, u64)> {
        let vhdx = self.vhdx.clone();
        let coalescing = self.coalescing;
        let entries = self.entries(first, until)?;
        let entry = BatEntry::from_le_bytes(entries[0]);
        let state = vhdx.payload(entry, first)?;
        let one_by_one = match state {
            PayloadState::PartiallyPresent => coalescing != Coalescing::ByBlock,
            PayloadState::FullyPresent => coalescing == Coalescing::Mapped,
            _ => false,
        };
        let mut count = 1;
        if !one_by_one {
            for next in &entries[1..] {
                if vhdx.payload(BatEntry::from_le_bytes(*next), first + count)? != state {
                    break;
                }
                count += 1;
            }
        }
        Ok((entry, state, count))
    }

    /// Returns the extent at `at`, and whether the next one may have the same state.
    pub(super) fn next_extent(&mut self, at: u64, limit: u64) -> Result<(LayerExtent, bool)> {
        let block_size = self.block_size();
        let block = at / block_size;
        let (entry, state, count) = self.blocks(block, limit.div_ceil(block_size))?;
        let blocks_end = limit.min((block + count) * block_size);
        let file_offset = match state.has_block() {
            true => entry.offset() + (at - block * block_size),
            false => 0,
        };
        let (mut end, mut layer) =
            (blocks_end, layer_state(state, self.vhdx.metadata.has_parent()));
        if state == PayloadState::PartiallyPresent && self.coalescing != Coalescing::ByBlock {
            let present;
            (end, present) = self.sectors(at, blocks_end, limit)?;
            layer = if present { LayerState::Data } else { LayerState::Absent };
        }
        Ok((LayerExtent { end, state: layer, file_offset }, end == blocks_end))
    }

    /// Returns the end of the uniform sectors from `at` on, up to `block_end`, and whether they are
    /// present. The bitmap is read ahead up to `limit`.
    fn sectors(&mut self, at: u64, block_end: u64, limit: u64) -> Result<(u64, bool)> {
        let sector_size = u64::from(self.vhdx.metadata.logical_sector_size);
        let (first, until, bytes) = self.bits(at, block_end, limit)?;
        let until = to_usize(until - first / 8 * 8);
        let (count, present) = bitmap::run(bytes, to_usize(first % 8), until);
        let end = (at / sector_size + count as u64) * sector_size;
        Ok((end.min(block_end), present))
    }

    /// Returns the bits of the sectors from `at` on, as many as the window has before `part_end`:
    /// the first bit and the one after the last, counted in their chunk's bitmap, and the bytes
    /// from the one that holds the first bit on. The bitmap is read ahead up to `limit`.
    pub(super) fn bits(&mut self, at: u64, part_end: u64, limit: u64) -> Result<(u64, u64, &[u8])> {
        let sector_size = u64::from(self.vhdx.metadata.logical_sector_size);
        let sector = at / sector_size;
        let chunk = sector / SECTORS_PER_CHUNK;
        let place = self.bitmap_place(chunk)?;
        let first = sector % SECTORS_PER_CHUNK;
        let in_chunk = |end: u64| end.div_ceil(sector_size) - chunk * SECTORS_PER_CHUNK;
        let ahead = in_chunk(limit).div_ceil(8).max(first / 8 + MIN_READ).min(BITMAP_BLOCK);
        let (from, end) = (place + first / 8, place + ahead);
        let file = self.vhdx.file.within(&self.limits);
        let bytes = self.bitmap.bytes(file, from, 1, end)?;
        let until = in_chunk(part_end).min(first / 8 * 8 + bytes.len() as u64 * 8);
        Ok((first, until, bytes))
    }

    fn bitmap_place(&mut self, chunk: u64) -> Result<u64> {
        if let Some((_, place)) = self.chunk.filter(|&(known, _)| known == chunk) {
            return Ok(place);
        }
        let vhdx = &*self.vhdx;
        let at = vhdx.entry_offset(vhdx.shape.bitmap_entry(chunk));
        let mut bytes = [0; size_of::<u64>()];
        match self.bat.get(at, BAT_ENTRY) {
            Some(entry) => bytes.copy_from_slice(entry),
            None => vhdx.file.within(&self.limits).read(&mut bytes, at, "the BAT")?,
        }
        let place = vhdx.bitmap(BatEntry::from_le_bytes(bytes), chunk)?;
        self.chunk = Some((chunk, place));
        Ok(place)
    }
}

/// Returns the layer's state in a block of this state; without a parent, undefined blocks are
/// zeros.
pub(super) fn layer_state(state: PayloadState, child: bool) -> LayerState {
    match state {
        PayloadState::NotPresent => LayerState::Absent,
        PayloadState::Undefined if child => LayerState::Undefined,
        PayloadState::Undefined | PayloadState::Zero | PayloadState::Unmapped => LayerState::Zero,
        PayloadState::FullyPresent | PayloadState::PartiallyPresent => LayerState::Data,
    }
}
