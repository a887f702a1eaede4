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

    /// Adds 64 units at once; units were only added so far.
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
            let mut flags = [0; 64];
            for (flag, item) in flags.iter_mut().zip(group) {
                *flag = u8::from(is_set(*item));
            }
            self.push_word(pack(&flags), group.len());
        }
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

    /// Tells each run of set bits from `from` on: where it begins and ends.
    #[inline]
    pub fn runs(&self, from: usize, mut tell: impl FnMut(usize, usize)) {
        let (mut begin, mut last) = (None, 0);
        for (index, &word) in self.bits.iter().enumerate().skip(from / 64) {
            let first = from.saturating_sub(index * 64);
            let behind = (self.count - index * 64).min(64);
            let word = word & (u64::MAX << first) & (u64::MAX >> (64 - behind));
            // A bit for each place where a run begins or ends.
            let mut edges = word ^ (word << 1 | last);
            last = word >> 63;
            while edges != 0 {
                let at = index * 64 + edges.trailing_zeros() as usize;
                edges &= edges - 1;
                match begin.take() {
                    None => begin = Some(at),
                    Some(start) => tell(start, at),
                }
            }
        }
        if let Some(start) = begin {
            tell(start, self.count);
        }
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
            let items: Vec<[u8; 1]> = bits.iter().map(|&bit| [u8::from(bit)]).collect();
            mask.push_all(&items, |item| item == [1]);
            assert_eq!(mask.count, bits.len());
            for from in 0..bits.len() {
                let mut found = vec![false; bits.len()];
                let mut before = from;
                mask.runs(from, |start, end| {
                    assert!(before <= start && start < end, "sorted, not empty");
                    assert!(before == from || before < start, "coalesced");
                    found[start..end].fill(true);
                    before = end;
                });
                assert_eq!(found[from..], bits[from..], "from {from}");
            }
        }
    }
}
