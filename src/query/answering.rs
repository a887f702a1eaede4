//! Selects the layers that answer for an RCT id.

use super::consistency::{CheckedTable, TableEvidence, check_table};
use crate::chain::{Chain, ChainFile, SizedLayer, Table};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::layer::{Layer, LayerExtent, LayerState, StateSet, UnitBitmap};
use crate::limits::Limits;
use crate::rct::{ChangedUnits, KnownIds, RctId, TrackingTable};
use crate::vhdx::Coalescing;
use crate::warning::Warning;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// The layers that answer for an id, leaf first, with the tables that they read.
pub(crate) struct AnsweringLayers {
    pub layers: Vec<SizedLayer>,
    pub tables: Vec<Arc<TrackingTable>>,
    pub warnings: Vec<Warning>,
}

/// Which tables of a chain can be used.
pub(crate) struct Tables<'a> {
    pub chain: &'a Chain,
    /// Whether to use the table of a root that was not closed cleanly.
    pub allow_unclean: bool,
    /// The results of the table consistency check, by depth: checked once for each opened disk.
    pub checked: &'a CheckedTables,
}

/// The result of the table consistency check for each file of a chain that was checked.
#[derive(Default)]
pub(crate) struct CheckedTables(Mutex<Vec<(usize, CheckedTable)>>);

impl CheckedTables {
    fn get(&self, depth: usize) -> Option<CheckedTable> {
        let checked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        checked.iter().find(|(known, _)| *known == depth).map(|(_, found)| found.clone())
    }

    fn insert(&self, depth: usize, found: CheckedTable) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((depth, found));
    }
}

impl AnsweringLayers {
    /// Adds the units of a file that are newer according to its table.
    fn push_units(&mut self, table: &Arc<TrackingTable>, size: u64, number: u32, limits: &Limits) {
        let layer = Box::new(ChangedUnits::new(table.clone(), number, limits));
        self.layers.push(SizedLayer { layer, size });
        self.tables.push(table.clone());
    }
}

