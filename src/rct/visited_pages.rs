//! The sequence pages that the entries of a table have named.

use crate::error::Result;
use crate::limits::{MemoryBudget, MemoryReservation};
use std::collections::HashMap;

const PAGES: u64 = 64 * WORDS as u64;
const WORDS: usize = 512;
/// The approximate memory that a segment takes.
const SEGMENT_BYTES: u64 = 8 * WORDS as u64 + 64;

/// A set of page numbers. Its memory depends on its elements and not on the length that a file
/// claims: 4 KiB for each 32,768 neighboring pages of which at least one is in the set.
pub(super) struct VisitedPages {
    segments: HashMap<u64, Box<[u64; WORDS]>>,
    reservation: MemoryReservation,
}

impl VisitedPages {
    pub(super) fn new(memory: &MemoryBudget) -> Self {
        VisitedPages { segments: HashMap::new(), reservation: memory.reservation() }
    }

    /// Inserts a page; returns false if it was already in the set. Fails if that would exceed the
    /// memory budget.
    pub(super) fn insert(&mut self, page: u64) -> Result<bool> {
        let (segment, within) = (page / PAGES, (page % PAGES) as usize);
        if !self.segments.contains_key(&segment) {
            let bytes = (self.segments.len() as u64 + 1) * SEGMENT_BYTES;
            self.reservation.grow_to(bytes, "the list of sequence pages")?;
        }
        let words = self.segments.entry(segment).or_insert_with(|| Box::new([0; WORDS]));
        let (word, bit) = (&mut words[within / 64], 1 << (within % 64));
        let new = *word & bit == 0;
        *word |= bit;
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserts_each_page_once_within_the_memory_budget() {
        let memory = MemoryBudget::new(2 * SEGMENT_BYTES);
        let mut set = VisitedPages::new(&memory);
        let pages = [0, 1, 63, 64, PAGES - 1, 1 << 31, (1 << 31) + 1];
        for new in [true, false] {
            assert!(pages.iter().all(|&page| set.insert(page).unwrap() == new));
        }
        assert!(set.insert(PAGES).is_err());
        assert!(set.insert(2).unwrap());
    }
}
