//! Decides which files' tables and blocks answer a question since an RCT id.

use super::Plan;
use super::consistency::{CheckedTable, check_table};
use crate::chain::{Chain, DiskFile, LayerEntry, Tracking};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::layer::{Layer, LayerExtent, LayerState, StateSet};
use crate::limits::Limits;
use crate::rct::{KnownIds, RctId, TrackingTable};
use crate::vhdx::{Coalescing, Extents};
use crate::warning::Warning;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};
use uuid::Uuid;

/// A chain, and which of its tables can be used.
pub(crate) struct Tables {
    pub chain: Chain,
    /// Whether to use the table of a root that was not closed cleanly.
    allow_unclean: bool,
    /// The results of the table consistency check by depth: each is checked at most once.
    checked: Vec<OnceLock<CheckedTable>>,
}

/// The numbers of ids of one branch.
type Numbers = RangeInclusive<u32>;

/// The reason not to rely on a table alone.
const UNCLEAN: &str =
    "the disk was not closed cleanly, so its tracking table may lag behind what was written";

impl Tables {
    pub(crate) fn new(chain: Chain, allow_unclean: bool) -> Self {
        let checked = chain.files.iter().map(|_| OnceLock::new()).collect();
        Tables { chain, allow_unclean, checked }
    }

    fn file(&self, depth: usize) -> &DiskFile {
        &self.chain.files[depth]
    }

    fn usable(&self, depth: usize) -> Option<&Arc<TrackingTable>> {
        self.chain.files.get(depth)?.table()
    }

    fn is_root(&self, depth: usize) -> bool {
        !self.file(depth).vhdx.metadata.has_parent()
    }

    /// Returns the newest id of the leaf's own table, if that table would answer a question about
    /// the changes since.
    pub(crate) fn newest_id(&self) -> Option<RctId> {
        let table = self.usable(0)?;
        let trusted = self.allow_unclean || self.chain.leaf().closed_cleanly();
        (trusted && self.answers(0, table)).then_some(table.header().current)
    }

    /// Returns whether a file's table answers for the ids that no deeper table resolves.
    fn answers(&self, depth: usize, table: &TrackingTable) -> bool {
        self.is_root(depth) || self.witness(depth, table).is_ok()
    }

