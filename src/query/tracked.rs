//! A chain with its tracking tables: which layers answer for an RCT id.

use super::consistency::{TableEvidence, check_table};
use crate::chain::Chain;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{Extent, Held, Layer, Rule};
use crate::mask::Mask;
use crate::rct::{KnownIds, NewerThan, RctId, Tracking};
use crate::vhdx::Grain;
use crate::warning::Warning;
use std::ops::RangeInclusive;
use std::sync::Arc;
use uuid::Uuid;

/// What is known of the table beside a file.
enum Table {
    /// There is none: the file is not tracked.
    Off,
    Usable(Arc<Tracking>),
    /// There is one, and it cannot be read.
    Unusable(Error),
}

/// The files of a chain that are open, each with its table.
pub(crate) struct TrackedChain<'a> {
    chain: &'a Chain,
    tables: Vec<Table>,
}

/// The layers that answer for an id, leaf first, with the tables that they read.
pub(crate) struct Answering {
    pub layers: Vec<(Box<dyn Layer>, u64)>,
    pub tables: Vec<Arc<Tracking>>,
    pub warnings: Vec<Warning>,
}

impl<'a> TrackedChain<'a> {
    /// Opens the table beside every file of the chain that is open.
    ///
    /// # Errors
    /// Only those that concern the request itself, such as its deadline. A table that cannot be
    /// used is kept with the reason.
    pub fn open(chain: &'a Chain) -> Result<Self> {
        let open = |depth| match Tracking::of(chain, depth) {
            Ok(Some(table)) => Ok(Table::Usable(Arc::new(table))),
            Ok(None) => Ok(Table::Off),
            Err(error) if error.concerns_request() => Err(error),
            Err(error) => Ok(Table::Unusable(error)),
        };
        let tables = (0..chain.files().len()).map(open).collect::<Result<_>>()?;
        Ok(TrackedChain { chain, tables })
    }

    /// The newest id of the leaf's own table, if a question since it would be answered by that
    /// table.
    pub fn newest_id(&self) -> Option<RctId> {
        let trusted = self.chain.access().allow_unclean || self.chain.leaf().closed_cleanly();
        let table = self.usable(0).filter(|_| trusted)?;
        (self.is_root(0) || self.witness(0).is_ok()).then_some(table.header().current)
    }

    fn usable(&self, depth: usize) -> Option<&Arc<Tracking>> {
        match self.tables.get(depth) {
            Some(Table::Usable(table)) => Some(table),
            _ => None,
        }
    }

    fn is_root(&self, depth: usize) -> bool {
        !self.chain.files()[depth].metadata().has_parent()
    }

