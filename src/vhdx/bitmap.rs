//! Sector bitmaps ([MS-VHDX] 2.4): one bit per logical sector, least significant first.

use byteorder::{ByteOrder, LittleEndian};

/// Returns the length of the run of equal bits that starts at bit `from`, and the value of those
/// bits. Does not examine bits from `until` on. `from < until <= 8 * bytes.len()`.
pub(crate) fn run(bytes: &[u8], from: usize, until: usize) -> (usize, bool) {
    let value = bytes[from / 8] >> (from % 8) & 1 == 1;
    // Bits that differ from the first one become ones, so the run ends at the first one.
    let flip = if value { u64::MAX } else { 0 };
    let mut at = from;
    while at < until {
        let word = word(bytes, at / 8) ^ flip;
        let differing = word >> (at % 8);
        if differing != 0 {
            at += differing.trailing_zeros() as usize;
            break;
        }
        at = at / 8 * 8 + 64;
    }
    (at.min(until) - from, value)
}

/// Returns eight bytes from `at` on, padded with zeros after the end of the slice. No caller uses
/// the padding.
fn word(bytes: &[u8], at: usize) -> u64 {
    let rest = &bytes[at..];
    match rest.first_chunk() {
        Some(word) => u64::from_le_bytes(*word),
        None => LittleEndian::read_uint(rest, rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn agrees_with_a_bit_by_bit_walk() {
        let mut state = 1_u64;
        for case in 0..2000 {
            let bytes: Vec<u8> = (0..1 + case % 37)
                .map(|_| {
                    state =
                        state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    [0, 255, (state >> 33) as u8][(state >> 60) as usize % 3]
                })
                .collect();
            let bits = bytes.len() * 8;
            let bit = |i: usize| bytes[i / 8] >> (i % 8) & 1 == 1;
            let from = case % bits;
            for until in [from + 1, (from + 1 + bits) / 2, bits] {
                let until = until.max(from + 1);
                let expected = (from..until).take_while(|&i| bit(i) == bit(from)).count();
                assert_eq!(
                    run(&bytes, from, until),
                    (expected, bit(from)),
                    "{bytes:?} {from} {until}"
                );
            }
        }
    }
}
