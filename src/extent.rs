//! What one layer (a disk file, or its tracking table) says of a stretch of the virtual disk.

use crate::error::Result;

/// What a layer has where it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// Nothing: the layer below decides.
    Absent,
    /// Zeros, whatever lies below.
    Zero,
    /// No promise about the content; read as zeros, and never the layer below.
    Undefined,
    /// Bytes of its own.
    Data,
}

/// A stretch of the virtual disk, from where a layer was asked to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub end: u64,
    pub held: Held,
    /// Where the first byte lies in the layer's file; only with [`Held::Data`], and good for
    /// the whole extent only if the layer was asked to map it.
    pub file_offset: u64,
}

/// Which stretches a question reports.
pub(crate) type Rule = fn(Held) -> bool;

/// Neighbouring units of the disk, a bit each: is it reported? Runs in it are found by words.
#[derive(Default)]
pub(crate) struct Mask {
    /// Where the first unit begins, and how many bytes each has.
    pub start: u64,
    pub unit: u64,
    /// How many units there are; bits behind them say nothing.
    pub count: usize,
    pub bits: Vec<u64>,
}

impl Mask {
    /// Starts anew.
    pub fn reset(&mut self, start: u64, unit: u64) {
        (self.start, self.unit, self.count) = (start, unit, 0);
        self.bits.clear();
    }

    /// Sets the bits of `items`, in order, in an empty mask.
    pub fn set<T: Copy>(&mut self, items: impl Iterator<Item = T>, is_set: impl Fn(T) -> bool) {
        let (mut word, mut count) = (0, 0);
        for item in items {
            word |= u64::from(is_set(item)) << (count % 64);
            count += 1;
            if count % 64 == 0 {
                self.bits.push(std::mem::take(&mut word));
            }
        }
        if count % 64 > 0 {
            self.bits.push(word);
        }
        self.count = count;
    }

    /// Sets the first `count` bits of these bytes, least significant first.
    pub fn set_from_bytes(&mut self, bytes: &[u8], count: usize) {
        self.count = count;
        let words = bytes[..count.div_ceil(8)].chunks(8);
        self.bits.extend(words.map(|word| {
            let mut whole = [0; 8];
            whole[..word.len()].copy_from_slice(word);
            u64::from_le_bytes(whole)
        }));
    }

    /// How many bits from `from` on have the value that bit `from` has, and that value.
    /// `from < count`.
    pub fn run(&self, from: usize) -> (usize, bool) {
        let value = self.bits[from / 64] >> (from % 64) & 1 == 1;
        // Bits that differ from the first become ones, so the run ends at the first one.
        let flip = if value { u64::MAX } else { 0 };
        let mut at = from;
        while at < self.count {
            let differing = (self.bits[at / 64] ^ flip) >> (at % 64);
            if differing != 0 {
                at += differing.trailing_zeros() as usize;
                break;
            }
            at = (at / 64 + 1) * 64;
        }
        (at.min(self.count) - from, value)
    }
}

/// One layer of a chain, asked from the front to the back.
pub(crate) trait Layer: Send {
    /// The extent that begins at `at` and ends after it, at `limit` or before. Stretches of
    /// equal state may come in several extents. `at < limit`.
    fn extent(&mut self, at: u64, limit: u64) -> Result<Extent>;

    /// The units from the one that holds `at` on, as far as the layer has them at hand in
    /// detail; false where an extent is the better answer. `at < limit`.
    fn mask(&mut self, at: u64, limit: u64, rule: Rule, mask: &mut Mask) -> Result<bool>;
}

#[cfg(test)]
mod tests {
    use super::Mask;

    #[test]
    fn runs_agree_with_a_bit_by_bit_walk() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        };
        for case in 0..600 {
            let mut bits = Vec::new();
            for _ in 0..1 + case % 9 {
                let (value, length) = (random() % 2 == 0, random() % 90);
                bits.extend((0..=length).map(|_| value));
            }
            let mut mask = Mask::default();
            mask.reset(0, 1);
            mask.set(bits.iter().copied(), |bit| bit);
            for from in 0..bits.len() {
                let expected = bits[from..].iter().take_while(|&&bit| bit == bits[from]).count();
                assert_eq!(mask.run(from), (expected, bits[from]), "{bits:?} from {from}");
            }
        }
    }
}
