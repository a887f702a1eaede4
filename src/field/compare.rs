//! Lists of ranges held against one another.

use crate::range::ByteRange;

/// Sorted and coalesced, empty ones left out.
pub(super) fn coalesced(mut ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    ranges.retain(|range| range.length > 0);
    ranges.sort_unstable();
    let mut out: Vec<ByteRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.offset <= last.end() => {
                last.length = range.end().max(last.end()) - last.offset;
            }
            _ => out.push(range),
        }
    }
    out
}

/// What `from` has and `without` does not; both are sorted and coalesced.
pub(super) fn minus(from: &[ByteRange], without: &[ByteRange]) -> Vec<ByteRange> {
    let mut out = Vec::new();
    let mut next = 0;
    for range in from {
        let mut at = range.offset;
        while let Some(other) = without.get(next).filter(|other| other.offset < range.end()) {
            if other.offset > at {
                out.push(ByteRange::from(at..other.offset));
            }
            at = at.max(other.end());
            if other.end() > range.end() {
                break; // may reach into the next one
            }
            next += 1;
        }
        if at < range.end() {
            out.push(ByteRange::from(at..range.end()));
        }
    }
    out
}

/// The part of the ranges that lies before `end`.
pub(super) fn until(ranges: &[ByteRange], end: u64) -> Vec<ByteRange> {
    let cut = ranges.iter().filter(|range| range.offset < end);
    cut.map(|range| ByteRange::from(range.offset..range.end().min(end))).collect()
}

/// How much they are and where the first is, for a sentence.
pub(super) fn told(ranges: &[ByteRange]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn list(pairs: &[(u64, u64)]) -> Vec<ByteRange> {
        pairs.iter().map(|&(from, until)| ByteRange::from(from..until)).collect()
    }

    #[test]
    fn differences_agree_with_a_byte_by_byte_one() {
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        for _ in 0..2000 {
            let mut some = || {
                let ranges = (0..random(6)).map(|_| {
                    let from = random(40);
                    ByteRange::from(from..from + random(9))
                });
                ranges.collect::<Vec<_>>()
            };
            let (a, b) = (some(), some());
            let has =
                |ranges: &[ByteRange], at| ranges.iter().any(|r| (r.offset..r.end()).contains(&at));
            let (left, right) = (coalesced(a.clone()), coalesced(b.clone()));
            let found = minus(&left, &right);
            for at in 0..60 {
                assert_eq!(has(&left, at), has(&a, at));
                assert_eq!(
                    has(&found, at),
                    has(&a, at) && !has(&b, at),
                    "{a:?} minus {b:?} at {at}"
                );
            }
            assert_eq!(found, coalesced(found.clone()), "sorted, coalesced, none empty");
        }
        assert_eq!(until(&list(&[(1, 5), (7, 9)]), 8), list(&[(1, 5), (7, 8)]));
        assert_eq!(until(&list(&[(1, 5), (7, 9)]), 7), list(&[(1, 5)]));
    }
}