    /// What is worth knowing about the tables, whether or not a question needs them.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (file, table) in self.chain.files().iter().zip(&self.tables) {
            match table {
                Table::Off => {}
                Table::Unusable(error) => warnings.push(Warning::new(
                    error.path().unwrap_or(file.path()),
                    format!("the tracking table cannot be used: {}", error.message()),
                )),
                Table::Usable(table) => warnings.extend(table.lags_behind(file)),
            }
        }
        warnings
    }

    /// Every id that the chain can answer for, newest first, each once: with the deepest file
    /// that resolves it.
    pub fn known_ids(&self) -> Vec<KnownIds> {
        let mut known = Vec::new();
        let mut deeper: Vec<(Uuid, RangeInclusive<u32>)> = Vec::new();
        for depth in (0..self.tables.len()).rev() {
            let Some(table) = self.usable(depth) else { continue };
            let answers = self.is_root(depth) || self.witness(depth).is_ok();
            let own: Vec<_> = table.known().collect();
            for (branch, numbers) in own.iter().rev() {
                for numbers in without(numbers.clone(), *branch, &deeper) {
                    if answers {
                        let (first, last) = numbers.into_inner();
                        let file = self.chain.files()[depth].path().to_owned();
                        known.push(KnownIds { file, branch: *branch, first, last });
                    }
                }
            }
            deeper.extend(own);
        }
        known.reverse();
        known
    }

    /// The layers that answer for an id.
    ///
    /// The deepest file that resolves the id answers by its table: it resolved the id when it was
    /// frozen, so the files above it were made after the id was created, and everything that they
    /// hold has changed since. Their own tables are not needed.
    pub fn since(&self, id: RctId) -> Result<Answering> {
        let resolves = |depth: &usize| self.usable(*depth).is_some_and(|t| t.resolves(id));
        let last = (0..self.tables.len()).rev().find(resolves).ok_or_else(|| self.unknown(id))?;
        let Some(table) = self.usable(last).cloned() else { return Err(self.unknown(id)) };
        let mut answering = Answering {
            layers: (0..last).map(|depth| self.chain.layer(depth, Grain::State)).collect(),
            tables: Vec::new(),
            warnings: Vec::new(),
        };
        if self.is_root(last) {
            self.verify_clean(last)?;
            self.ask(&table, last, id.number, &mut answering);
        } else {
            self.ask_child(&table, last, id, &mut answering)?;
        }
        Ok(answering)
    }

    /// A child inherits its parent's ids while its own table starts at zero, so it may resolve an
    /// id that is older than itself. The table of the file below shows what was written there
    /// after the child was made (a merge), and that nothing is missing between the two.
    fn ask_child(
        &self,
        table: &Arc<Tracking>,
        last: usize,
        id: RctId,
        answering: &mut Answering,
    ) -> Result<()> {
        let witness = self.witness(last)?.clone();
        match self.contradiction(table, last)? {
            None => {
                self.ask(table, last, id.number, answering);
                let (layer, size) = self.chain.layer(last, Grain::State);
                answering.layers.push((Box::new(WithoutData(layer)), size));
            }
            Some(reason) => {
                answering.layers.push(self.chain.layer(last, Grain::State));
                let message = format!("{reason}; the answer names all that the file holds instead");
                answering.warnings.push(Warning::new(table.path(), message));
            }
        }
        let number = witness.header().current.number;
        self.ask(&witness, last + 1, number, answering);
        // Past the end of the file above, the disk had nothing when the id was created.
        let size = self.chain.files()[last].virtual_size();
        if let Some((_, below)) = answering.layers.last_mut() {
            *below = size.min(*below);
        }
        Ok(())
    }

    /// Why the table of a file with a parent is not to be used, if that is so.
    fn contradiction(&self, table: &Arc<Tracking>, depth: usize) -> Result<Option<String>> {
        if !self.chain.files()[depth].closed_cleanly() {
            let message = "the disk was not closed cleanly, so its tracking table may lag behind what was written";
            return Ok(Some(message.into()));
        }
        Ok(check_table(self.chain, depth, table)?.contradiction)
    }

    /// The table below a file, which has to begin the history that the file's own table goes on
    /// with.
    fn witness(&self, depth: usize) -> Result<&Arc<Tracking>> {
        let (child, below) = (&self.chain.files()[depth], depth + 1);
        let problem = match (self.usable(depth), self.tables.get(below)) {
            (Some(own), Some(Table::Usable(witness)))
                if witness.header().is_continued_by(own.header()) =>
            {
                return Ok(witness);
            }
            (_, Some(Table::Usable(_))) => "has a tracking table of another history".to_owned(),
            (_, Some(Table::Unusable(error))) => {
                format!("has a tracking table that cannot be used ({})", error.message())
            }
            _ => "has no tracking table (.rct) beside it".into(),
        };
        let parent = self.chain.files().get(below).map_or(child.path(), |file| file.path());
        let message = format!(
            "the id is resolved by {}, but the file below it {problem}, so what was written there is unknown; put \
             the table of that file beside it, or make a full backup",
            child.path().display()
        );
        Err(Error::new(ErrorKind::UnknownId, message).in_file(parent))
    }

    /// Checks the table at `depth` against the blocks of its file; None if that shows nothing,
    /// since the file was not tracked from its first byte on, or its table may lag behind.
    pub fn evidence(&self, depth: usize) -> Result<Option<TableEvidence>> {
        let Some(table) = self.usable(depth) else { return Ok(None) };
        let child = !self.is_root(depth) && self.chain.files()[depth].closed_cleanly();
        if !child || self.witness(depth).is_err() {
            return Ok(None);
        }
        check_table(self.chain, depth, table).map(Some)
    }

    /// Adds the units of a file that its table calls newer.
    fn ask(&self, table: &Arc<Tracking>, depth: usize, number: u32, answering: &mut Answering) {
        let newer = NewerThan::new(table.clone(), number);
        answering.layers.push((Box::new(newer), self.chain.files()[depth].virtual_size()));
        answering.tables.push(table.clone());
    }

    fn verify_clean(&self, depth: usize) -> Result<()> {
        let file = &self.chain.files()[depth];
        if self.chain.access().allow_unclean || file.closed_cleanly() {
            return Ok(());
        }
        let message = "the disk was not closed cleanly, so its tracking table may lag behind what was written; \
                       let Hyper-V open and close it once, make a full backup, or accept the risk (allow_unclean, \
                       --allow-unclean)";
        Err(Error::new(ErrorKind::UntrustedTracking, message).in_file(file.path()))
    }

    fn unknown(&self, id: RctId) -> Error {
        let path = self.chain.leaf().path();
        if self.tables.iter().all(|table| matches!(table, Table::Off)) {
            let message = "no file of the chain has a tracking table (.rct) beside it, so change tracking is off or \
                           the tables were not copied along; make a full backup";
            return Error::new(ErrorKind::TrackingDisabled, message).in_file(path);
        }
        let unusable = self.tables.iter().find_map(|table| match table {
            Table::Unusable(error) => Some(error),
            _ => None,
        });
        if let Some(error) = unusable {
            return error.clone();
        }
        let newest = self.known_ids().first().and_then(|known| known.ids().next());
        let newest = newest.map_or("none".into(), |id| id.to_string());
        let inconsistent = self
            .tables
            .iter()
            .any(|table| matches!(table, Table::Usable(table) if !table.header().is_consistent()));
        let hint = match inconsistent {
            true => {
                ". The branch history of a table is not consistent, so it resolves ids of its current branch only"
            }
            false => "",
        };
        let message = format!(
            "no file of the chain resolves the id {id}; the newest that it can answer for is {newest}{hint}. Make a \
             full backup"
        );
        Error::new(ErrorKind::UnknownId, message).in_file(path)
    }
}

/// The numbers of a branch that no deeper table resolves.
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

/// The blocks of a layer that hold no bytes: ZERO, UNMAPPED and UNDEFINED. Whether a table has
/// a number for a block that was only given back is unknown.
struct WithoutData(Box<dyn Layer>);

impl Layer for WithoutData {
    fn extent(&mut self, at: u64, limit: u64) -> Result<Extent> {
        let extent = self.0.extent(at, limit)?;
        let held = if extent.held == Held::Data { Held::Absent } else { extent.held };
        Ok(Extent { held, ..extent })
    }

    fn fork(&self, from: u64) -> Box<dyn Layer> {
        Box::new(WithoutData(self.0.fork(from)))
    }

    fn mask(&mut self, _: u64, _: u64, _: Rule, _: &mut Mask) -> Result<bool> {
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
