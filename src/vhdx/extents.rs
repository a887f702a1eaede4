//! What one file says of each stretch of the virtual disk: its BAT, and within partially
//! present blocks its sector bitmaps, read in windows.

use super::Vhdx;
use super::bat::Payload;
use super::bitmap;
use super::layout::*;
use crate::error::Result;
use crate::extent::{Extent, Held, Layer, Rule};
use crate::mask::Mask;
use crate::source::Window;
use byteorder::{ByteOrder, LittleEndian};
use std::sync::Arc;

/// How finely extents are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// As long as the state stays the same: for questions about ranges.
    State,
    /// Data also ends where its bytes in the file do: for reading them.
    Mapped,
}

/// A cursor over a file's BAT and bitmaps; cheapest when asked in ascending order.
pub(crate) struct Extents {
    pub(super) vhdx: Arc<Vhdx>,
    grain: Grain,
    bat: Window,
    bitmap: Window,
    /// The chunk whose bitmap block was looked up last, and where that lies.
    chunk: Option<(u64, u64)>,
}

impl Extents {
    pub fn new(vhdx: Arc<Vhdx>, grain: Grain) -> Self {
        let start = vhdx.regions.bat.offset;
        let bat = Window::new("the BAT", start, start + vhdx.shape.entries * BAT_ENTRY);
        let bitmap = Window::new("a sector bitmap", 0, u64::MAX);
        Extents { vhdx, grain, bat, bitmap, chunk: None }
    }

    pub(super) fn block_size(&self) -> u64 {
        self.vhdx.metadata.block_size.into()
    }

    /// The BAT entries from that of block `first` on, at least one, as many as the window has
    /// before those of block `until` and of the next chunk.
    pub(super) fn entries(&mut self, first: u64, until: u64) -> Result<&[u8]> {
        let vhdx = &*self.vhdx;
        let chunk_end = (first / vhdx.shape.chunk_ratio + 1) * vhdx.shape.chunk_ratio;
        let region = vhdx.regions.bat.offset;
        let at = region + vhdx.shape.payload_entry(first) * BAT_ENTRY;
        // The window may run on behind the chunk, up to the last entry that is asked about.
        let last = region + (vhdx.shape.payload_entry(until - 1) + 1) * BAT_ENTRY;
        let bytes = self.bat.bytes(&vhdx.file, at, BAT_ENTRY, last)?;
        let most = (until.min(chunk_end) - first) * BAT_ENTRY;
        Ok(&bytes[..bytes.len().min(most as usize)])
    }

    /// The state of block `first`, and how many blocks from there on, before `until`, are
    /// known to share it (as far as the window and the chunk reach).
    fn blocks(&mut self, first: u64, until: u64) -> Result<(u64, Payload)> {
        let vhdx = self.vhdx.clone();
        let grain = self.grain;
        let bytes = self.entries(first, until)?;
        let mut entries = bytes.chunks_exact(BAT_ENTRY as usize).map(LittleEndian::read_u64);
        let payload = vhdx.payload(entries.next().unwrap_or_default(), first)?;
        let one_by_one = match payload {
            Payload::Partial(_) => true,
            Payload::Full(_) => grain == Grain::Mapped,
            _ => false,
        };
        if one_by_one {
            return Ok((1, payload));
        }
        let mut count = 1;
        for entry in entries {
            let next = vhdx.payload(entry, first + count)?;
            if std::mem::discriminant(&next) != std::mem::discriminant(&payload) {
                break;
            }
            count += 1;
        }
        Ok((count, payload))
    }

    /// The extent at `at`, and whether the next one may be of the same state.
    fn piece(&mut self, at: u64, limit: u64) -> Result<(Extent, bool)> {
        let block_size = self.block_size();
        let block = at / block_size;
        let (count, payload) = self.blocks(block, limit.div_ceil(block_size))?;
        let end = limit.min((block + count) * block_size);
        let in_block = at - block * block_size;
        let (mut extent, mut more) = (Extent { end, held: Held::Data, file_offset: 0 }, true);
        match payload {
            Payload::Full(offset) => extent.file_offset = offset + in_block,
            Payload::Partial(offset) => {
                let (sectors_end, present) = self.sectors(at, end, limit)?;
                more = sectors_end == end;
                extent.end = sectors_end;
                extent.held = if present { Held::Data } else { Held::Absent };
                extent.file_offset = offset + in_block;
            }
            absent => extent.held = held(absent, self.vhdx.metadata.has_parent()),
        }
        Ok((extent, more))
    }

