//! Changed ranges with what they hold.

use super::Changes;
use crate::chain::{Cutter, DiskExtent};
use crate::error::{Error, Result};
use crate::vhdx::Grain;

/// The changed ranges, each cut into what has data and what reads as zeros; together they
/// cover exactly what [`Changes`] gives, and the same holds of their last `Err`.
pub struct ChangedExtents {
    changes: Changes,
    cutter: Cutter,
    done: bool,
}

impl ChangedExtents {
    pub(super) fn new(changes: Changes) -> Result<Self> {
        let mut chain = changes.disk_chain().clone();
        chain.complete()?;
        Ok(ChangedExtents { changes, cutter: Cutter::new(chain.stack(Grain::State)), done: false })
    }

    /// The ranges that are being cut.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    fn advance(&mut self) -> Result<Option<DiskExtent>> {
        loop {
            if let Some(extent) = self.cutter.next()? {
                return Ok(Some(extent));
            }
            match self.changes.next().transpose()? {
                Some(range) => self.cutter.set_region(range.into()),
                None => return Ok(None),
            }
        }
    }
}

impl Iterator for ChangedExtents {
    type Item = std::result::Result<DiskExtent, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let result = self.advance();
        self.done = !matches!(result, Ok(Some(_)));
        result.transpose()
    }
}

impl std::iter::FusedIterator for ChangedExtents {}