impl Tables<'_> {
    fn file(&self, depth: usize) -> &ChainFile {
        &self.chain.files()[depth]
    }

    fn usable(&self, depth: usize) -> Option<&Arc<TrackingTable>> {
        self.chain.files().get(depth)?.usable_table()
    }

    fn is_root(&self, depth: usize) -> bool {
        !self.file(depth).vhdx.metadata().has_parent()
    }

    /// Returns the newest id of the leaf's own table, if that table would answer a question about
    /// the changes since.
    pub(crate) fn newest_id(&self) -> Option<RctId> {
        let trusted = self.allow_unclean || self.chain.leaf().closed_cleanly();
        let table = self.usable(0).filter(|_| trusted)?;
        (self.is_root(0) || self.witness(0).is_ok()).then_some(table.header().current)
    }

    /// Returns every id that the chain can answer for, newest first, each once, with the deepest
    /// file that resolves it.
    pub(crate) fn known_ids(&self) -> Vec<KnownIds> {
        let mut known = Vec::new();
        let mut deeper: Vec<(Uuid, RangeInclusive<u32>)> = Vec::new();
        for depth in (0..self.chain.files().len()).rev() {
            let Some(table) = self.usable(depth) else { continue };
            let answers = self.is_root(depth) || self.witness(depth).is_ok();
            let own: Vec<_> = table.known().collect();
            for (branch, numbers) in own.iter().rev() {
                for numbers in without(numbers.clone(), *branch, &deeper) {
                    if answers {
                        let (first, last) = numbers.into_inner();
                        let file = self.file(depth).vhdx.path().to_owned();
                        known.push(KnownIds { file, branch: *branch, first, last });
                    }
                }
            }
            deeper.extend(own);
        }
        known.reverse();
        known
    }

    /// Returns the layers that answer for an id.
    ///
    /// The deepest file that resolves the id answers from its table: it resolved the id when it was
    /// frozen, so the files above it were created after the id, and everything that they hold has
    /// changed since. Their own tables are not needed.
    pub(crate) fn since(&self, id: RctId, limits: &Limits) -> Result<AnsweringLayers> {
        let resolves = |depth: &usize| self.usable(*depth).is_some_and(|t| t.resolves(id));
        let last = (0..self.chain.files().len()).rev().find(resolves);
        let last = last.ok_or_else(|| self.unknown(id))?;
        let Some(table) = self.usable(last) else { return Err(self.unknown(id)) };
        let by_blocks = |depth| self.chain.layer(depth, Coalescing::ByState, limits);
        let mut answering = AnsweringLayers {
            layers: (0..last).map(by_blocks).collect(),
            tables: Vec::new(),
            warnings: Vec::new(),
        };
        if self.is_root(last) {
            self.verify_clean(last)?;
            let size = self.file(last).vhdx.virtual_size();
            answering.push_units(table, size, id.number, limits);
        } else {
            self.add_child(&mut answering, last, id, limits)?;
        }
        Ok(answering)
    }

    /// Checks whether the file below covers the id. A child inherits its parent's ids while its own
    /// table starts at zero, so it may resolve an id that is older than itself. The table of the
    /// file below shows what was written there after the child was created (a merge), and that
    /// nothing is missing between the two.
    fn add_child(
        &self,
        answering: &mut AnsweringLayers,
        depth: usize,
        id: RctId,
        limits: &Limits,
    ) -> Result<()> {
        let (file, witness) = (&self.file(depth).vhdx, self.witness(depth)?);
        let Some(table) = self.usable(depth) else { return Err(self.unknown(id)) };
        let size = file.virtual_size();
        let checked = self.checked(depth, limits)?;
        match self.contradiction(depth, checked.as_ref()) {
            None => {
                answering.push_units(table, size, id.number, limits);
                if checked.is_none_or(|checked| checked.hides_without_data) {
                    let SizedLayer { layer, .. } =
                        self.chain.layer(depth, Coalescing::ByBlock, limits);
                    answering.layers.push(SizedLayer { layer: Box::new(WithoutData(layer)), size });
                }
            }
            Some(reason) => {
                answering.layers.push(self.chain.layer(depth, Coalescing::ByState, limits));
                let message =
                    format!("{reason}; the answer lists everything that the file holds instead");
                answering.warnings.push(Warning::new(file.path(), message));
            }
        }
        // When the id was created, the disk had no data past the end of this file.
        let size = size.min(self.file(depth + 1).vhdx.virtual_size());
        answering.push_units(witness, size, witness.header().current.number, limits);
        Ok(())
    }

    /// Returns why the table of a file with a parent cannot be used, or None if it can.
    fn contradiction(&self, depth: usize, checked: Option<&CheckedTable>) -> Option<String> {
        if !self.file(depth).vhdx.closed_cleanly() {
            let message = "the disk was not closed cleanly, so its tracking table may lag behind what was written";
            return Some(message.into());
        }
        checked?.evidence.contradiction.clone()
    }

    /// Checks the table at `depth` against the blocks of its file. Returns None if the check proves
    /// nothing, because the file was not tracked from its first byte on or its table may be out of
    /// date.
    pub(crate) fn evidence(&self, depth: usize, limits: &Limits) -> Result<Option<TableEvidence>> {
        Ok(self.checked(depth, limits)?.map(|checked| checked.evidence))
    }

    fn checked(&self, depth: usize, limits: &Limits) -> Result<Option<CheckedTable>> {
        let Some(table) = self.usable(depth) else { return Ok(None) };
        let is_clean_child = !self.is_root(depth) && self.file(depth).vhdx.closed_cleanly();
        if !is_clean_child || self.witness(depth).is_err() {
            return Ok(None);
        }
        if let Some(found) = self.checked.get(depth) {
            return Ok(Some(found));
        }
        let found = check_table(self.chain, depth, table, limits)?;
        self.checked.insert(depth, found.clone());
        Ok(Some(found))
    }

    /// Returns the table below a file; the history in the file's own table must continue that
    /// table's history.
    fn witness(&self, depth: usize) -> Result<&Arc<TrackingTable>> {
        let (child, below) = (&self.file(depth).vhdx, self.chain.files().get(depth + 1));
        let problem = match (self.usable(depth), below.map(|file| &file.table)) {
            (Some(own), Some(Table::Usable(witness)))
                if witness.header().is_continued_by(own.header()) =>
            {
                return Ok(witness);
            }
            (_, Some(Table::Usable(_))) => "has a tracking table with another history".to_owned(),
            (_, Some(Table::Unusable(error))) => {
                format!("has a tracking table that cannot be used ({})", error.message())
            }
            _ => "has no tracking table (.rct) beside it".into(),
        };
        let message = format!(
            "the id is resolved by {}, but the file below it {problem}, so what was written there is unknown; put \
             the table of that file beside it, or make a full backup",
            child.path().display()
        );
        let path = below.map_or(child.path(), |file| file.vhdx.path());
        let error = Error::new(ErrorKind::UnknownId, message).in_file(Subject::Parent, path);
        Err(match below.map(|file| &file.table) {
            Some(Table::Unusable(cause)) => error.caused_by(cause.clone()),
            _ => error,
        })
    }

    fn verify_clean(&self, depth: usize) -> Result<()> {
        let file = &self.file(depth).vhdx;
        if self.allow_unclean || file.closed_cleanly() {
            return Ok(());
        }
        let message = "the disk was not closed cleanly, so its tracking table may lag behind what was written; \
                       let Hyper-V open and close it once, make a full backup, or accept the risk (allow_unclean, \
                       --allow-unclean)";
        Err(file.error(ErrorKind::UntrustedTracking, message.into()))
    }

    fn unknown(&self, id: RctId) -> Error {
        let (leaf, files) = (self.chain.leaf(), self.chain.files());
        if files.iter().all(|file| matches!(file.table, Table::Off)) {
            let message = "no file of the chain has a tracking table (.rct) beside it, so change tracking is off or \
                           the tables were not copied with the disks; make a full backup";
            return leaf.error(ErrorKind::TrackingDisabled, message.into());
        }
        let unusable = files.iter().find_map(|file| match &file.table {
            Table::Unusable(error) => Some(error),
            _ => None,
        });
        if let Some(error) = unusable {
            return error.clone();
        }
        let newest = self.known_ids().first().and_then(|known| known.ids().next());
        let newest = newest.map_or("none".into(), |id| id.to_string());
        let mut tables = files.iter().filter_map(ChainFile::usable_table);
        let hint = match tables.any(|table| !table.header().is_consistent()) {
            true => {
                ". The branch history of a table is not consistent, so it resolves ids of its current branch only"
            }
            false => "",
        };
        let message = format!(
            "no file of the chain resolves the id {id}; the newest that it can answer for is {newest}{hint}. Make a \
             full backup"
        );
        leaf.error(ErrorKind::UnknownId, message)
    }
}

