//! Which layers answer a question.

use super::Ranges;
use super::tracked::{Answering, TrackedChain};
use super::walk::Walk;
use crate::chain::{Chain, Stack};
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{Held, Layer, Rule};
use crate::rct::{RctId, Tracking};
use crate::vhdx::Grain;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the answer is measured against.
pub(crate) enum Baseline {
    /// Everything that does not certainly read as zeros.
    Allocated,
    /// A file of the chain: what the files above it hold.
    File(PathBuf),
    /// An RCT id: what was written after it was sealed.
    Rct { id: RctId, allow_unclean: bool },
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
}

impl Plan {
    /// Opens as much of the chain as the question needs.
    pub fn new(chain: &mut Chain, baseline: &Baseline) -> Result<Self> {
        let sector = chain.leaf().metadata().logical_sector_size;
        match baseline {
            Baseline::Allocated => {
                chain.complete()?;
                let stack = chain.stack(Grain::State);
                Ok(Plan { stack, rule: may_hold_data, granularity: sector, tables: Vec::new() })
            }
            Baseline::File(path) => {
                let Some(depth) = chain.find(path)? else {
                    // So that all of it is listed, or why it ends early.
                    chain.complete()?;
                    return Err(not_in_chain(chain, path));
                };
                let layers = (0..depth).map(|above| chain.layer(above, Grain::State)).collect();
                Ok(Self::changed(layers, chain.files()[depth].virtual_size(), sector))
            }
            Baseline::Same => Ok(Self::changed(Vec::new(), 0, sector)),
            &Baseline::Rct { id, allow_unclean } => {
                let Answering { layers, tables } =
                    TrackedChain::open(chain)?.since(id, allow_unclean)?;
                let units = tables.iter().map(|table| table.unit_size() as u32);
                let granularity = units.max().unwrap_or(sector);
                Ok(Plan { tables, ..Self::changed(layers, 0, granularity) })
            }
        }
    }

    /// Everything that `layers` hold over a disk of `below` bytes.
    fn changed(layers: Vec<(Box<dyn Layer>, u64)>, below: u64, granularity: u32) -> Self {
        Plan { stack: Stack::new(layers, below), rule: is_held, granularity, tables: Vec::new() }
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
    let files: Vec<_> =
        chain.files().iter().map(|file| file.path().display().to_string()).collect();
    let is = if chain.access().canonical(path).is_ok() { "is none" } else { "cannot be found" };
    let message = format!(
        "the limit should be a file of the disk's chain ({}), and {} {is}",
        files.join(", "),
        path.display()
    );
    Error::new(ErrorKind::InvalidParameter, message)
}
