//! The baselines for the next backup.

use crate::baseline::{Baseline, NextBaseline};
use crate::disk::Disk;
use crate::error::{Result, Subject};
use crate::limits::{CancelToken, Limits};
use std::time::Instant;

impl Disk {
    /// Returns the baselines that the next backup of this disk can use, best first; empty if only a
    /// full backup is possible. Keep one with the copy of the disk's current state.
    ///
    /// The newest id is left out if a question since it would be refused, because a tracking table
    /// of the chain is missing, is damaged or has another history.
    ///
    /// ```
    /// # if !std::path::Path::new("testdata").exists() { return Ok(()); } // not in the packaged crate
    /// let disk = vhdx_rct::Disk::open("testdata/child.avhdx")?;
    /// for next in disk.next_baselines()? {
    ///     println!("{} ({})", next.since, if next.exact { "exact" } else { "not exact" });
    /// }
    /// # assert!(!disk.next_baselines()?.is_empty());
    /// # Ok::<(), vhdx_rct::Error>(())
    /// ```
    ///
    /// # Errors
    /// Errors from reading the disk's files.
    pub fn next_baselines(&self) -> Result<Vec<NextBaseline>> {
        self.next_baselines_until(None, None)
    }

    /// Returns [`next_baselines`](Self::next_baselines), but stops at a deadline or once it is
    /// cancelled, because it may read a whole tracking table and all block tables of the leaf.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut),
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled), or errors from reading the disk's
    /// files.
    pub fn next_baselines_until(
        &self,
        deadline: Option<Instant>,
        cancel: Option<CancelToken>,
    ) -> Result<Vec<NextBaseline>> {
        let limits = Limits { deadline, cancel, ..self.limits() };
        limits.check()?;
        let mut found = Vec::new();
        if let Some(since) = self.newest_id().map(Baseline::Rct) {
            match self.is_exact(&since, &limits) {
                Ok(exact) => found.push(NextBaseline { since, exact }),
                Err(error) if error.concerns_request() => return Err(error),
                // The next question since this id would fail too. The others need no table.
                Err(error)
                    if error.needs_full_backup() || error.subject() == Subject::TrackingTable => {}
                Err(error) => return Err(error),
            }
        }
        let leaf = &self.files()[0];
        if leaf.closed_cleanly() {
            let since = Baseline::DataWriteGuid(leaf.identity().data_write_guid);
            found.push(NextBaseline { since, exact: true });
        }
        if let Some(parent) = self.files().get(1) {
            let since = Baseline::DataWriteGuid(parent.identity().data_write_guid);
            let exact = self.is_exact(&Baseline::Parent, &limits)?;
            found.push(NextBaseline { since, exact });
        }
        Ok(found)
    }

    /// Returns whether nothing changed since a baseline. If so, no file was written to during the
    /// question.
    fn is_exact(&self, since: &Baseline, limits: &Limits) -> Result<bool> {
        let mut query = self.changes(since.clone());
        query.limits = limits.clone();
        Ok(query.ranges()?.next().transpose()?.is_none())
    }
}
