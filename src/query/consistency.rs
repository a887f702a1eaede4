//! The table consistency check: a tracking table held against the blocks of its own file.
//!
//! A child that was tracked from its first byte on has a number above zero for everything that
//! it holds. If it holds a sector in a unit that its table calls unchanged, then the table is
//! another file's or an older one, the file was written by a program that knows no tables, or
//! the format is not what this crate takes it for.

use crate::chain::Chain;
use crate::error::{ErrorKind, Result};
use crate::extent::{Held, Layer};
use crate::rct::{NewerThan, Tracking};
use crate::vhdx::{Grain, Payload};
use std::ops::Range;
use std::sync::Arc;

/// How a table and the blocks of its file agree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableEvidence {
    /// Sectors of partially present blocks that lie in changed units.
    pub sectors: u64,
    /// Fully present blocks of which at least one unit is changed.
    pub full_blocks: u64,
    /// The first contradiction: data in an unchanged unit, or a damaged page of the table.
    pub contradiction: Option<String>,
}

/// Compares what the file at `depth` holds with its table, up to the first contradiction. The
/// file must have been tracked from its first byte on.
pub(crate) fn check_table(
    chain: &Chain,
    depth: usize,
    table: &Arc<Tracking>,
) -> Result<TableEvidence> {
    let file = &chain.files()[depth];
    let (layer, size) = chain.layer(depth, Grain::State);
    let mut check = Check {
        layer,
        table: NewerThan::new(table.clone(), 0),
        sector_size: file.metadata().logical_sector_size.into(),
        evidence: TableEvidence::default(),
    };
    let block_size = u64::from(file.metadata().block_size);
    file.visit_payload(|index, payload| {
        if check.evidence.contradiction.is_some() {
            return Ok(());
        }
        let start = index * block_size;
        let range = start..size.min(start + block_size);
        let result = match payload {
            Payload::Partial(_) => check.partial(range),
            Payload::Full(_) => check.full(range),
            _ => Ok(()),
        };
        match result {
            // A damaged page of the table: the file's own blocks are still good.
            Err(error) if is_about(&error, table) => {
                check.evidence.contradiction = Some(error.to_string());
                Ok(())
            }
            other => other,
        }
    })?;
    Ok(check.evidence)
}

fn is_about(error: &crate::Error, table: &Tracking) -> bool {
    error.path() == Some(table.path())
        && matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Truncated)
}

struct Check {
    layer: Box<dyn Layer>,
    table: NewerThan,
    sector_size: u64,
    evidence: TableEvidence,
}

impl Check {
    /// Every sector that is present has to lie in a changed unit.
    fn partial(&mut self, block: Range<u64>) -> Result<()> {
        let mut at = block.start;
        while at < block.end {
            let extent = self.layer.extent(at, block.end)?;
            if extent.held == Held::Data {
                if let Some(unchanged) = self.find(at..extent.end, Held::Absent)? {
                    self.evidence.contradiction = Some(format!(
                        "the file holds data at byte {unchanged} of the disk, in a unit that its tracking table \
                         lists as never changed"
                    ));
                    return Ok(());
                }
                self.evidence.sectors += (extent.end - at) / self.sector_size;
            }
            at = extent.end;
        }
        Ok(())
    }

    /// A block may have been filled up from the parent, so only one changed unit is certain.
    fn full(&mut self, block: Range<u64>) -> Result<()> {
        if self.find(block.clone(), Held::Data)?.is_some() {
            self.evidence.full_blocks += 1;
        } else {
            self.evidence.contradiction = Some(format!(
                "the file holds the block at byte {} of the disk, but its tracking table lists every unit of it as \
                 never changed",
                block.start
            ));
        }
        Ok(())
    }

    /// The first byte of the range for which the table reports this.
    fn find(&mut self, range: Range<u64>, wanted: Held) -> Result<Option<u64>> {
        let mut at = range.start;
        while at < range.end {
            let extent = self.table.extent(at, range.end)?;
            if extent.held == wanted {
                return Ok(Some(at));
            }
            at = extent.end;
        }
        Ok(None)
    }
}
