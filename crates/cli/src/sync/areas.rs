//! Which parts of a copy are in doubt, coarsely: few enough to be kept in a small file.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use vhdx_rct::ByteRange;

/// The maximum number of areas of a copy.
const MAX_AREAS: u64 = 1 << 14;

/// The minimum size of an area.
const MIN_AREA: u64 = 64 << 10;

/// Areas of a disk, as byte ranges from start to end; none touch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Areas(BTreeMap<u64, u64>);

impl Areas {
    /// Adds the areas of a disk of this size that a range touches.
    pub fn add(&mut self, range: ByteRange, disk_size: u64) {
        let area = (disk_size / MAX_AREAS).next_power_of_two().max(MIN_AREA);
        let start = range.offset / area * area;
        let end = range.end().div_ceil(area).saturating_mul(area).min(disk_size);
        self.insert(start, end);
    }

    /// Adds all of another's.
    pub fn merge(&mut self, other: &Areas) {
        other.0.iter().for_each(|(&start, &end)| self.insert(start, end));
    }

    /// Does one of the areas hold the whole range?
    pub fn contains(&self, range: ByteRange) -> bool {
        let before = self.0.range(..=range.offset).next_back();
        before.is_some_and(|(_, &end)| range.end() <= end)
    }

    pub fn iter(&self) -> impl Iterator<Item = ByteRange> + '_ {
        self.0.iter().map(|(&start, &end)| ByteRange::from(start..end))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn insert(&mut self, mut start: u64, mut end: u64) {
        while let Some((&other, &until)) =
            self.0.range(..=end).next_back().filter(|&(_, &until)| until >= start)
        {
            start = start.min(other);
            end = end.max(until);
            self.0.remove(&other);
        }
        self.0.insert(start, end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_join_and_stay_few() {
        let mut areas = Areas::default();
        let range = |offset, length| ByteRange::from(offset..offset + length);
        areas.add(range(10, 1), 1 << 20);
        areas.add(range(70_000, 1), 1 << 20);
        areas.add(range(1_048_575, 1), 1 << 20);
        let all: Vec<_> = areas.iter().collect();
        assert_eq!(all, [range(0, 131_072), range(983_040, 65_536)]);
        let mut other = Areas::default();
        other.add(range(131_072, 900_000), 1 << 20);
        areas.merge(&other);
        assert_eq!(areas.iter().collect::<Vec<_>>(), [range(0, 1 << 20)]);
        assert!(areas.contains(range(5, 900_000)) && !areas.contains(range(1 << 20, 1)));
        let mut large = Areas::default();
        (0..100_000).for_each(|i| large.add(range(i * (600 << 20), 1), 64 << 40));
        assert!(large.iter().count() <= MAX_AREAS as usize);
    }
}
