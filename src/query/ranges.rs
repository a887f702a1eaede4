//! The stream of ranges, found by the caller's own thread or by several.

use super::lanes::{self, Lanes};
use super::walk::Walk;
use crate::error::Result;
use crate::range::ByteRange;
use crate::rct::Tracking;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The ranges of a region that a rule reports: sorted, coalesced, clipped, in constant memory.
pub(crate) struct Ranges {
    finder: Finder,
    /// The tracking tables that are read.
    tables: Vec<Arc<Tracking>>,
    /// How far the region was looked at, for whoever watches.
    position: Arc<AtomicU64>,
}

enum Finder {
    Alone(Walk),
    Together(Lanes),
}

impl Ranges {
    pub(super) fn new(
        walk: Walk,
        tables: Vec<Arc<Tracking>>,
        region: Range<u64>,
        threads: usize,
    ) -> Result<Self> {
        let position = Arc::new(AtomicU64::new(region.start));
        let finder = match lanes::pieces(region, threads) {
            Some(pieces) => Finder::Together(Lanes::start(&walk, pieces, threads)?),
            None => Finder::Alone(walk),
        };
        Ok(Ranges { finder, tables, position })
    }

    /// How far the region was looked at, in bytes of the disk; grows while ranges are asked for.
    pub fn position(&self) -> Arc<AtomicU64> {
        self.position.clone()
    }

    /// Fails with "in use" where somebody wrote to a tracking table in the meantime.
    pub fn must_be_unchanged(&self) -> Result<()> {
        self.tables.iter().try_for_each(|table| table.must_be_unchanged())
    }

    /// Adds the next ranges, at least one, except at the region's end.
    pub fn add_next(&mut self, ranges: &mut Vec<ByteRange>) -> Result<()> {
        let (before, mut more) = (ranges.len(), true);
        while more && ranges.len() == before {
            let position;
            (more, position) = match &mut self.finder {
                Finder::Alone(walk) => (walk.look(ranges)?, walk.position()),
                Finder::Together(lanes) => (lanes.receive(ranges)?, lanes.position()),
            };
            self.position.store(position, Ordering::Relaxed);
        }
        Ok(())
    }
}
