//! The baselines for the next backup.

use crate::baseline::{Baseline, NextBaseline};
use crate::disk::Disk;
use crate::error::Result;

impl Disk {
    /// Returns the baselines that the next backup of this disk can use, best first. Empty if only a
    /// full backup is possible.
    ///
    /// # Errors
    /// Errors from reading the leaf's tracking table and block tables.
    pub fn next_baselines(&self) -> Result<Vec<NextBaseline>> {
        let mut found = Vec::new();
        if let Some(since) = self.newest_id().map(Baseline::Rct) {
            let exact = self.is_exact(&since)?;
            found.push(NextBaseline { since, exact });
        }
        let leaf = &self.files()[0];
        if leaf.closed_cleanly() {
            let since = Baseline::DataWriteGuid(leaf.identity().data_write_guid);
            found.push(NextBaseline { since, exact: true });
        }
        if let Some(parent) = self.files().get(1) {
            let since = Baseline::DataWriteGuid(parent.identity().data_write_guid);
            let exact = self.is_exact(&Baseline::Parent)?;
            found.push(NextBaseline { since, exact });
        }
        Ok(found)
    }

    /// Returns whether nothing changed since a baseline. If so, no file was written to during the
    /// question.
    fn is_exact(&self, since: &Baseline) -> Result<bool> {
        Ok(self.changes(since.clone()).ranges()?.next().transpose()?.is_none())
    }
}
