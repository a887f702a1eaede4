//! A chain with its tracking tables: what an RCT id means for each file.

use crate::chain::Chain;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::Layer;
use crate::rct::{KnownIds, NewerThan, RctId, Tracking, companion};
use crate::vhdx::Grain;
use std::sync::Arc;

/// A complete chain; each file with its table, where it has one.
pub(crate) struct TrackedChain<'a> {
    chain: &'a Chain,
    tables: Vec<Option<Arc<Tracking>>>,
}

/// The layers that answer for an id, leaf first, with the tables that they read.
pub(crate) struct Answering {
    pub layers: Vec<(Box<dyn Layer>, u64)>,
    pub tables: Vec<Arc<Tracking>>,
}

impl<'a> TrackedChain<'a> {
    /// Opens every file of the chain and every table beside them.
    pub fn open(chain: &'a mut Chain) -> Result<Self> {
        chain.complete()?;
        let chain = &*chain;
        let open = |depth| Ok(Tracking::of(chain, depth)?.map(Arc::new));
        let tables = (0..chain.files().len()).map(open).collect::<Result<_>>()?;
        Ok(TrackedChain { chain, tables })
    }

    /// Every id that the chain can answer for, newest first, each once.
    pub fn known_ids(&self) -> Vec<KnownIds> {
        let mut known: Vec<KnownIds> = Vec::new();
        for (file, table) in self.chain.files().iter().zip(&self.tables) {
            for (branch, numbers) in table.iter().flat_map(|table| table.known()) {
                // A child that keeps its parent's ids knows them too: they are listed with it.
                let (first, last) = numbers.into_inner();
                let listed = known.iter().any(|other| {
                    other.branch == branch && other.first <= first && last <= other.last
                });
                if !listed {
                    known.push(KnownIds { file: file.path().to_owned(), branch, first, last });
                }
            }
        }
        known
    }

    /// The union over the files from the leaf to the deepest one that knows the id: the units
    /// newer than the id where a file knows it, else everything that the file holds, since it
    /// was made after the id was sealed.
    pub fn since(&self, id: RctId, allow_unclean: bool) -> Result<Answering> {
        let knows =
            |table: &Option<Arc<Tracking>>| table.as_ref().is_some_and(|table| table.knows(id));
        let deepest = self.tables.iter().rposition(knows).ok_or_else(|| self.unknown(id))?;
        self.must_not_have_lost_a_table(deepest)?;
        let mut answering = Answering { layers: Vec::new(), tables: Vec::new() };
        for depth in 0..=deepest {
            match self.tables[depth].as_ref().filter(|table| table.knows(id)) {
                Some(table) => {
                    self.must_be_clean(depth, allow_unclean)?;
                    self.ask(table, depth, id, &mut answering);
                }
                None => answering.layers.push(self.chain.layer(depth, Grain::State)),
            }
        }
        self.doubt(id, deepest, &mut answering);
        Ok(answering)
    }

    /// A table below that shares a branch with one that knows the id was frozen before the id
    /// was sealed, so nothing in it is newer. If something is, its history was damaged, which
    /// no checksum may cover, and it does count.
    fn doubt(&self, id: RctId, deepest: usize, answering: &mut Answering) {
        let Some(knows) = &self.tables[deepest] else { return };
        for depth in deepest + 1..self.tables.len() {
            let related = self.tables[depth].as_ref().filter(|table| table.is_related_to(knows));
            if let Some(table) = related {
                self.ask(table, depth, id, answering);
            }
        }
    }

    /// Adds the units of a file that its table calls newer.
    fn ask(&self, table: &Arc<Tracking>, depth: usize, id: RctId, answering: &mut Answering) {
        let newer = NewerThan::new(table.clone(), id.number);
        answering.layers.push((Box::new(newer), self.chain.files()[depth].virtual_size()));
        answering.tables.push(table.clone());
    }

    fn must_be_clean(&self, depth: usize, allow_unclean: bool) -> Result<()> {
        let file = &self.chain.files()[depth];
        if allow_unclean || file.closed_cleanly() {
            return Ok(());
        }
        let message = "the disk was not closed cleanly, so its tracking table may lag behind what was written; \
                       let Hyper-V open and close it once, make a full backup, or accept the risk (allow unclean)";
        Err(Error::new(ErrorKind::UntrustedTracking, message).in_file(file.path()))
    }

    /// A file below the deepest that knows the id contributes nothing. One that was tracked
    /// (its `.mrt` says so) and has no table any more might have known it too.
    fn must_not_have_lost_a_table(&self, deepest: usize) -> Result<()> {
        for depth in deepest + 1..self.tables.len() {
            let lost =
                self.tables[depth].is_none() && companion(self.chain, depth, ".mrt")?.is_some();
            if lost {
                let message = "a .mrt file beside it says that it is tracked, and its .rct file is missing, so what \
                               changed in it is unknown; put the .rct file beside it, or make a full backup";
                return Err(Error::new(ErrorKind::UntrustedTracking, message)
                    .in_file(self.chain.files()[depth].path()));
            }
        }
        Ok(())
    }

    fn unknown(&self, id: RctId) -> Error {
        let path = self.chain.leaf().path();
        if self.tables.iter().all(Option::is_none) {
            let message = "no file of the chain has a tracking table (.rct) beside it, so change tracking is off or \
                           the tables were not copied along; make a full backup";
            return Error::new(ErrorKind::TrackingDisabled, message).in_file(path);
        }
        let newest = self.known_ids().first().and_then(|known| known.ids().next());
        let newest = newest.map_or("none".into(), |id| id.to_string());
        let message = format!(
            "no file of the chain knows the id {id}; the newest that it can answer for is {newest}. Make a full backup"
        );
        Error::new(ErrorKind::UnknownId, message).in_file(path)
    }
}
