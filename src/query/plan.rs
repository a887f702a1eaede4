//! Selects the layers that answer a question.

use super::RangeScanner;
use super::answering::{AnsweringLayers, Tables};
use crate::chain::{LayerStack, SizedLayer};
use crate::error::{ErrorKind, Result};
use crate::layer::StateSet;
use crate::limits::Limits;
use crate::rct::{RctId, TrackingTable, UNIT};
use crate::vhdx::Coalescing;
use crate::warning::Warning;
use std::ops::Range;
use std::sync::Arc;

/// The baseline of an answer, in terms of a chain.
pub(crate) enum Reference {
    /// Everything that does not certainly read as zeros.
    Allocated,
    /// The file at this depth: selects what the files above it hold.
    File(usize),
    /// The disk's parent: selects what the disk's own file holds.
    Parent,
    /// An RCT id: selects what was written after it was created.
    Rct(RctId),
    /// The disk's own state: nothing changed.
    Same,
}

/// The layers of a question, and the states that it reports.
pub(crate) struct Plan {
    stack: LayerStack,
    reported: StateSet,
    /// The smallest change that the answer can show, in bytes.
    pub granularity: u32,
    /// The tracking tables that the question reads.
    pub tables: Vec<Arc<TrackingTable>>,
    /// The warnings about the files that answer.
    pub warnings: Vec<Warning>,
}

impl Plan {
    pub(crate) fn new(tables: &Tables<'_>, reference: &Reference, limits: &Limits) -> Result<Self> {
        let chain = tables.chain;
        let sector = chain.leaf().metadata().logical_sector_size;
        match *reference {
            Reference::Allocated => {
                chain.verify_complete()?;
                let stack = chain.stack(Coalescing::ByState, limits);
                let reported = StateSet::ALLOCATED;
                Ok(Plan { stack, reported, ..Self::held(Vec::new(), 0, sector) })
            }
            Reference::File(0) => {
                let message =
                    "the baseline is the disk itself; name a file below it, or ask since parent";
                Err(chain.leaf().error(ErrorKind::InvalidParameter, message.into()))
            }
            Reference::File(depth) => {
                let layers =
                    (0..depth).map(|above| chain.layer(above, Coalescing::ByState, limits));
                let below = chain.files()[depth].vhdx.virtual_size();
                Ok(Self::held(layers.collect(), below, sector))
            }
            Reference::Parent if chain.leaf().metadata().has_parent() => {
                Ok(Self::held(vec![chain.layer(0, Coalescing::ByState, limits)], 0, sector))
            }
            Reference::Parent => {
                let message = "the baseline is the disk's parent, but this disk has none; ask since * or an RCT id";
                Err(chain.leaf().error(ErrorKind::InvalidParameter, message.into()))
            }
            Reference::Rct(id) => {
                chain.verify_complete()?;
                let AnsweringLayers { layers, tables, warnings } = tables.since(id, limits)?;
                let granularity = if tables.is_empty() { sector } else { UNIT };
                Ok(Plan { tables, warnings, ..Self::held(layers, 0, granularity) })
            }
            Reference::Same => Ok(Self::held(Vec::new(), 0, sector)),
        }
    }

    /// Selects everything that `layers` hold over a disk of `below` bytes.
    fn held(layers: Vec<SizedLayer>, below: u64, granularity: u32) -> Self {
        let (stack, tables, warnings) = (LayerStack::new(layers, below), Vec::new(), Vec::new());
        Plan { stack, reported: StateSet::HELD, granularity, tables, warnings }
    }

    /// Scans a region of the disk.
    pub(crate) fn scan(self, region: Range<u64>) -> RangeScanner {
        RangeScanner::new(self.stack, self.reported, region)
    }
}
