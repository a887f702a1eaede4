//! The table consistency check: compares a tracking table with the blocks of its own file.
//!
//! A child that was tracked from its first byte on has a number above zero for everything that it
//! holds. If it holds a sector in a unit that its table lists as unchanged, the table belongs to
//! another file or an older state, the file was written by a program that does not support tables,
//! or the format differs from what this crate assumes.

use crate::error::{ErrorKind, Result, Subject};
use crate::layer::{Layer, LayerState};
use crate::limits::Limits;
use crate::rct::{ChangedUnits, TrackingTable};
use crate::vhdx::{Coalescing, Extents, PayloadState, Vhdx};
use std::ops::Range;
use std::sync::Arc;

/// The result of comparing a tracking table with the blocks of its file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct TableEvidence {
    /// The number of sectors of partially present blocks that lie in changed units.
    pub sectors: u64,
    /// The number of fully present blocks with at least one changed unit.
    pub full_blocks: u64,
    /// The first contradiction: data in an unchanged unit, or a damaged page of the table.
    pub contradiction: Option<String>,
}

/// The result of checking a table.
pub(crate) struct CheckedTable {
    pub evidence: TableEvidence,
    /// Whether the file may have blocks that hide its parent's without having bytes of their own.
    /// Whether its table has numbers for those is unknown.
    pub hides_without_data: bool,
}

/// Compares the data of a file with its table, up to the first contradiction. The file
/// must have been tracked from its first byte on.
pub(crate) fn check_table(
    file: &Arc<Vhdx>,
    table: &Arc<TrackingTable>,
    limits: &Limits,
) -> Result<CheckedTable> {
    let (size, block_size) = (file.virtual_size(), u64::from(file.metadata.block_size));
    let mut check = Check {
        blocks: Extents::new(file.clone(), Coalescing::ByState, limits),
        table: ChangedUnits::new(table.clone(), 0, limits),
        sector_size: file.metadata.logical_sector_size.into(),
        evidence: TableEvidence::default(),
    };
    let (mut block, blocks) = (0, size.div_ceil(block_size));
    let mut hides_without_data = false;
    while block < blocks {
        let (state, count) = check.blocks.block_run(block, blocks)?;
        hides_without_data |= !state.has_block() && state != PayloadState::NotPresent;
        let run = block..block + count;
        block = run.end;
        if !state.has_block() {
            continue;
        }
        for start in run.map(|block| block * block_size) {
            let range = start..size.min(start + block_size);
            let result = match state {
                PayloadState::PartiallyPresent => check.partial(range),
                _ => check.full(range),
            };
            let contradiction = match result {
                // A page of the table is damaged; the file's own blocks are still valid.
                Err(error) if is_damaged_table(&error) => Some(error.to_string()),
                other => other?,
            };
            if contradiction.is_some() {
                let evidence = TableEvidence { contradiction, ..check.evidence };
                return Ok(CheckedTable { evidence, hides_without_data: true });
            }
        }
    }
    Ok(CheckedTable { evidence: check.evidence, hides_without_data })
}

fn is_damaged_table(error: &crate::Error) -> bool {
    error.subject() == Subject::TrackingTable
        && matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Truncated)
}

struct Check {
    blocks: Extents,
    table: ChangedUnits,
    sector_size: u64,
    evidence: TableEvidence,
}

impl Check {
    /// Checks that every present sector lies in a changed unit. Returns a contradiction.
    fn partial(&mut self, block: Range<u64>) -> Result<Option<String>> {
        let mut at = block.start;
        while at < block.end {
            let extent = self.blocks.extent(at, block.end)?;
            if extent.state == LayerState::Data {
                if let Some(unchanged) = self.find(at..extent.end, LayerState::Absent)? {
                    return Ok(Some(format!(
                        "the file holds data at byte {unchanged} of the disk, in a unit that its tracking table \
                         lists as never changed"
                    )));
                }
                self.evidence.sectors += (extent.end - at) / self.sector_size;
            }
            at = extent.end;
        }
        Ok(None)
    }

    /// Checks that the block has a changed unit. The block may have been filled from the parent, so
    /// only one changed unit is certain. Returns a contradiction.
    fn full(&mut self, block: Range<u64>) -> Result<Option<String>> {
        let start = block.start;
        if self.find(block, LayerState::Data)?.is_some() {
            self.evidence.full_blocks += 1;
            return Ok(None);
        }
        Ok(Some(format!(
            "the file holds the block at byte {start} of the disk, but its tracking table lists every unit of it as \
             never changed"
        )))
    }

    /// Returns the first byte of the range for which the table reports this.
    fn find(&mut self, range: Range<u64>, wanted: LayerState) -> Result<Option<u64>> {
        let mut at = range.start;
        while at < range.end {
            let extent = self.table.extent(at, range.end)?;
            if extent.state == wanted {
                return Ok(Some(at));
            }
            at = extent.end;
        }
        Ok(None)
    }
}
