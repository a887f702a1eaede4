//! What a disk's tracking tables can be asked, and how far they can be trusted.

use super::ChangeQuery;
use crate::error::Error;
use crate::query::{TableEvidence, TrackedChain};
use crate::rct::{KnownIds, RctId};
use crate::warning::Warning;

impl ChangeQuery {
    /// Every RCT id that the disk's chain (a set's: that of its active file, or of the target)
    /// can answer for, newest first, each once; none where it is not tracked. Those of a file
    /// that was not closed cleanly are listed too, and asking since them needs
    /// [`allow_unclean`](Self::allow_unclean).
    ///
    /// They include ids of parents. Other children of those know them as well, so such an id
    /// does not say which future of a checkpoint a copy was made of: to keep one for the next
    /// backup, take [`newest_id`](Self::newest_id).
    ///
    /// # Errors
    /// What opening the chain and its tables gives.
    pub fn known_ids(&self) -> std::result::Result<Vec<KnownIds>, Error> {
        let mut chain = self.target_chain()?;
        chain.complete()?;
        Ok(TrackedChain::open(&chain)?.known_ids())
    }

    /// The newest id of the disk's own table, for the next backup to ask since; None if the
    /// file itself (of a set, its active file or the target's) is not tracked, whatever its
    /// parents are, if its table cannot be used or may lag behind, or if the table of its parent
    /// is missing.
    ///
    /// # Errors
    /// What opening the file itself gives.
    pub fn newest_id(&self) -> std::result::Result<Option<RctId>, Error> {
        let mut chain = self.target_chain()?;
        // Without the parents there is no id to ask since, and no error either.
        let _ = chain.complete();
        Ok(TrackedChain::open(&chain)?.newest_id())
    }

    /// What is worth knowing about the disk's files and tables, although an answer is complete
    /// all the same: a damaged table, a disk modified after its table, a parent with another id.
    ///
    /// # Errors
    /// What opening the file itself gives.
    pub fn warnings(&self) -> std::result::Result<Vec<Warning>, Error> {
        let mut chain = self.target_chain()?;
        // What cannot be opened is an error of the questions that need it.
        let _ = chain.complete();
        let mut warnings = chain.warnings().to_vec();
        warnings.extend(TrackedChain::open(&chain)?.warnings());
        Ok(warnings)
    }

    /// Holds each tracking table of the chain against the blocks of its own file, leaf first.
    /// None for a file of which that shows nothing: one without a table, without a parent, that
    /// was not closed cleanly, or that was not tracked from its first byte on.
    ///
    /// A file that was tracked from the start has a changed unit for all that it holds. Data in
    /// an unchanged unit contradicts its table; that there is none does not prove the table
    /// right, but supports it the more, the more data there is.
    ///
    /// # Errors
    /// What opening the chain and reading its files gives.
    pub fn check_tables(&self) -> std::result::Result<Vec<Option<TableEvidence>>, Error> {
        let mut chain = self.target_chain()?;
        chain.complete()?;
        let tracked = TrackedChain::open(&chain)?;
        (0..chain.files().len()).map(|depth| tracked.evidence(depth)).collect()
    }
}
