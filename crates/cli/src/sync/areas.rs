//! Areas of a disk, coarse enough that a small file holds them.

use crate::failure::Failure;
use rangemap::RangeSet;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use vhdx_rct::{Baseline, ByteRange, Disk};

/// The maximum number of areas in a set: about 500 KiB of state file.
const MAX_AREAS: usize = 1 << 14;

/// Areas of a disk. A set that grows too large becomes coarser: it then covers more than was added
/// to it, and never less.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Areas {
    set: RangeSet<u64>,
    /// Both ends of an area that is added are moved outward to a multiple of this.
    grain: u64,
}

impl Default for Areas {
    fn default() -> Self {
        Areas { set: RangeSet::new(), grain: 512 }
    }
}

impl Areas {
    pub fn add(&mut self, range: Range<u64>) {
        // The set accepts no empty range.
        if range.is_empty() {
            return;
        }
        self.set.insert(self.coarse(range));
        if self.set.len() > MAX_AREAS {
            while self.set.len() > MAX_AREAS / 2 {
                self.grain *= 2;
                let finer = std::mem::take(&mut self.set);
                self.set = finer.into_iter().map(|area| self.coarse(area)).collect();
            }
        }
    }

    fn coarse(&self, range: Range<u64>) -> Range<u64> {
        let end = range.end.checked_next_multiple_of(self.grain).unwrap_or(u64::MAX);
        range.start / self.grain * self.grain..end
    }

    pub fn add_all(&mut self, other: &Areas) {
        other.set.iter().for_each(|area| self.add(area.clone()));
    }

    /// Returns whether the whole range lies in the areas.
    pub fn contains(&self, range: Range<u64>) -> bool {
        range.is_empty() || self.set.gaps(&range).next().is_none()
    }

    /// Returns the areas of a disk of this size.
    pub fn within(&self, size: u64) -> impl Iterator<Item = ByteRange> + '_ {
        let areas = self.set.iter().take_while(move |area| area.start < size);
        areas.map(move |area| ByteRange::from(area.start..area.end.min(size)))
    }

    /// Returns the number of bytes of a disk of this size that lie in the areas.
    pub fn bytes(&self, size: u64) -> u64 {
        self.within(size).map(|area| area.length).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }
}

/// The changes of a disk since a baseline.
#[derive(Default)]
pub struct Changed {
    pub areas: Areas,
    /// The number of ranges, and of their bytes.
    pub ranges: u64,
    pub bytes: u64,
}

impl Changed {
    pub fn since(disk: &Disk, baseline: Baseline) -> Result<Self, Failure> {
        let mut changed = Changed::default();
        for range in disk.changes(baseline).ranges()? {
            let range = range?;
            changed.ranges += 1;
            changed.bytes += range.length;
            changed.areas.add(range.into());
        }
        Ok(changed)
    }
}

impl FromIterator<Range<u64>> for Areas {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut areas = Areas::default();
        ranges.into_iter().for_each(|range| areas.add(range));
        areas
    }
}

impl From<Vec<(u64, u64)>> for Areas {
    fn from(pairs: Vec<(u64, u64)>) -> Self {
        pairs.into_iter().map(|(start, end)| start..end).collect()
    }
}

impl From<Areas> for Vec<(u64, u64)> {
    fn from(areas: Areas) -> Self {
        areas.set.into_iter().map(|area| (area.start, area.end)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_touching_areas_and_ignores_empty_ones() {
        let areas: Areas = [10..11, 600..1000, 5..5, 1 << 20..(1 << 20) + 1].into_iter().collect();
        let all: Vec<_> = areas.within(1 << 20).collect();
        assert_eq!(all, [ByteRange { offset: 0, length: 1024 }]);
        assert_eq!(areas.bytes(800), 800);
        assert!(areas.contains(5..1024) && areas.contains(7000..7000));
        assert!(!areas.contains(5..1025));
    }

    #[test]
    fn becomes_coarser_instead_of_larger_and_covers_what_was_added() {
        let mut areas = Areas::default();
        let ranges = || (0..100_000_u64).map(|i| i * (600 << 20)..i * (600 << 20) + 1);
        ranges().for_each(|range| areas.add(range));
        assert!(areas.within(u64::MAX).count() <= MAX_AREAS);
        assert!(ranges().all(|range| areas.contains(range)));
    }

    #[test]
    fn survives_the_state_file() {
        let areas: Areas = [0..512, 4096..8192].into_iter().collect();
        let text = serde_json::to_string(&areas).unwrap();
        assert_eq!(text, "[[0,512],[4096,8192]]");
        assert_eq!(serde_json::from_str::<Areas>(&text).unwrap(), areas);
        assert!(serde_json::from_str::<Areas>("[[9,3],[7,7]]").unwrap().is_empty());
    }
}