/// Returns the numbers of a branch that no deeper table resolves.
fn without(
    numbers: RangeInclusive<u32>,
    branch: Uuid,
    deeper: &[(Uuid, RangeInclusive<u32>)],
) -> Vec<RangeInclusive<u32>> {
    let mut remaining = vec![numbers];
    for (_, known) in deeper.iter().filter(|(other, _)| *other == branch) {
        let cut = |range: RangeInclusive<u32>| {
            let (first, last) = range.into_inner();
            let before = known.start().checked_sub(1).map(|end| first..=end.min(last));
            let after = known.end().checked_add(1).map(|start| start.max(first)..=last);
            [before, after].into_iter().flatten().filter(|part| !part.is_empty())
        };
        remaining = remaining.into_iter().flat_map(cut).collect();
    }
    remaining
}

/// Returns the blocks of a layer that hold no bytes: ZERO, UNMAPPED and UNDEFINED. Whether a table
/// has a number for a block that was only unmapped is unknown.
struct WithoutData(Box<dyn Layer>);

impl Layer for WithoutData {
    fn extent(&mut self, at: u64, limit: u64) -> Result<LayerExtent> {
        let extent = self.0.extent(at, limit)?;
        let kept = StateSet::WITHOUT_DATA.contains(extent.state);
        Ok(LayerExtent { state: if kept { extent.state } else { LayerState::Absent }, ..extent })
    }

    fn fill(&mut self, _: u64, _: u64, _: StateSet, _: &mut UnitBitmap) -> Result<bool> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_deeper_tables_resolve_are_cut_out() {
        let (ours, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let deeper = [(ours, 0..=3), (other, 0..=100), (ours, 6..=7), (ours, u32::MAX..=u32::MAX)];
        assert_eq!(without(0..=9, ours, &deeper), [4..=5, 8..=9]);
        assert_eq!(without(2..=3, ours, &deeper), []);
        assert_eq!(without(8..=u32::MAX, ours, &deeper), [8..=u32::MAX - 1]);
        assert_eq!(without(0..=9, Uuid::from_u128(3), &deeper), [0..=9]);
    }
}
