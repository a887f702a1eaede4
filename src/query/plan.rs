//! Which layers answer a question.

use super::Ranges;
use super::tracked::{Answering, TrackedChain};
use super::walk::Walk;
use crate::chain::{Chain, Stack};
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{Held, Layer, Rule};
use crate::rct::{RctId, Tracking};
use crate::vhdx::{Grain, Vhdx};
use crate::warning::Warning;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// How many bytes a unit of a tracking table stands for.
const UNIT: u32 = 16 << 10;

/// What the answer is measured against.
pub(crate) enum Baseline {
    /// Everything that does not certainly read as zeros.
    Allocated,
    /// A file of the chain: what the files above it hold.
    File(PathBuf),
    /// The same by its DataWriteGuid; of several files the deepest.
    DataWriteGuid(Uuid),
    /// The disk's parent: what the disk's own file holds.
    Parent,
    /// An RCT id: what was written after it was created.
    Rct(RctId),
    /// The disk's own state: nothing changed.
    Same,
}

/// Layers and the rule by which they are reported.
pub(crate) struct Plan {
    stack: Stack,
    rule: Rule,
    /// The smallest change that the answer can tell, in bytes.
    pub granularity: u32,
    /// The tracking tables that are read.
    tables: Vec<Arc<Tracking>>,
    /// What is worth knowing about the files and tables.
    pub warnings: Vec<Warning>,
}

impl Plan {
    /// Opens as much of the chain as the question needs.
    pub fn new(chain: &mut Chain, baseline: &Baseline) -> Result<Self> {
        let depth = match baseline {
            Baseline::File(path) => chain.find(path)?,
            Baseline::Parent | Baseline::Same => Some(0),
            Baseline::Allocated | Baseline::DataWriteGuid(_) | Baseline::Rct(_) => None,
        };
        if depth.is_none() {
            // For a file that is not in the chain, too: all of it is listed, or why it ends early.
            chain.complete()?;
        }
        let tables = TrackedChain::open(chain)?;
        let mut plan = Self::of(chain, baseline, depth, &tables)?;
        plan.warnings.extend(chain.warnings().iter().cloned());
        plan.warnings.extend(tables.warnings());
        Ok(plan)
    }

    fn of(
        chain: &Chain,
        baseline: &Baseline,
        depth: Option<usize>,
        tables: &TrackedChain<'_>,
    ) -> Result<Self> {
        let sector = chain.leaf().metadata().logical_sector_size;
        match baseline {
            Baseline::Allocated => {
                let (stack, rule) = (chain.stack(Grain::State), may_hold_data);
                Ok(Plan { stack, rule, ..Self::changed(Vec::new(), 0, sector) })
            }
            Baseline::File(path) => {
                Self::above(chain, depth.ok_or_else(|| not_in_chain(chain, path))?)
            }
            Baseline::DataWriteGuid(guid) => {
                let is_it = |file: &Arc<Vhdx>| file.header().data_write_guid == *guid;
                let depth = chain.files().iter().rposition(is_it);
                Self::above(chain, depth.ok_or_else(|| no_such_guid(chain, *guid))?)
            }
            Baseline::Parent if chain.leaf().metadata().has_parent() => {
                Ok(Self::changed(vec![chain.layer(0, Grain::State)], 0, sector))
            }
            Baseline::Parent => {
                let message = "the baseline is the disk's parent, but this disk has none; ask since * or an RCT id";
                Err(Error::new(ErrorKind::InvalidParameter, message).in_file(chain.leaf().path()))
            }
            Baseline::Rct(id) => {
                let Answering { layers, tables, warnings } = tables.since(*id)?;
                let granularity = if tables.is_empty() { sector } else { UNIT };
                Ok(Plan { tables, warnings, ..Self::changed(layers, 0, granularity) })
            }
            Baseline::Same => Ok(Self::changed(Vec::new(), 0, sector)),
        }
    }

    /// Everything that the files above the one at `depth` hold.
    fn above(chain: &Chain, depth: usize) -> Result<Self> {
        if depth == 0 {
            let message =
                "the baseline is the disk itself; name a file below it, or ask since parent";
            return Err(
                Error::new(ErrorKind::InvalidParameter, message).in_file(chain.leaf().path())
            );
        }
        let layers = (0..depth).map(|above| chain.layer(above, Grain::State)).collect();
        let sector = chain.leaf().metadata().logical_sector_size;
        Ok(Self::changed(layers, chain.files()[depth].virtual_size(), sector))
    }

    /// Everything that `layers` hold over a disk of `below` bytes.
    fn changed(layers: Vec<(Box<dyn Layer>, u64)>, below: u64, granularity: u32) -> Self {
        let (stack, tables, warnings) = (Stack::new(layers, below), Vec::new(), Vec::new());
        Plan { stack, rule: is_held, granularity, tables, warnings }
    }

    /// The ranges inside a region of the disk, found by so many threads where it is large.
    pub fn ranges(self, region: Range<u64>, threads: usize) -> Result<Ranges> {
        let walk = Walk::new(self.stack, self.rule, region.clone());
        Ranges::new(walk, self.tables, region, threads)
    }
}

fn is_held(held: Held) -> bool {
    held != Held::Absent
}

fn may_hold_data(held: Held) -> bool {
    matches!(held, Held::Data | Held::Undefined)
}

fn not_in_chain(chain: &Chain, path: &Path) -> Error {
    let found = match chain.access().canonical(path) {
        Ok(_) => "which is not one of them",
        Err(_) => "which cannot be found",
    };
    let message = format!(
        "expected a file of the disk's chain ({}) as baseline, found {}, {found}",
        file_names(chain),
        path.display()
    );
    Error::new(ErrorKind::InvalidParameter, message)
}

fn no_such_guid(chain: &Chain, guid: Uuid) -> Error {
    let message = format!(
        "no file of the disk's chain ({}) has the DataWriteGuid {guid}; `vhdx-rct info` lists those that they have",
        file_names(chain)
    );
    Error::new(ErrorKind::InvalidParameter, message).in_file(chain.leaf().path())
}

fn file_names(chain: &Chain) -> String {
    let names: Vec<_> =
        chain.files().iter().map(|file| file.path().display().to_string()).collect();
    names.join(", ")
}