    /// Returns every id that the chain can answer for, newest first, each once, with the deepest
    /// file that resolves it.
    pub(crate) fn known_ids(&self) -> Vec<KnownIds> {
        let mut known = Vec::new();
        let mut deeper: Vec<(Uuid, Numbers)> = Vec::new();
        for depth in (0..self.chain.files.len()).rev() {
            let Some(table) = self.usable(depth) else { continue };
            let answers = self.answers(depth, table);
            let own: Vec<_> = table.known().collect();
            for (branch, numbers) in own.iter().rev() {
                for numbers in without(numbers.clone(), *branch, &deeper) {
                    if answers {
                        let (first, last) = numbers.into_inner();
                        let file = self.file(depth).path().to_owned();
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
    pub(super) fn since(&self, id: RctId, limits: &Limits) -> Result<Plan> {
        let resolving = |depth| Some((depth, self.usable(depth).filter(|t| t.resolves(id))?));
        let found = (0..self.chain.files.len()).rev().find_map(resolving);
        let (last, table) = found.ok_or_else(|| self.unknown(id))?;
        let (mut plan, file) = (Plan::held(&self.chain, 0..last, limits), &self.file(last).vhdx);
        if self.is_root(last) {
            self.verify_clean(last)?;
            plan.push_units(table, file.virtual_size(), id.number);
            return Ok(plan);
        }
        // A child inherits its parent's ids while its own table starts at zero, so it may resolve an
        // id that is older than itself. The table of the file below shows what was written there
        // after the child was created (a merge), and that nothing is missing between the two.
        let witness = self.witness(last, table)?;
        let checked = self.checked(last, limits)?;
        let contradiction = match checked {
            _ if !file.closed_cleanly() => Some(UNCLEAN),
            checked => checked.and_then(|checked| checked.evidence.contradiction.as_deref()),
        };
        if let Some(reason) = contradiction {
            let blocks = Extents::new(file.clone(), Coalescing::ByState, limits);
            plan.layers.push(LayerEntry::new(blocks, file.virtual_size()));
            let message =
                format!("{reason}; the answer lists everything that the file holds instead");
            plan.warnings.push(Warning::new(&file.file.path, message));
        } else {
            plan.push_units(table, file.virtual_size(), id.number);
            if checked.is_none_or(|checked| checked.hides_without_data) {
                let blocks = Extents::new(file.clone(), Coalescing::ByBlock, limits);
                plan.layers.push(LayerEntry::new(WithoutData(blocks), file.virtual_size()));
            }
        }
        // When the id was created, the disk had no data past the end of this file.
        let size = file.virtual_size().min(self.file(last + 1).vhdx.virtual_size());
        plan.push_units(witness, size, witness.header().current.number);
        Ok(plan)
    }

    /// Checks the table at `depth` against the blocks of its file. Returns None if the check proves
    /// nothing, because the file was not tracked from its first byte on or its table may be out of
    /// date.
    pub(crate) fn checked(&self, depth: usize, limits: &Limits) -> Result<Option<&CheckedTable>> {
        let Some(table) = self.usable(depth) else { return Ok(None) };
        let is_clean_child = !self.is_root(depth) && self.file(depth).vhdx.closed_cleanly();
        if !is_clean_child || self.witness(depth, table).is_err() {
            return Ok(None);
        }
        let checked = &self.checked[depth];
        if checked.get().is_none() {
            // If two threads check the table at the same time, both get the same result.
            let _ = checked.set(check_table(&self.file(depth).vhdx, table, limits)?);
        }
        Ok(checked.get())
    }

    /// Returns the table below a file; the history in the file's own table must continue that
    /// table's history.
    fn witness(&self, depth: usize, own: &TrackingTable) -> Result<&Arc<TrackingTable>> {
        let (child, below) = (self.file(depth).path(), self.chain.files.get(depth + 1));
        let (problem, cause) = match below.map(DiskFile::tracking) {
            Some(Tracking::Usable { table, .. }) => {
                if table.header().is_continued_by(own.header()) {
                    return Ok(table);
                }
                ("has a tracking table with another history".to_owned(), None)
            }
            Some(Tracking::Unusable(error)) => {
                let problem = "has a tracking table that cannot be used";
                (format!("{problem} ({})", error.message()), Some(error.clone()))
            }
            _ => ("has no tracking table (.rct) beside it".into(), None),
        };
        let message = format!(
            "the id is resolved by {}, but the file below it {problem}, so what was written there is unknown; put \
             the table of that file beside it, or make a full backup",
            child.display()
        );
        let path = below.map_or(child, DiskFile::path);
        let error = Error::new(ErrorKind::UnknownId, message).in_file(Subject::Parent, path);
        Err(error.caused_by(cause))
    }

    fn verify_clean(&self, depth: usize) -> Result<()> {
        let file = &self.file(depth).vhdx;
        if self.allow_unclean || file.closed_cleanly() {
            return Ok(());
        }
        let message = format!(
            "{UNCLEAN}; let Hyper-V open and close it once, make a full backup, or accept the risk (allow_unclean, \
             --allow-unclean)"
        );
        Err(file.file.error(ErrorKind::UntrustedTracking, message))
    }

    fn unknown(&self, id: RctId) -> Error {
        let (leaf, files) = (self.chain.leaf(), &self.chain.files);
        if files.iter().all(|file| matches!(file.tracking(), Tracking::Off)) {
            let message = "no file of the chain has a tracking table (.rct) beside it, so change tracking is off or \
                           the tables were not copied with the disks; make a full backup";
            return leaf.file.error(ErrorKind::TrackingDisabled, message);
        }
        for file in files {
            if let Tracking::Unusable(error) = file.tracking() {
                return error.clone();
            }
        }
        let newest = self.known_ids().first().and_then(|known| known.ids().next());
        let newest = newest.map_or("none".into(), |id| id.to_string());
        let mut tables = files.iter().filter_map(DiskFile::table);
        let hint = if tables.all(|table| table.header().is_consistent()) {
            ""
        } else {
            ". The branch history of a table is not consistent, so it resolves ids of its current branch only"
        };
        let message = format!(
            "no file of the chain resolves the id {id}; the newest that it can answer for is {newest}{hint}. Make a \
             full backup"
        );
        leaf.file.error(ErrorKind::UnknownId, message)
    }
}

/// Returns the numbers of a branch that no deeper table resolves.
fn without(numbers: Numbers, branch: Uuid, deeper: &[(Uuid, Numbers)]) -> Vec<Numbers> {
    let mut remaining = vec![numbers];
    for (_, known) in deeper.iter().filter(|(other, _)| *other == branch) {
        let cut = |range: Numbers| {
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
struct WithoutData(Extents);

impl Layer for WithoutData {
    fn extent(&mut self, at: u64, limit: u64) -> Result<LayerExtent> {
        let extent = self.0.extent(at, limit)?;
        let kept = StateSet::WITHOUT_DATA.contains(extent.state);
        Ok(LayerExtent { state: if kept { extent.state } else { LayerState::Absent }, ..extent })
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
