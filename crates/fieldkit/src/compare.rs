//! Compares lists of ranges.

use rangemap::RangeSet;
use std::ops::Range;
use vhdx_rct::ByteRange;

/// Returns the ranges sorted and coalesced, without empty ones.
pub(crate) fn coalesced(ranges: impl IntoIterator<Item = ByteRange>) -> Vec<ByteRange> {
    list(&set(ranges))
}

/// Returns the parts of `from` that are not in `without`.
pub(crate) fn minus(from: &[ByteRange], without: &[ByteRange]) -> Vec<ByteRange> {
    let mut left = set(from.iter().copied());
    without.iter().filter_map(|range| bounds(*range)).for_each(|range| left.remove(range));
    list(&left)
}

/// Returns the parts of the ranges before `end`.
pub(crate) fn until(ranges: &[ByteRange], end: u64) -> Vec<ByteRange> {
    minus(ranges, &[ByteRange::from(end..u64::MAX)])
}

/// Returns the total length and the first range, for a sentence.
pub(crate) fn describe(ranges: &[ByteRange]) -> String {
    let total: u64 = ranges.iter().fold(0, |sum, range| sum.saturating_add(range.length));
    match ranges {
        [] => "nothing".into(),
        [only] => format!("{} bytes at {}", only.length, only.offset),
        [first, ..] => format!(
            "{total} bytes in {} ranges, the first {} bytes at {}",
            ranges.len(),
            first.length,
            first.offset
        ),
    }
}

/// Returns the bounds of a range; None for an empty one, which a `RangeSet` rejects.
fn bounds(range: ByteRange) -> Option<Range<u64>> {
    (range.length > 0).then(|| range.offset..range.offset.saturating_add(range.length))
}

fn set(ranges: impl IntoIterator<Item = ByteRange>) -> RangeSet<u64> {
    ranges.into_iter().filter_map(bounds).collect()
}

fn list(set: &RangeSet<u64>) -> Vec<ByteRange> {
    set.iter().cloned().map(ByteRange::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(pairs: &[(u64, u64)]) -> Vec<ByteRange> {
        pairs.iter().map(|&(from, until)| ByteRange::from(from..until)).collect()
    }

    #[test]
    fn coalesces_and_subtracts() {
        let some = ranges(&[(7, 9), (3, 3), (1, 4), (4, 5), (2, 3)]);
        assert_eq!(coalesced(some.clone()), ranges(&[(1, 5), (7, 9)]));
        assert_eq!(minus(&some, &ranges(&[(0, 2), (3, 3), (8, 20)])), ranges(&[(2, 5), (7, 8)]));
        assert_eq!(minus(&some, &ranges(&[(0, 20)])), []);
        assert_eq!(until(&some, 8), ranges(&[(1, 5), (7, 8)]));
        assert_eq!(until(&some, 7), ranges(&[(1, 5)]));
        assert_eq!(describe(&some[..1]), "2 bytes at 7");
    }
}