    /// How far the sectors from `at` on, up to `block_end`, are alike, and whether they are
    /// present; the bitmap is read ahead up to `limit`.
    fn sectors(&mut self, at: u64, block_end: u64, limit: u64) -> Result<(u64, bool)> {
        let sector_size = u64::from(self.vhdx.metadata.logical_sector_size);
        let (first, until, bytes) = self.bits(at, block_end, limit)?;
        let until = (until - first / 8 * 8) as usize;
        let (count, present) = bitmap::run(bytes, (first % 8) as usize, until);
        let end = (at / sector_size + count as u64) * sector_size;
        Ok((end.min(block_end), present))
    }

    /// The bits of the sectors from `at` on, as many as the window has before `block_end`: the
    /// first and the one behind the last, counted in their chunk's bitmap, and the bytes from
    /// the one that holds the first bit on. The bitmap is read ahead up to `limit`.
    pub(super) fn bits(
        &mut self,
        at: u64,
        block_end: u64,
        limit: u64,
    ) -> Result<(u64, u64, &[u8])> {
        let sector_size = u64::from(self.vhdx.metadata.logical_sector_size);
        let sector = at / sector_size;
        let chunk = sector / SECTORS_PER_CHUNK;
        let place = self.bitmap_place(chunk)?;
        let first = sector % SECTORS_PER_CHUNK;
        let in_chunk = |end: u64| end.div_ceil(sector_size) - chunk * SECTORS_PER_CHUNK;
        let ahead = in_chunk(limit).min(SECTORS_PER_CHUNK).div_ceil(8);
        let bytes = self.bitmap.bytes(&self.vhdx.file, place + first / 8, 1, place + ahead)?;
        let until = in_chunk(block_end).min(first / 8 * 8 + bytes.len() as u64 * 8);
        Ok((first, until, bytes))
    }

    fn bitmap_place(&mut self, chunk: u64) -> Result<u64> {
        if let Some((_, place)) = self.chunk.filter(|&(known, _)| known == chunk) {
            return Ok(place);
        }
        let vhdx = &*self.vhdx;
        let index = vhdx.shape.bitmap_entry(chunk);
        let mut bytes = [0; BAT_ENTRY as usize];
        vhdx.file.read(&mut bytes, vhdx.regions.bat.offset + index * BAT_ENTRY, "the BAT")?;
        let entry = u64::from_le_bytes(bytes);
        let place = vhdx.bitmap(entry, chunk)?;
        self.chunk = Some((chunk, place));
        Ok(place)
    }
}

impl Layer for Extents {
    fn extent(&mut self, at: u64, limit: u64) -> Result<Extent> {
        let (mut extent, mut more) = self.piece(at, limit)?;
        while self.grain == Grain::State && more && extent.end < limit {
            let (next, again) = self.piece(extent.end, limit)?;
            if next.held != extent.held {
                break;
            }
            extent.end = next.end;
            more = again;
        }
        Ok(extent)
    }

    fn fork(&self, _from: u64) -> Box<dyn Layer> {
        Box::new(Extents::new(self.vhdx.clone(), self.grain))
    }

    fn mask(&mut self, at: u64, limit: u64, rule: Rule, mask: &mut Mask) -> Result<bool> {
        self.fill(at, limit, rule, mask)
    }
}

/// What a block of a state without bytes has; a file without a parent has zeros.
pub(super) fn held(payload: Payload, child: bool) -> Held {
    match payload {
        Payload::NotPresent => Held::Absent,
        Payload::Undefined if child => Held::Undefined,
        Payload::Undefined | Payload::Zero | Payload::Unmapped => Held::Zero,
        Payload::Full(_) | Payload::Partial(_) => Held::Data,
    }
}
