//! The layers that a question scans, for each kind of baseline.

use super::Tables;
use crate::chain::{Chain, LayerEntry};
use crate::error::{ErrorKind, Result};
use crate::layer::StateSet;
use crate::limits::Limits;
use crate::rct::{ChangedUnits, RctId, TrackingTable, UNIT};
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

/// The layers that answer a question, and the states that it reports.
pub(crate) struct Plan {
    /// The limits of the question.
    pub limits: Limits,
    /// The layers, leaf first.
    pub layers: Vec<LayerEntry>,
    /// The size of the disk under the last layer if it matters to the question, else 0.
    pub below: u64,
    pub reported: StateSet,
    /// The smallest change that the answer can show, in bytes.
    pub granularity: u32,
    /// The tracking tables that the question reads.
    pub tables: Vec<Arc<TrackingTable>>,
    /// The warnings about the files that answer.
    pub warnings: Vec<Warning>,
}

impl Plan {
    pub(crate) fn new(tables: &Tables, reference: &Reference, limits: &Limits) -> Result<Self> {
        let (chain, leaf) = (&tables.chain, tables.chain.leaf());
        let invalid = |message: &str| Err(leaf.file.error(ErrorKind::InvalidParameter, message));
        match *reference {
            Reference::Allocated => {
                chain.verify_complete()?;
                let held = Self::held(chain, 0..chain.files.len(), limits);
                Ok(Plan { reported: StateSet::ALLOCATED, ..held })
            }
            Reference::File(0) => invalid(
                "the baseline is the disk itself; name a file below it, or ask since parent",
            ),
            Reference::File(depth) => {
                let below = chain.files[depth].vhdx.virtual_size();
                Ok(Plan { below, ..Self::held(chain, 0..depth, limits) })
            }
            Reference::Parent if leaf.metadata.has_parent() => Ok(Self::held(chain, 0..1, limits)),
            Reference::Parent => invalid(
                "the baseline is the disk's parent, but this disk has none; ask since * or an RCT id",
            ),
            Reference::Rct(id) => {
                chain.verify_complete()?;
                tables.since(id, limits)
            }
            Reference::Same => Ok(Self::held(chain, 0..0, limits)),
        }
    }

    /// Selects everything that the files at these depths hold.
    pub(super) fn held(chain: &Chain, depths: Range<usize>, limits: &Limits) -> Self {
        Plan {
            limits: limits.clone(),
            layers: chain.layers(depths, Coalescing::ByState, limits),
            below: 0,
            reported: StateSet::HELD,
            granularity: chain.leaf().metadata.logical_sector_size,
            tables: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Adds the units of a disk of `size` bytes that have a greater number in its table.
    pub(super) fn push_units(&mut self, table: &Arc<TrackingTable>, size: u64, number: u32) {
        let layer = ChangedUnits::new(table.clone(), number, &self.limits);
        self.layers.push(LayerEntry::new(layer, size));
        self.tables.push(table.clone());
        self.granularity = UNIT;
    }
}
