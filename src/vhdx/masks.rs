//! A file's blocks and sectors as bits: how a question about ranges looks at many at once.

use super::Vhdx;
use super::bat::Payload;
use super::extents::{Extents, held};
use super::layout::*;
use crate::error::Result;
use crate::extent::{Held, Mask, Rule};
use byteorder::{ByteOrder, LittleEndian};

/// State 6, FULLY_PRESENT, and 7, PARTIALLY_PRESENT.
const FULL: u64 = 6;
const PARTIAL: u64 = 7;

impl Extents {
    /// See [`Layer::mask`](crate::extent::Layer::mask): the blocks from `at` on up to a
    /// partially present one, or the sectors of such a one.
    pub(super) fn fill(
        &mut self,
        at: u64,
        limit: u64,
        rule: Rule,
        mask: &mut Mask,
    ) -> Result<bool> {
        let block_size = self.block_size();
        let block = at / block_size;
        let reported = reported_states(rule, self.vhdx.metadata.has_parent());
        let vhdx = self.vhdx.clone();
        let safe = vhdx.plainly_placed();
        let bytes = self.entries(block, limit.div_ceil(block_size))?;
        let entries = bytes.chunks_exact(BAT_ENTRY as usize).map(LittleEndian::read_u64);
        let plain =
            entries.clone().zip(block..).take_while(|&(entry, block)| match entry & BAT_STATE {
                0..=3 => true,
                FULL => safe.contains(&(entry & BAT_OFFSET)) || vhdx.payload(entry, block).is_ok(),
                // A bad entry is left to the extents, which say what is wrong with it.
                _ => false,
            });
        let count = plain.count();
        if count > 0 {
            mask.reset(block * block_size, block_size);
            mask.set(entries.take(count), |entry| reported >> (entry & BAT_STATE) & 1 == 1);
            return Ok(true);
        }
        let first = LittleEndian::read_u64(bytes);
        if first & BAT_STATE != PARTIAL
            || !matches!(vhdx.payload(first, block)?, Payload::Partial(_))
        {
            return Ok(false);
        }
        self.fill_sectors(at, limit.min((block + 1) * block_size), limit, mask)
    }

    /// The sectors from `at` on that the window has, at most up to `block_end`.
    fn fill_sectors(
        &mut self,
        at: u64,
        block_end: u64,
        limit: u64,
        mask: &mut Mask,
    ) -> Result<bool> {
        let sector_size = u64::from(self.vhdx.metadata.logical_sector_size);
        let (first, until, bytes) = self.bits(at, block_end, limit)?;
        let sector = at / sector_size - first % 8;
        mask.reset(sector * sector_size, sector_size);
        mask.set_from_bytes(bytes, (until - first / 8 * 8) as usize);
        Ok(true)
    }
}

/// For each state a bit: is a block of that state reported?
fn reported_states(rule: Rule, child: bool) -> u64 {
    let states = [Payload::NotPresent, Payload::Undefined, Payload::Zero, Payload::Unmapped];
    let bits = states
        .iter()
        .enumerate()
        .map(|(state, payload)| u64::from(rule(held(*payload, child))) << state);
    bits.sum::<u64>() | u64::from(rule(Held::Data)) << FULL
}

impl Vhdx {
    /// Offsets at which a payload block certainly has its place: behind everything that is no
    /// block, and so that it ends inside the file.
    fn plainly_placed(&self) -> std::ops::RangeInclusive<u64> {
        let behind = self.regions.all.last().map_or(HEADER_SECTION, |region| region.end());
        let last = self.file.length().checked_sub(self.metadata.block_size.into());
        behind..=last.unwrap_or(0)
    }
}
