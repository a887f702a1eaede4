//! The block allocation table ([MS-VHDX] 2.5): the place and the state of each block.

use super::error::EntryDefect;
use super::layout::{MIB, SECTORS_PER_CHUNK};
use super::metadata::Metadata;
use std::fmt;

/// The arithmetic of a disk's BAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatShape {
    /// Payload blocks per sector bitmap block.
    pub chunk_ratio: u64,
    /// Payload blocks of the disk; the last may be only partly used.
    pub payload_blocks: u64,
    /// The number of entries that the table must have.
    pub entries: u64,
}

impl BatShape {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let block_size = u64::from(metadata.block_size);
        let chunk_ratio = SECTORS_PER_CHUNK * u64::from(metadata.logical_sector_size) / block_size;
        let payload_blocks = metadata.virtual_size.div_ceil(block_size);
        let entries = match metadata.has_parent() {
            true => payload_blocks.div_ceil(chunk_ratio) * (chunk_ratio + 1),
            false => payload_blocks + payload_blocks.saturating_sub(1) / chunk_ratio,
        };
        BatShape { chunk_ratio, payload_blocks, entries }
    }

    /// Returns the index of a payload block's entry.
    pub(crate) fn payload_entry(&self, block: u64) -> u64 {
        block + block / self.chunk_ratio
    }

    /// Returns the index of the entry of a chunk's sector bitmap block.
    pub(crate) fn bitmap_entry(&self, chunk: u64) -> u64 {
        (chunk + 1) * (self.chunk_ratio + 1) - 1
    }
}

/// The bytes of a BAT entry in the file.
pub(super) const BAT_ENTRY: u64 = size_of::<BatEntry>() as u64;

const STATE: u64 = 7;
const OFFSET: u64 = !(MIB - 1);

/// A BAT entry (2.5): the state in bits 0 to 2, the offset in MiB from bit 20 on. States without a
/// block may keep the offset of an earlier block; it is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatEntry(u64);

impl BatEntry {
    pub(super) fn from_le_bytes(bytes: [u8; 8]) -> Self {
        BatEntry(u64::from_le_bytes(bytes))
    }

    /// Returns the state of a payload block's entry.
    pub(super) fn state(self) -> Result<PayloadState, EntryDefect> {
        Ok(match self.0 & STATE {
            0 => PayloadState::NotPresent,
            1 => PayloadState::Undefined,
            2 => PayloadState::Zero,
            3 => PayloadState::Unmapped,
            6 => PayloadState::FullyPresent,
            7 => PayloadState::PartiallyPresent,
            _ => return Err(EntryDefect::State),
        })
    }

    /// Returns whether a sector bitmap block is present. State 7 is read as 6.
    pub(super) fn has_bitmap(self) -> Result<bool, EntryDefect> {
        match self.0 & STATE {
            0 => Ok(false),
            6 | 7 => Ok(true),
            _ => Err(EntryDefect::BitmapState),
        }
    }

    /// Returns the block's offset in the file, in bytes.
    pub(super) fn offset(self) -> u64 {
        self.0 & OFFSET
    }

    /// Returns an entry with the state that all of these entries share, or None. Does not branch
    /// per entry.
    pub(super) fn common_state(entries: &[[u8; 8]]) -> Option<Self> {
        let (all, any) = entries.iter().fold((STATE, 0), |(all, any), entry| {
            let entry = u64::from_le_bytes(*entry);
            (all & entry, any | entry)
        });
        (all == any & STATE).then_some(BatEntry(all))
    }
}

impl fmt::Display for BatEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

/// The state of a payload block (2.5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum PayloadState {
    NotPresent = 0,
    Undefined = 1,
    Zero = 2,
    Unmapped = 3,
    FullyPresent = 6,
    PartiallyPresent = 7,
}

impl PayloadState {
    /// Returns whether the block lies in the file.
    pub(crate) fn has_block(self) -> bool {
        matches!(self, PayloadState::FullyPresent | PayloadState::PartiallyPresent)
    }
}

/// A set of payload states, for scans that turn many entries into bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct PayloadStateSet(u64);

impl PayloadStateSet {
    /// The states without a block in the file.
    pub(super) const WITHOUT_BLOCK: Self = Self(0b1111);

    /// Returns the states for which the condition holds.
    pub(super) fn of(condition: impl Fn(PayloadState) -> bool) -> Self {
        let states = (0..=STATE).filter_map(|bits| BatEntry(bits).state().ok());
        states.fold(Self(0), |set, state| set.with_if(state, condition(state)))
    }

    /// Adds the state if the condition holds, without a branch.
    pub(super) fn with_if(self, state: PayloadState, condition: bool) -> Self {
        PayloadStateSet(self.0 | u64::from(condition) << state as u8)
    }

    /// Returns whether the entry's state is one of these, in the lowest bit; the other bits are
    /// arbitrary.
    pub(super) fn bit(self, entry: BatEntry) -> u64 {
        self.0 >> (entry.0 & STATE)
    }

    pub(super) fn contains(self, entry: BatEntry) -> bool {
        self.bit(entry) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bits: u64) -> BatEntry {
        BatEntry::from_le_bytes(bits.to_le_bytes())
    }

    #[test]
    fn splits_an_entry_into_state_and_offset() {
        let full = entry(0x0000_0007_6543_2106 | 6);
        assert_eq!(full.offset(), 0x0000_0007_6540_0000);
        assert_eq!(full.state().unwrap(), PayloadState::FullyPresent);
        assert_eq!(entry(1 << 19 | 3).offset(), 0);
        assert_eq!(entry(u64::MAX).offset(), u64::MAX - 0xF_FFFF);
        assert_eq!(full.to_string(), "0x0000000765432106");
    }

    #[test]
    fn maps_every_state() {
        use PayloadState::*;
        for state in [NotPresent, Undefined, Zero, Unmapped, FullyPresent, PartiallyPresent] {
            assert_eq!(entry(state as u64 | 5 << 20).state().unwrap(), state);
            let set = PayloadStateSet::of(|other| other == state);
            let others = (0..8).filter(|&bits| set.contains(entry(bits | 8)));
            assert!(others.eq([state as u64]));
            let is_without = PayloadStateSet::WITHOUT_BLOCK.contains(entry(state as u64));
            assert_eq!(is_without, !state.has_block());
        }
        assert!([4, 5].into_iter().all(|bits| entry(bits).state().is_err()));
        let bitmaps: Vec<Option<bool>> = (0..8).map(|bits| entry(bits).has_bitmap().ok()).collect();
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(bitmaps, [no, None, None, None, None, None, yes, yes]);
    }

    #[test]
    fn finds_the_state_that_entries_share() {
        for (first, second) in (0..8_u64).flat_map(|a| (0..8_u64).map(move |b| (a, b))) {
            let group = [first | 1 << 20, second | 2 << 20, first | 0xFFF8].map(u64::to_le_bytes);
            let common = BatEntry::common_state(&group);
            assert!(common == (first == second).then_some(entry(first)), "{first} {second}");
        }
    }
}
