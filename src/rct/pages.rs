//! Which pages of a table were named.

use crate::error::Result;
use crate::source::{Guard, Lease};
use std::collections::HashMap;

const PAGES: u64 = 64 * WORDS as u64;
const WORDS: usize = 512;
/// What a segment takes in memory, about.
const SEGMENT_BYTES: u64 = 8 * WORDS as u64 + 64;

/// A set of page numbers. Its memory follows what is in it, and not the length that a file says
/// to have: 4 KB for each 32,768 neighbours of which there is one.
pub(super) struct PageSet {
    segments: HashMap<u64, Box<[u64; WORDS]>>,
    lease: Lease,
}

impl PageSet {
    pub fn new(guard: &Guard) -> Self {
        PageSet { segments: HashMap::new(), lease: guard.lease() }
    }

    /// Puts a page in; false where it was there. Fails where there is no memory left for it.
    pub fn insert(&mut self, page: u64) -> Result<bool> {
        let (segment, within) = (page / PAGES, (page % PAGES) as usize);
        if !self.segments.contains_key(&segment) {
            let bytes = (self.segments.len() as u64 + 1) * SEGMENT_BYTES;
            self.lease.grow_to(bytes, "the list of sequence pages")?;
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
    fn every_page_once_in_as_much_memory_as_there_is() {
        let guard = Guard::of_memory(2 * SEGMENT_BYTES);
        let mut set = PageSet::new(&guard);
        let pages = [0, 1, 63, 64, PAGES - 1, 1 << 31, (1 << 31) + 1];
        for new in [true, false] {
            assert!(pages.iter().all(|&page| set.insert(page).unwrap() == new));
        }
        assert!(set.insert(PAGES).is_err());
        assert!(set.insert(2).unwrap());
    }
}
