//! Neighbouring units of the disk as bits, and the ranges that runs of set bits are. What a
//! table says of many units is looked at by words.

use crate::range::ByteRange;
use std::ops::Range;

/// Neighbouring units of the disk, a bit each: is it reported?
#[derive(Default)]
pub(crate) struct Mask {
    /// Where the first unit begins.
    start: u64,
    /// How many bytes each unit has.
    unit: u32,
    /// How many units there are; bits behind them say nothing.
    count: usize,
    bits: Vec<u64>,
    /// Room for [`find_runs`](Self::find_runs), as large as it was ever needed.
    begins: Vec<u32>,
    ends: Vec<u32>,
}

/// How many runs are written at once, whether they are there or not.
const STEP: usize = 3;

impl Mask {
    /// Starts anew; the first unit begins at `start`.
    pub fn reset(&mut self, start: u64, unit: u32) {
        (self.start, self.unit, self.count) = (start, unit, 0);
        self.bits.clear();
    }

    /// How many units there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The byte behind the last unit.
    pub fn end(&self) -> u64 {
        self.start + self.count as u64 * u64::from(self.unit)
    }

    /// Adds up to 64 units at once; units were only added by whole words so far.
    pub fn push_word(&mut self, word: u64, count: usize) {
        debug_assert!(self.count.is_multiple_of(64) && (1..=64).contains(&count));
        self.bits.push(word);
        self.count += count;
    }

    /// Adds a unit for each item, set where `is_set` says so; units were only added by whole
    /// words so far.
    pub fn push_all<const SIZE: usize>(
        &mut self,
        items: &[[u8; SIZE]],
        is_set: impl Fn([u8; SIZE]) -> bool,
    ) {
        for group in items.chunks(64) {
            self.push_good(group, |item| (u64::from(is_set(item)), 1));
        }
    }

    /// Adds a unit for each of up to 64 items, unless one of them is not good; units were only
    /// added by whole words so far. `look` gives whether the unit is set, and whether the item
    /// is good, each in the lowest bit.
    pub fn push_good<const SIZE: usize>(
        &mut self,
        group: &[[u8; SIZE]],
        look: impl Fn([u8; SIZE]) -> (u64, u64),
    ) -> bool {
        let (mut flags, mut all_good) = ([0; 64], 1);
        for (flag, item) in flags.iter_mut().zip(group) {
            let (set, good) = look(*item);
            *flag = set as u8 & 1;
            all_good &= good;
        }
        if all_good == 1 {
            self.push_word(pack(&flags), group.len());
        }
        all_good == 1
    }

    /// Sets the first `count` bits of these bytes, least significant first.
    pub fn set_from_bytes(&mut self, bytes: &[u8], count: usize) {
        self.count = count;
        let (words, rest) = bytes[..count.div_ceil(8)].as_chunks();
        self.bits.extend(words.iter().map(|word| u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.bits.push(u64::from_le_bytes(word));
        }
    }

    /// Is the unit reported that holds this byte of the disk?
    pub fn is_set(&self, byte: u64) -> bool {
        let unit = self.unit_of(byte);
        self.bits[unit / 64] >> (unit % 64) & 1 == 1
    }

    fn unit_of(&self, byte: u64) -> usize {
        ((byte - self.start) / u64::from(self.unit)) as usize
    }

    /// Adds what is set inside `region`, which begins in one of the units, and ends in the last
    /// one or behind it.
    pub fn add_ranges(&mut self, region: Range<u64>, ranges: &mut Vec<ByteRange>) {
        let (start, unit) = (self.start, u64::from(self.unit));
        let runs = self.find_runs(self.unit_of(region.start));
        let before = ranges.len();
        let runs = self.begins[..runs].iter().zip(&self.ends[..runs]);
        ranges.extend(runs.map(|(&begin, &end)| {
            // Both factors have 32 bits: what a processor can do for several at once.
            let offset = start + u64::from(begin) * unit;
            ByteRange { offset, length: u64::from(end - begin) * unit }
        }));
        // The first unit may begin before the region, the last one end behind it.
        let added = &mut ranges[before..];
        if let Some(first) = added.first_mut() {
            *first = (first.offset.max(region.start)..first.end()).into();
        }
        if let Some(last) = added.last_mut() {
            *last = (last.offset..last.end().min(region.end)).into();
        }
    }

    /// Finds the runs of set bits from unit `from` on: their number. `begins` has the unit that
    /// each begins with, `ends` the one behind it.
    ///
    /// Runs have any length, so a branch for each would be mispredicted for each: a step's
    /// places are written always, and those that are none are overwritten by the next.
    fn find_runs(&mut self, from: usize) -> usize {
        let room = self.count / 2 + 2 + STEP;
        if self.begins.len() < room {
            self.begins.resize(room, 0);
            self.ends.resize(room, 0);
        }
        // Bits outside count as unset, so that a run begins or ends there.
        if let Some(first) = self.bits.get_mut(from / 64) {
            *first &= u64::MAX << (from % 64);
        }
        if let Some(last) = self.bits.last_mut() {
            *last &= u64::MAX >> (64 - ((self.count - 1) % 64 + 1));
        }
        // How many runs were found, and whether the last is still open: 0 or 1.
        let (mut found, mut open, mut base) = (0, 0, from as u32 / 64 * 64);
        for &word in &self.bits[from / 64..] {
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
            open = (word >> 63) as usize;
            base += 64;
        }
        if open == 1 {
            self.ends[found - 1] = self.count as u32;
        }
        found
    }
}

/// 64 flags, each 0 or 1, as bits. Eight bytes become eight bits by one multiplication, which
/// moves each to its own place in the highest byte.
fn pack(flags: &[u8; 64]) -> u64 {
    let bytes = flags.chunks_exact(8).enumerate().map(|(i, eight)| {
        let mut word = [0; 8];
        word.copy_from_slice(eight);
        (u64::from_le_bytes(word).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i)
    });
    bytes.fold(0, |bits, byte| bits | byte)
}

#[cfg(test)]
mod tests {
    use super::Mask;

    #[test]
    fn ranges_agree_with_a_unit_by_unit_walk() {
        const START: u64 = 1000;
        const UNIT: u32 = 10;
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        };
        let mut mask = Mask::default();
        for case in 0..600 {
            let mut bits = Vec::new();
            let longest = [90, 2][case % 2];
            for _ in 0..1 + case % 9 * [1, 40][case % 2] {
                let (value, length) = (random() % 2 == 0, random() % longest);
                bits.extend((0..=length).map(|_| value));
            }
            mask.reset(START, UNIT);
            let items: Vec<[u8; 1]> = bits.iter().map(|&bit| [u8::from(bit)]).collect();
            mask.push_all(&items, |item| item == [1]);
            assert_eq!(mask.count(), bits.len());
            let end = mask.end();
            assert_eq!(end, START + bits.len() as u64 * u64::from(UNIT));
            for from in 0..bits.len() as u64 {
                // Not from a unit's start, and not to the last one's end.
                let region = START + 10 * from + from % 3..end - random() % 8;
                let mut ranges = Vec::new();
                mask.add_ranges(region.clone(), &mut ranges);
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
