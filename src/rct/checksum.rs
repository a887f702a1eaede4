//! Where a page's checksum stands and what it covers. The analyses say that headers and
//! sequence pages are checksummed and not how, so conventions are probed: the likely ones of the
//! [layout](super::layout) first, then every other one that a page has room for.

use super::layout::*;
use byteorder::{ByteOrder, LittleEndian};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A convention for a page's checksum: where it stands, what it covers, and which CRC-32C it is.
///
/// ```
/// # if !std::path::Path::new("testdata").exists() { return Ok(()); } // not in the packaged crate
/// let table = vhdx_rct::rct::Tracking::open_alone("testdata/child.avhdx.rct")?;
/// let checksum = table.header().checksum.to_string();
/// assert_eq!(checksum, "CRC-32C at 0x04 over 0x08..0x1000");
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    /// Where its four bytes stand.
    pub(super) at: usize,
    /// The first byte that it covers. Its own bytes count as zero if they lie inside.
    pub(super) from: usize,
    pub(super) until: End,
    /// Starts from 0 and keeps the final remainder as it is; the standard inverts both.
    pub(super) raw: bool,
}

/// Where a checksum's cover ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    At(usize),
    /// After the last branch that a header counts.
    History,
}

impl Checksum {
    pub(super) const fn new(at: usize, from: usize, until: usize) -> Self {
        Checksum { at, from, until: End::At(until), raw: false }
    }

    /// Returns whether it holds on these bytes. A raw CRC of zeros is zero whatever the page
    /// should have said, so there it proves nothing and does not hold: a page that was never
    /// written is not taken for a good one.
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        let Some(stored) = bytes.get(self.at..self.at + 4) else { return false };
        let stored = LittleEndian::read_u32(stored);
        let until = match self.until {
            End::At(until) => Some(until),
            End::History => history_end(bytes),
        };
        let Some(covered) = until.and_then(|until| bytes.get(self.from..until)) else {
            return false;
        };
        let start = if self.raw { u32::MAX } else { 0 };
        let crc = match self.at.checked_sub(self.from) {
            Some(inside) if inside + 4 <= covered.len() => {
                let crc = crc32c::crc32c_append(start, &covered[..inside]);
                let crc = crc32c::crc32c_append(crc, &[0; 4]);
                crc32c::crc32c_append(crc, &covered[inside + 4..])
            }
            _ => crc32c::crc32c_append(start, covered),
        };
        let crc = if self.raw { !crc } else { crc };
        crc == stored && !(self.raw && stored == 0 && covered.iter().all(|&byte| byte == 0))
    }
}

/// Returns the end of a header's branch history, or None if the count is invalid.
fn history_end(header: &[u8]) -> Option<usize> {
    let count = header.get(BRANCH_COUNT_AT..BRANCH_COUNT_AT + 2).map(LittleEndian::read_u16)?;
    let count = usize::from(count);
    (1..=MAX_BRANCHES).contains(&count).then_some(HISTORY_AT + count * BRANCH_BYTES)
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.raw { "raw CRC-32C" } else { "CRC-32C" };
        write!(f, "{name} at {:#04x} over {:#04x}..", self.at, self.from)?;
        match self.until {
            End::At(until) => write!(f, "{until:#x}")?,
            End::History => f.write_str("the history's end")?,
        }
        if self.from <= self.at { f.write_str(", itself zero") } else { Ok(()) }
    }
}

/// Everything that a header's checksum may be: what is likely, and then the rest.
pub(super) fn header_candidates() -> impl Iterator<Item = Checksum> + Clone {
    LIKELY_HEADER_CHECKSUMS.iter().copied().chain(unlikely_header_checksums())
}

fn unlikely_header_checksums() -> impl Iterator<Item = Checksum> + Clone {
    let all = space(HEADER_CHECKSUM_PLACES.iter().copied(), HEADER_CHECKSUM_ENDS);
    all.filter(|sum| !LIKELY_HEADER_CHECKSUMS.contains(sum))
}

/// Everything that a sequence page's checksum may be, likely ones first.
pub(super) fn sequence_candidates() -> impl Iterator<Item = Checksum> + Clone {
    let all = space(SEQUENCE_CHECKSUM_PLACES.iter().copied(), SEQUENCE_CHECKSUM_ENDS);
    let unlikely = all.filter(|sum| !LIKELY_SEQUENCE_CHECKSUMS.contains(sum));
    LIKELY_SEQUENCE_CHECKSUMS.iter().copied().chain(unlikely)
}

/// Each place with each cover: from the page's start or from after the checksum, up to each end,
/// standard and raw.
fn space(
    places: impl Iterator<Item = usize> + Clone,
    ends: &'static [End],
) -> impl Iterator<Item = Checksum> + Clone {
    places.flat_map(move |at| {
        [0, at + 4].into_iter().flat_map(move |from| {
            let of = move |raw| ends.iter().map(move |&until| Checksum { at, from, until, raw });
            // To a raw CRC zeros in front are nothing: at 0 both covers are the same.
            of(false).chain(of(true).filter(move |_| at + from > 0))
        })
    })
}

/// Finds the convention of a file's headers: the first that holds on both copies or, if none
/// does, the first that holds on one. Of two copies with different conventions the likelier
/// one's is valid. The unlikely ones are tried only if no likely one holds.
pub(super) fn of_headers(copies: [&[u8]; 2]) -> Option<Checksum> {
    let likely = LIKELY_HEADER_CHECKSUMS.iter().copied();
    first_holding(likely, copies).or_else(|| first_holding(unlikely_header_checksums(), copies))
}

