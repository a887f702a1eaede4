//! The baselines for the next backup.

use super::Disk;
use crate::baseline::{Baseline, NextBaseline};
use crate::error::Result;
use crate::limits::Limits;
use crate::query::{Plan, Reference};

impl Disk {
    /// Returns the baselines that the next backup of this disk can use, best first. Empty if only a
    /// full backup is possible.
    ///
    /// # Errors
    /// Errors from reading the leaf's tracking table and block tables.
    pub fn next_baselines(&self) -> Result<Vec<NextBaseline>> {
        let (mut found, limits) = (Vec::new(), self.limits());
        if let Some(id) = self.newest_id() {
            let exact = !self.has_changes(&Reference::Rct(id), &limits)?;
            found.push(NextBaseline { since: Baseline::Rct(id), exact });
        }
        let leaf = self.0.chain.leaf();
        if leaf.closed_cleanly() {
            let since = Baseline::DataWriteGuid(leaf.header().data_write_guid);
            found.push(NextBaseline { since, exact: true });
        }
        if let Some(parent) = self.0.chain.files().get(1) {
            let since = Baseline::DataWriteGuid(parent.vhdx.header().data_write_guid);
            let exact = !self.has_changes(&Reference::Parent, &limits)?;
            found.push(NextBaseline { since, exact });
        }
        Ok(found)
    }

    /// Returns whether anything changed since a reference. If it returns false, no file was written
    /// to during the check.
    fn has_changes(&self, reference: &Reference, limits: &Limits) -> Result<bool> {
        let mut plan = Plan::new(&self.tables(), reference, limits)?;
        let tables = std::mem::take(&mut plan.tables);
        let mut ranges = Vec::new();
        plan.scan(0..self.identity().virtual_size).next_ranges(&mut ranges)?;
        if !ranges.is_empty() {
            return Ok(true);
        }
        self.verify_files(limits)?;
        tables.iter().try_for_each(|table| table.verify_unchanged(limits))?;
        Ok(false)
    }
}
