//! The place of a page's checksum and the bytes that it covers. The published analyses state that
//! headers and sequence pages are checksummed but not how, so conventions are probed: the likely
//! ones of the [layout](super::layout) first, then every other one that fits into a page.

use super::layout::*;
use byteorder::{ByteOrder, LittleEndian};
use std::fmt;

/// A convention for the checksum of a page or header: its offset, the bytes that it covers, and the
/// variant of CRC-32C.
///
/// ```
/// # if !std::path::Path::new("testdata").exists() { return Ok(()); } // not in the packaged crate
/// let table = vhdx_rct::rct::TrackingTable::open("testdata/child.avhdx.rct")?;
/// let checksum = table.checksum();
/// assert_eq!(checksum.to_string(), "CRC-32C at 0x04 over 0x08..0x1000");
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    /// The offset of its four bytes.
    pub(super) at: usize,
    /// The first byte that it covers. Its own bytes count as zero if they lie inside.
    pub(super) from: usize,
    pub(super) until: End,
    /// Whether the CRC starts from 0 and keeps the final remainder as it is; the standard inverts
    /// both.
    pub(super) raw: bool,
}

/// The end of the bytes that a checksum covers.
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

    /// Returns whether the checksum is correct for the bytes of a page or header. A raw CRC of
    /// zeros is zero whatever the page should contain, so there it proves nothing and this returns
    /// false: a page that was never written is not accepted as valid.
    #[must_use]
    pub fn holds(&self, bytes: &[u8]) -> bool {
        let Some(stored) = bytes.get(self.at..self.at + 4) else { return false };
        let stored = LittleEndian::read_u32(stored);
        let until = match self.until {
            End::At(until) => Some(until),
            End::History => history_end(bytes),
        };
        let covered = until.and_then(|until| bytes.get(self.from..until));
        let Some(covered) = covered else { return false };
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
    let count = header.get(BRANCH_COUNT_AT..)?.first_chunk()?;
    let count = usize::from(u16::from_le_bytes(*count));
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

/// The conventions that are probed for a kind of page.
pub(super) struct Conventions {
    /// Those that are tried first, in order.
    pub likely: &'static [Checksum],
    /// The offsets and ends of all others.
    pub places: &'static [usize],
    pub ends: &'static [End],
}

impl Conventions {
    /// Returns every convention, likely ones first: each place with each range, from the page's
    /// start or from after the checksum up to each end, standard and raw.
    pub(super) fn all(&self) -> impl Iterator<Item = Checksum> + use<> {
        let Conventions { likely, places, ends } = *self;
        let others = places.iter().flat_map(move |&at| {
            [0, at + 4].into_iter().flat_map(move |from| {
                let of =
                    move |raw| ends.iter().map(move |&until| Checksum { at, from, until, raw });
                // Leading zeros do not change a raw CRC: at 0 both ranges are the same.
                of(false).chain(of(true).filter(move |_| at + from > 0))
            })
        });
        likely.iter().copied().chain(others.filter(|sum| !likely.contains(sum)))
    }
}

/// Returns the checksum convention of a file's two header copies; None if no probed one is correct.
///
/// It is the first that is correct on both or, if none is, the first that is correct on one. If the
/// copies have different conventions, the copy with the likelier one is valid. The unlikely ones
/// are tried only if no likely one is correct.
#[must_use]
pub fn header_checksum(copies: [&[u8]; 2]) -> Option<Checksum> {
    let likely = HEADER_CHECKSUMS.likely.iter().copied();
    first_holding(likely, copies).or_else(|| first_holding(HEADER_CHECKSUMS.all(), copies))
}

fn first_holding(sums: impl Iterator<Item = Checksum>, copies: [&[u8]; 2]) -> Option<Checksum> {
    let mut on_one = None;
    for sum in sums {
        match copies.map(|copy| sum.holds(copy)) {
            [true, true] => return Some(sum),
            [false, false] => {}
            _ => on_one = on_one.or(Some(sum)),
        }
    }
    on_one
}

/// The checksum conventions that are correct on every sequence page seen so far.
///
/// The first page narrows them down, nearly always to one, and only these are checked from then on.
#[derive(Debug, Default)]
pub struct SequenceChecksums {
    /// Likely ones first; empty before the first page.
    remaining: Vec<Checksum>,
}

impl SequenceChecksums {
    /// Returns whether the page is correct by a convention that all pages before it have too. A
    /// page that is not correct changes nothing.
    pub fn accept(&mut self, page: &[u8]) -> bool {
        let holding: Vec<Checksum> = match &self.remaining[..] {
            [only] => return only.holds(page),
            [] => SEQUENCE_CHECKSUMS.all().filter(|sum| sum.holds(page)).collect(),
            several => several.iter().copied().filter(|sum| sum.holds(page)).collect(),
        };
        let is_correct = !holding.is_empty();
        if is_correct {
            self.remaining = holding;
        }
        is_correct
    }

    /// Returns the likeliest remaining convention; None before the first page that is correct.
    #[must_use]
    pub fn found(&self) -> Option<Checksum> {
        self.remaining.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksum of "123456789" is published; the raw one was derived from the polynomial.
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
    fn conventions_are_distinct_and_bounded() {
        let headers: Vec<Checksum> = HEADER_CHECKSUMS.all().collect();
        let sequences: Vec<Checksum> = SEQUENCE_CHECKSUMS.all().collect();
        assert_eq!((headers.len(), sequences.len()), (24 * 12 - 3, 3 * 4 - 1));
        for (all, likely) in
            [(headers, HEADER_CHECKSUMS.likely), (sequences, SEQUENCE_CHECKSUMS.likely)]
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

    /// No convention accepts a page of zeros, or one that is shorter than the range that it covers.
    #[test]
    fn no_convention_accepts_zeros() {
        for length in [0, 3, 12, 0x48, 0x1000, 0x4000] {
            let zeros = vec![0; length];
            assert!(
                HEADER_CHECKSUMS
                    .all()
                    .chain(SEQUENCE_CHECKSUMS.all())
                    .all(|sum| !sum.holds(&zeros))
            );
        }
        // Zeros in the covered range, any bytes elsewhere.
        let mut page = vec![0; 0x1000];
        page[0] = 7;
        assert!(!Checksum { raw: true, ..Checksum::new(4, 8, 0x1000) }.holds(&page));
        page[9] = 1;
        assert!(!Checksum { raw: true, ..Checksum::new(4, 8, 0x1000) }.holds(&page));
    }

    /// A raw CRC does not change with more leading zeros, so two conventions remain after the first page.
    #[test]
    fn keeps_both_conventions_of_an_ambiguous_page() {
        let wide = Checksum { raw: true, ..Checksum::new(4, 0, 0x1000) };
        let page = |first: u8| {
            let mut page = vec![0; 0x1000];
            (page[0], page[99]) = (first, 1);
            let crc = !crc32c::crc32c_append(u32::MAX, &page);
            page[4..8].copy_from_slice(&crc.to_le_bytes());
            page
        };
        let (chunk_0, chunk_1) = (page(0), page(1));
        let mut sums = SequenceChecksums::default();
        assert_eq!(sums.found(), None);
        assert!(sums.accept(&chunk_0));
        assert!(sums.accept(&chunk_1) && sums.accept(&chunk_0));
        assert_eq!(sums.found(), Some(wide));
        let mut other = chunk_1.clone();
        other[77] = 1;
        assert!(!sums.accept(&other) && sums.accept(&chunk_1));
    }
}