fn first_holding(
    candidates: impl Iterator<Item = Checksum>,
    copies: [&[u8]; 2],
) -> Option<Checksum> {
    let mut on_one = None;
    for sum in candidates {
        match copies.map(|copy| sum.holds(copy)) {
            [true, true] => return Some(sum),
            [false, false] => {}
            _ => on_one = on_one.or(Some(sum)),
        }
    }
    on_one
}

/// The conventions that hold on every sequence page seen so far. The first page leaves those
/// that it has, nearly always one, and only these are looked at from then on.
pub(super) struct SequenceChecksums {
    candidates: Vec<Checksum>,
    /// A bit for each candidate that is left.
    left: AtomicU32,
}

impl SequenceChecksums {
    pub fn new() -> Self {
        let candidates: Vec<Checksum> = sequence_candidates().collect();
        let left = AtomicU32::new((1 << candidates.len()) - 1);
        SequenceChecksums { candidates, left }
    }

    /// Returns whether the page holds by a convention that all pages before it have too. One
    /// that does not changes nothing.
    pub fn accept(&self, page: &[u8]) -> bool {
        let left = self.left.load(Relaxed);
        let holds =
            |bit: &u32| left & bit != 0 && self.candidates[bit.ilog2() as usize].holds(page);
        let held: u32 = (0..self.candidates.len()).map(|i| 1 << i).filter(holds).sum();
        // Another thread's page may have left others meanwhile.
        let narrow = |left: u32| Some(left & held).filter(|&both| both != 0);
        self.left.fetch_update(Relaxed, Relaxed, narrow).is_ok()
    }

    /// Returns the likeliest convention that is left; None before the first page.
    pub fn found(&self) -> Option<Checksum> {
        let left = self.left.load(Relaxed);
        let is_decided = left.count_ones() < self.candidates.len() as u32;
        is_decided.then(|| self.candidates[left.trailing_zeros() as usize])
    }

    pub fn count(&self) -> usize {
        self.candidates.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "123456789" has a published checksum; the raw one was worked out by the polynomial.
    #[test]
    fn computes_the_published_check_value() {
        let mut bytes = *b"....123456789";
        let standard = Checksum::new(0, 4, 13);
        bytes[..4].copy_from_slice(&0xE306_9283_u32.to_le_bytes());
        assert!(standard.holds(&bytes));
        let raw = Checksum { raw: true, ..standard };
        assert!(!raw.holds(&bytes));
        bytes[..4].copy_from_slice(&0x58E3_FA20_u32.to_le_bytes());
        assert!(raw.holds(&bytes) && !standard.holds(&bytes));
    }

    #[test]
    fn candidates_are_distinct_and_bounded() {
        let headers: Vec<Checksum> = header_candidates().collect();
        let sequences: Vec<Checksum> = sequence_candidates().collect();
        assert_eq!((headers.len(), sequences.len()), (24 * 12 - 3, 3 * 4 - 1));
        for (all, likely) in
            [(headers, LIKELY_HEADER_CHECKSUMS), (sequences, LIKELY_SEQUENCE_CHECKSUMS)]
        {
            assert_eq!(all[..likely.len()], *likely);
            for (i, sum) in all.iter().enumerate() {
                assert!(!all[..i].contains(sum), "{sum} is tried twice");
            }
            let names: std::collections::HashSet<String> =
                all.iter().map(|sum| sum.to_string()).collect();
            assert_eq!(names.len(), all.len(), "names are not distinct");
        }
    }

    /// No candidate takes a page of zeros, or one that is shorter than what it covers.
    #[test]
    fn nothing_holds_on_zeros() {
        for length in [0, 3, 12, 0x48, 0x1000, 0x4000] {
            let zeros = vec![0; length];
            assert!(header_candidates().chain(sequence_candidates()).all(|sum| !sum.holds(&zeros)));
        }
        // Zeros where it covers, whatever stands elsewhere.
        let mut page = vec![0; 0x1000];
        page[0] = 7;
        assert!(!Checksum { raw: true, ..Checksum::new(4, 8, 0x1000) }.holds(&page));
        page[9] = 1;
        assert!(!Checksum { raw: true, ..Checksum::new(4, 8, 0x1000) }.holds(&page));
    }

    /// A raw CRC is the same over more zeros in front, so the first page leaves two candidates.
    #[test]
    fn a_page_that_leaves_two_conventions_decides_for_neither() {
        let wide = Checksum { raw: true, ..Checksum::new(4, 0, 0x1000) };
        let page = |first: u8| {
            let mut page = vec![0; 0x1000];
            (page[0], page[99]) = (first, 1);
            let crc = !crc32c::crc32c_append(u32::MAX, &page);
            page[4..8].copy_from_slice(&crc.to_le_bytes());
            page
        };
        let (chunk_0, chunk_1) = (page(0), page(1));
        let sums = SequenceChecksums::new();
        assert_eq!(sums.found(), None);
        assert!(sums.accept(&chunk_0));
        assert!(sums.accept(&chunk_1) && sums.accept(&chunk_0));
        assert_eq!(sums.found(), Some(wide));
        let mut other = chunk_1.clone();
        other[77] = 1;
        assert!(!sums.accept(&other) && sums.accept(&chunk_1));
    }
}
