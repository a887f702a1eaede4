//! The updates of a replayed log over a file: pages from elsewhere in the file, and zeros.
//! The reader applies them to what it reads.

use crate::error::Result;
use crate::limits::{MemoryBudget, MemoryReservation};
use rangemap::RangeMap;

/// Pages are replaced by a data descriptor's sector, as [MS-VHDX] 2.3.1 defines the update:
/// 8 leading bytes from the descriptor, 4084 from the sector, 4 trailing from the descriptor.
pub(crate) const PAGE: usize = 4096;

/// The replacement of a range of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OverlayEntry {
    Zeros,
    /// One page; `sector` is the data sector's offset in the file.
    Page {
        sector: u64,
        leading: [u8; 8],
        trailing: [u8; 4],
    },
}

/// Entries by range; none overlap. They refer to the log instead of holding copies of it, so a
/// large log takes little memory.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    entries: RangeMap<u64, OverlayEntry>,
    reservation: MemoryReservation,
}

/// The approximate memory that one entry takes.
const ENTRY_BYTES: u64 = 96;

impl Overlay {
    pub(crate) fn new(memory: &MemoryBudget) -> Self {
        Overlay { entries: RangeMap::new(), reservation: memory.reservation() }
    }

    /// Puts an entry over any existing ones. Both ends are multiples of a page, so a page is
    /// replaced as a whole, and only zeros are ever split. An empty range changes nothing. Fails if
    /// the memory budget is exceeded.
    pub(crate) fn insert(&mut self, start: u64, end: u64, entry: OverlayEntry) -> Result<()> {
        // The map panics on an empty range.
        if start < end {
            self.entries.insert(start..end, entry);
        }
        let bytes = self.entries.len() as u64 * ENTRY_BYTES;
        self.reservation.grow_to(bytes, "the log's replay")
    }

    /// Returns the entries that overlap `start..end`, in order, with their own ranges.
    pub(crate) fn overlapping(
        &self,
        start: u64,
        end: u64,
    ) -> impl Iterator<Item = (u64, u64, OverlayEntry)> + '_ {
        let entries = self.entries.overlapping(start..end);
        // The map also returns an entry around an empty range.
        entries.filter(move |_| start < end).map(|(range, entry)| (range.start, range.end, *entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = super::PAGE as u64;

    fn page(sector: u64) -> OverlayEntry {
        OverlayEntry::Page { sector, leading: [0; 8], trailing: [0; 4] }
    }

    #[test]
    fn later_entries_win_and_zeros_are_split() {
        let mut overlay = Overlay::default();
        overlay.insert(0, 10 * PAGE, OverlayEntry::Zeros).unwrap();
        overlay.insert(3 * PAGE, 4 * PAGE, page(7)).unwrap();
        overlay.insert(8 * PAGE, 12 * PAGE, OverlayEntry::Zeros).unwrap();
        overlay.insert(3 * PAGE, 4 * PAGE, page(9)).unwrap();
        overlay.insert(5 * PAGE, 5 * PAGE, page(11)).unwrap();
        let all: Vec<_> = overlay.overlapping(0, 20 * PAGE).collect();
        let zeros = |from: u64, to: u64| (from * PAGE, to * PAGE, OverlayEntry::Zeros);
        assert_eq!(all, [zeros(0, 3), (3 * PAGE, 4 * PAGE, page(9)), zeros(4, 12)]);
        let inner: Vec<_> = overlay.overlapping(5 * PAGE + 1, 5 * PAGE + 2).collect();
        assert_eq!(inner, [zeros(4, 12)]);
        assert_eq!(overlay.overlapping(12 * PAGE, 13 * PAGE).count(), 0);
        assert_eq!(overlay.overlapping(5 * PAGE, 5 * PAGE).count(), 0);
    }
}
