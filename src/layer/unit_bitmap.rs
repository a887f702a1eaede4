//! Neighboring units of the disk as bits, and the ranges of set bits: tables are scanned 64 units
//! at a time.

use super::StateSet;
use crate::range::ByteRange;
use crate::size::to_usize;
use bitvec::order::Lsb0;
use bitvec::vec::BitVec;
use std::ops::Range;

/// Neighboring units of the disk, one bit each: whether the unit is reported.
#[derive(Default)]
pub(crate) struct UnitBitmap {
    /// The states whose units are set.
    pub reported: StateSet,
    /// The offset of the first unit.
    start: u64,
    /// The size of a unit in bytes.
    unit: u32,
    /// The number of units; bits after them have no meaning.
    count: usize,
    bits: BitVec<u64, Lsb0>,
    /// Space for [`find_runs`](Self::find_runs), which only grows.
    begins: Vec<u32>,
    ends: Vec<u32>,
}

/// The number of runs written at once, whether they exist or not.
const STEP: usize = 3;

impl UnitBitmap {
    /// Creates a bitmap without units.
    pub(crate) fn new(reported: StateSet) -> Self {
        UnitBitmap { reported, ..Self::default() }
    }

    /// Removes all units; the first one to be added begins at `start`.
    pub(crate) fn reset(&mut self, start: u64, unit: u32) {
        (self.start, self.unit, self.count) = (start, unit, 0);
        self.bits.clear();
    }

    /// Returns the number of units.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Returns the byte after the last unit.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.count as u64 * u64::from(self.unit)
    }

    /// Adds words of 64 units each; only whole words may have been added before.
    fn push_words(&mut self, words: impl IntoIterator<Item = u64>) {
        let mut all = std::mem::take(&mut self.bits).into_vec();
        all.extend(words);
        self.bits = BitVec::from_vec(all);
    }

    /// Adds up to 64 units at once; only whole words may have been added before.
    pub(crate) fn push_word(&mut self, word: u64, count: usize) {
        debug_assert!(self.count.is_multiple_of(64) && (1..=64).contains(&count));
        self.push_words([word]);
        self.count += count;
    }

    /// Adds a unit for each item, set if `is_set` returns true; only whole words may have been
    /// added before.
    pub(crate) fn push_all<const SIZE: usize>(
        &mut self,
        items: &[[u8; SIZE]],
        is_set: impl Fn([u8; SIZE]) -> bool,
    ) {
        for group in items.chunks(64) {
            self.push_good(group, |item| (is_set(item).into(), 1));
        }
    }

    /// Adds a unit for each of up to 64 items, unless one of them is not valid; only whole words
    /// may have been added before. `classify` returns whether the unit is set and whether the item
    /// is valid, each in the lowest bit.
    pub(crate) fn push_good<const SIZE: usize>(
        &mut self,
        group: &[[u8; SIZE]],
        classify: impl Fn([u8; SIZE]) -> (u64, u64),
    ) -> bool {
        let (mut flags, mut all_good) = ([0; 64], 1);
        for (flag, item) in flags.iter_mut().zip(group) {
            let (set, good) = classify(*item);
            *flag = (set & 1) as u8;
            all_good &= good;
        }
        if all_good == 1 {
            self.push_word(pack(&flags), group.len());
        }
        all_good == 1
    }

    /// Sets the first `count` bits of these bytes, least significant first.
    pub(crate) fn set_from_bytes(&mut self, bytes: &[u8], count: usize) {
        self.count = count;
        let (words, rest) = bytes[..count.div_ceil(8)].as_chunks();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let last = (!rest.is_empty()).then_some(last);
        self.push_words(words.iter().copied().chain(last).map(u64::from_le_bytes));
    }

    /// Returns whether the unit that contains this byte of the disk is set.
    pub(crate) fn is_set(&self, byte: u64) -> bool {
        let unit = self.unit_of(byte);
        self.bits.as_raw_slice()[unit / 64] >> (unit % 64) & 1 == 1
    }

    fn unit_of(&self, byte: u64) -> usize {
        to_usize((byte - self.start) / u64::from(self.unit))
    }

    /// Adds the set units inside `region`, which begins in one of the units and ends in the last
    /// one or after it.
    pub(crate) fn add_ranges(&mut self, region: Range<u64>, ranges: &mut Vec<ByteRange>) {
        let (start, unit) = (self.start, u64::from(self.unit));
        let runs = self.find_runs(self.unit_of(region.start));
        let before = ranges.len();
        let runs = self.begins[..runs].iter().zip(&self.ends[..runs]);
        ranges.extend(runs.map(|(&begin, &end)| {
            // Both factors have 32 bits, so several products are computed at once.
            let offset = start + u64::from(begin) * unit;
            ByteRange { offset, length: u64::from(end - begin) * unit }
        }));
        // The first unit may begin before the region, and the last one end after it.
        let added = &mut ranges[before..];
        if let Some(first) = added.first_mut() {
            *first = (first.offset.max(region.start)..first.end()).into();
        }
        if let Some(last) = added.last_mut() {
            *last = (last.offset..last.end().min(region.end)).into();
        }
    }

    /// Finds the runs of set bits from unit `from` on and returns their number. `begins` has the
    /// first unit of each run, `ends` the unit after its last one.
    ///
    /// Runs have any length, so a branch per run would often be mispredicted. Each step always
    /// writes the places of several runs, and the next step overwrites those that do not exist.
    fn find_runs(&mut self, from: usize) -> usize {
        let needed = self.count / 2 + 2 + STEP;
        if self.begins.len() < needed {
            self.begins.resize(needed, 0);
            self.ends.resize(needed, 0);
        }
        // Bits outside count as unset, so that a run begins or ends there.
        let words = self.bits.as_raw_mut_slice();
        if let Some(first) = words.get_mut(from / 64) {
            *first &= u64::MAX << (from % 64);
        }
        if let Some(last) = words.last_mut() {
            *last &= u64::MAX >> (64 - ((self.count - 1) % 64 + 1));
        }
        // The number of runs found, whether the last one is still open (0 or 1), and the first unit
        // of the word.
        let (mut found, mut open, mut base) = (0, 0, u32::try_from(from / 64 * 64).unwrap_or(0));
        for &word in &words[from / 64..] {
            let before = word << 1 | open as u64;
            let (mut begins, mut ends) = (word & !before, before & !word);
            let mut at = found;
            found += begins.count_ones() as usize;
            while begins | ends != 0 {
                let Some(to_begins) = self.begins[at..].first_chunk_mut::<STEP>() else { break };
                let Some(to_ends) = self.ends[at - open..].first_chunk_mut::<STEP>() else { break };
                for (begin, end) in to_begins.iter_mut().zip(to_ends) {
                    *begin = base + begins.trailing_zeros();
                    *end = base + ends.trailing_zeros();
                    begins &= begins.wrapping_sub(1);
                    ends &= ends.wrapping_sub(1);
                }
                at += STEP;
            }
            open = usize::from(word >> 63 == 1);
            base += 64;
        }
        if open == 1 {
            // A bitmap is filled from one window of a table, so its units have 32-bit numbers.
            self.ends[found - 1] = u32::try_from(self.count).unwrap_or(u32::MAX);
        }
        found
    }
}

