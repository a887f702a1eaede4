//! A file's blocks and sectors as bits, so that a question about ranges examines many at once.

use super::Vhdx;
use super::bat::{BatEntry, PayloadState, PayloadStateSet};
use super::extents::{Coalescing, Extents, layer_state};
use super::layout::*;
use crate::error::Result;
use crate::layer::{Layer, LayerExtent, UnitBitmap};
use crate::size::to_usize;
use std::ops::RangeInclusive;

/// The maximum number of sectors that are scanned at once.
const MAX_SECTORS: u64 = 1 << 16;

impl Layer for Extents {
    fn extent(&mut self, at: u64, limit: u64) -> Result<LayerExtent> {
        let (mut extent, mut more) = self.next_extent(at, limit)?;
        while self.coalescing != Coalescing::Mapped && more && extent.end < limit {
            let (next, again) = self.next_extent(extent.end, limit)?;
            if next.state != extent.state {
                break;
            }
            extent.end = next.end;
            more = again;
        }
        Ok(extent)
    }

    /// Fills the bitmap with the blocks from `at` on up to a partially present one, or with the
    /// sectors of a partially present block.
    fn fill(&mut self, at: u64, limit: u64, bitmap: &mut UnitBitmap) -> Result<bool> {
        let reported = bitmap.reported;
        let block_size = self.block_size();
        let block = at / block_size;
        let vhdx = self.vhdx.clone();
        let child = vhdx.metadata.has_parent();
        // Of partially present blocks, only those in a file without a parent are examined here.
        let states = States {
            reported: PayloadStateSet::of(|state| reported.contains(layer_state(state, child))),
            valid_offsets: vhdx.valid_offsets(),
        };
        let entries = self.entries(block, limit.div_ceil(block_size))?;
        bitmap.reset(block * block_size, vhdx.metadata.block_size);
        for (group, first) in entries.chunks(64).zip((block..).step_by(64)) {
            match states.uniform(group) {
                Some(word) => bitmap.push_word(word, group.len()),
                None if bitmap.push_good(group, |entry| states.classify(entry)) => {}
                None => {
                    let is_resolved = |(entry, block): &(&[u8; 8], u64)| {
                        let state = vhdx.payload(BatEntry::from_le_bytes(**entry), *block);
                        state.is_ok_and(|state| state != PayloadState::PartiallyPresent)
                    };
                    let count = group.iter().zip(first..).take_while(is_resolved).count();
                    bitmap.push_all(&group[..count], |entry| states.is_reported(entry));
                    if count < group.len() {
                        break;
                    }
                }
            }
        }
        if bitmap.count() > 0 {
            return Ok(true);
        }
        // Fails if the first entry is bad; else the block is partially present.
        vhdx.payload(BatEntry::from_le_bytes(entries[0]), block)?;
        self.fill_sectors(at, limit, bitmap)
    }
}

impl Extents {
    /// Fills the bitmap with the sectors from `at` on that the window has, at most up to the end of
    /// the block.
    fn fill_sectors(&mut self, at: u64, limit: u64, bitmap: &mut UnitBitmap) -> Result<bool> {
        let block_end = limit.min((at / self.block_size() + 1) * self.block_size());
        let unit = self.vhdx.metadata.logical_sector_size;
        let sector_size = u64::from(unit);
        // This keeps the result of one scan small.
        let block_end = block_end.min(at + MAX_SECTORS * sector_size);
        let (first, until, bytes) = self.bits(at, block_end, limit)?;
        let sector = at / sector_size - first % 8;
        bitmap.reset(sector * sector_size, unit);
        bitmap.set_from_bytes(bytes, to_usize(until - first / 8 * 8));
        Ok(true)
    }
}

/// How a question interprets BAT entries.
struct States {
    /// The states whose blocks are reported.
    reported: PayloadStateSet,
    /// The offsets that are certainly valid for a block.
    valid_offsets: RangeInclusive<u64>,
}

impl States {
    fn is_reported(&self, entry: [u8; 8]) -> bool {
        self.reported.contains(BatEntry::from_le_bytes(entry))
    }

    /// Returns whether the block is reported, and whether its entry is valid and it is not
    /// partially present, each in the lowest bit, without a branch. May return "not valid" for the
    /// entry of a valid block.
    fn classify(&self, entry: [u8; 8]) -> (u64, u64) {
        let entry = BatEntry::from_le_bytes(entry);
        let is_placed = self.valid_offsets.contains(&entry.offset());
        let good = PayloadStateSet::WITHOUT_BLOCK.with_if(PayloadState::FullyPresent, is_placed);
        (self.reported.bit(entry), good.bit(entry))
    }

    /// Returns the word of a group whose entries are all valid and of one state, as most groups
    /// are.
    fn uniform(&self, group: &[[u8; 8]]) -> Option<u64> {
        let common = BatEntry::common_state(group)?;
        let good = match common.state() {
            Err(_) | Ok(PayloadState::PartiallyPresent) => false,
            Ok(PayloadState::FullyPresent) => group.iter().fold(true, |good, entry| {
                good & self.valid_offsets.contains(&BatEntry::from_le_bytes(*entry).offset())
            }),
            Ok(_) => true,
        };
        good.then_some(if self.reported.contains(common) { u64::MAX } else { 0 })
    }
}

impl Vhdx {
    /// Returns the offsets that are valid for any payload block: after everything that is not a
    /// block, and such that the whole block is inside the file, which only the disk's last block
    /// need not be.
    fn valid_offsets(&self) -> RangeInclusive<u64> {
        let first = self.regions.all.last().map_or(HEADER_SECTION, |region| region.end());
        first..=self.file.length.saturating_sub(self.metadata.block_size.into())
    }
}
