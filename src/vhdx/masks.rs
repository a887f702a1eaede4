//! A file's blocks and sectors as bits: how a question about ranges looks at many at once.

use super::Vhdx;
use super::bat::Payload;
use super::extents::{Extents, held};
use super::layout::*;
use crate::error::Result;
use crate::extent::{Held, Rule};
use crate::mask::Mask;
use std::ops::RangeInclusive;

/// State 6, FULLY_PRESENT, and 7, PARTIALLY_PRESENT.
const FULL: u64 = 6;
const PARTIAL: u64 = 7;

/// How many sectors one mask has at most.
const MAX_SECTORS: u64 = 1 << 16;

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
        let vhdx = self.vhdx.clone();
        let states = States {
            reported: reported_states(rule, vhdx.metadata.has_parent()),
            safe: vhdx.plainly_placed(),
        };
        let bytes = self.entries(block, limit.div_ceil(block_size))?;
        let (entries, _) = bytes.as_chunks();
        mask.reset(block * block_size, vhdx.metadata.block_size);
        for (group, first) in entries.chunks(64).zip((block..).step_by(64)) {
            match states.alike(group) {
                Some(word) => mask.push_word(word, group.len()),
                None if mask.push_good(group, |entry| states.look_at(entry)) => {}
                None => {
                    // A bad entry is left to the extents, which say what is wrong with it.
                    let good = group.iter().zip(first..);
                    let count = good
                        .take_while(|(entry, block)| states.knows(**entry, &vhdx, *block))
                        .count();
                    mask.push_all(&group[..count], |entry| states.is_reported(entry));
                    if count < group.len() {
                        break;
                    }
                }
            }
        }
        if mask.count() > 0 {
            return Ok(true);
        }
        let first = u64::from_le_bytes(entries[0]);
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
        let unit = self.vhdx.metadata.logical_sector_size;
        let sector_size = u64::from(unit);
        // So that what is made of a mask stays small.
        let block_end = block_end.min(at + MAX_SECTORS * sector_size);
        let (first, until, bytes) = self.bits(at, block_end, limit)?;
        let sector = at / sector_size - first % 8;
        mask.reset(sector * sector_size, unit);
        mask.set_from_bytes(bytes, (until - first / 8 * 8) as usize);
        Ok(true)
    }
}

/// What a question makes of BAT entries.
struct States {
    /// For each state a bit: is a block of that state reported?
    reported: u64,
    /// Offsets at which a block certainly has its place.
    safe: RangeInclusive<u64>,
}

impl States {
    fn is_reported(&self, entry: [u8; 8]) -> bool {
        self.reported >> (u64::from_le_bytes(entry) & BAT_STATE) & 1 == 1
    }

    /// Is this the entry of a block that is good, and not partially present?
    fn knows(&self, entry: [u8; 8], vhdx: &Vhdx, block: u64) -> bool {
        let entry = u64::from_le_bytes(entry);
        match entry & BAT_STATE {
            0..=3 => true,
            FULL if self.safe.contains(&(entry & BAT_OFFSET)) => true,
            FULL | PARTIAL => matches!(vhdx.payload(entry, block), Ok(Payload::Full(_))),
            _ => false,
        }
    }

    /// Whether the block is reported, and whether its entry is good and it is not partially
    /// present, each in the lowest bit: what a processor does without a branch. Good less
    /// often than what `knows` says.
    fn look_at(&self, entry: [u8; 8]) -> (u64, u64) {
        let entry = u64::from_le_bytes(entry);
        let state = entry & BAT_STATE;
        let good = 0b1111 | u64::from(self.safe.contains(&(entry & BAT_OFFSET))) << FULL;
        (self.reported >> state, good >> state)
    }

    /// The word of a group whose entries are all of one state and good; most groups are.
    fn alike(&self, group: &[[u8; 8]]) -> Option<u64> {
        let entries = || group.iter().map(|entry| u64::from_le_bytes(*entry));
        let (all, any) =
            entries().fold((BAT_STATE, 0), |(all, any), entry| (all & entry, any | entry));
        let state = all & BAT_STATE;
        let good = state == any & BAT_STATE
            && match state {
                0..=3 => true,
                FULL => entries()
                    .fold(true, |good, entry| good & self.safe.contains(&(entry & BAT_OFFSET))),
                _ => false,
            };
        good.then_some(if self.reported >> state & 1 == 1 { u64::MAX } else { 0 })
    }
}

/// For each state a bit: is a block of that state reported?
fn reported_states(rule: Rule, child: bool) -> u64 {
    let states = [Payload::NotPresent, Payload::Undefined, Payload::Zero, Payload::Unmapped];
    let bits = states
        .iter()
        .enumerate()
        .map(|(state, payload)| u64::from(rule(held(*payload, child))) << state);
    // Only in a file without a parent is a block of state 7 looked at here.
    let data = u64::from(rule(Held::Data));
    bits.sum::<u64>() | data << FULL | data << PARTIAL
}

impl Vhdx {
    /// Offsets at which a payload block certainly has its place: behind everything that is no
    /// block, and so that all of it is inside the file, as only the disk's last need not be.
    fn plainly_placed(&self) -> RangeInclusive<u64> {
        let behind = self.regions.all.last().map_or(HEADER_SECTION, |region| region.end());
        let last = self.file.length().checked_sub(self.metadata.block_size.into());
        behind..=last.unwrap_or(0)
    }
}