/// Packs 64 flags, each 0 or 1, into bits. One multiplication moves eight bytes to eight bits, each
/// to its own place in the highest byte.
fn pack(flags: &[u8; 64]) -> u64 {
    // With `as_chunks`, the compiler makes a tenth more instructions of this.
    let bytes = flags.chunks_exact(8).enumerate().map(|(i, eight)| {
        let mut word = [0; 8];
        word.copy_from_slice(eight);
        (u64::from_le_bytes(word).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i)
    });
    bytes.fold(0, |bits, byte| bits | byte)
}

#[cfg(test)]
mod tests {
    use super::{StateSet, UnitBitmap};

    #[test]
    fn ranges_agree_with_a_scan_unit_by_unit() {
        const START: u64 = 1000;
        const UNIT: u32 = 10;
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        };
        let mut bitmap = UnitBitmap::new(StateSet::HELD);
        for case in 0..600 {
            let mut bits = Vec::new();
            let longest = [90, 2][case % 2];
            for _ in 0..1 + case % 9 * [1, 40][case % 2] {
                let (value, length) = (random() % 2 == 0, random() % longest);
                bits.extend((0..=length).map(|_| value));
            }
            bitmap.reset(START, UNIT);
            let items: Vec<[u8; 1]> = bits.iter().map(|&bit| [u8::from(bit)]).collect();
            bitmap.push_all(&items, |item| item == [1]);
            assert_eq!(bitmap.count(), bits.len());
            let end = bitmap.end();
            assert_eq!(end, START + bits.len() as u64 * u64::from(UNIT));
            for from in 0..bits.len() as u64 {
                // Neither from the start of a unit nor to the end of the last one.
                let region = START + 10 * from + from % 3..end - random() % 8;
                let mut ranges = Vec::new();
                bitmap.add_ranges(region.clone(), &mut ranges);
                assert!(ranges.windows(2).all(|pair| pair[0].end() < pair[1].offset), "coalesced");
                let mut wanted = Vec::new();
                let mut open = None;
                for byte in region.start..=region.end {
                    let bit = (byte < region.end) && bits[((byte - START) / 10) as usize];
                    match open {
                        None if bit => open = Some(byte),
                        Some(begin) if !bit => {
                            wanted.push((begin..byte).into());
                            open = None;
                        }
                        _ => {}
                    }
                }
                assert_eq!(ranges, wanted, "from {from} of {}", bits.len());
            }
        }
    }
}
