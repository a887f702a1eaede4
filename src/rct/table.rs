//! The open file.

use super::error::RctError;
use super::header::CurrentHeader;
use super::layout::{self, OFFSET_TABLE, PAGE, UNIT, offset_pages};
use super::{ChangedUnits, Checksum, RctId, TableHeader};
use crate::error::{ErrorKind, Result, Subject};
use crate::layer::{Layer, StateSet, UnitBitmap};
use crate::limits::Limits;
use crate::source::Reader;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use uuid::Uuid;

/// An open `.rct` file: the tracking table of one disk file.
pub struct TrackingTable {
    pub(super) file: Reader,
    current: CurrentHeader,
}

impl_debug!(TrackingTable, |table| path: table.path(), header: table.header());

impl TrackingTable {
    /// Opens a table of this machine without its disk, so that the table is not checked against the
    /// disk's size.
    ///
    /// # Errors
    /// [`ErrorKind::UntrustedTracking`] if no header is valid; [`ErrorKind::Truncated`] if the
    /// file ends before its offset table does.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let file = Reader::open_local(path.as_ref(), Subject::TrackingTable)?;
        Self::read(file, None, &Limits::default())
    }

    /// Reads the table of a disk of this size, or of any size.
    pub(crate) fn read(file: Reader, disk_size: Option<u64>, limits: &Limits) -> Result<Self> {
        let current = CurrentHeader::read(file.within(limits))?;
        let units = current.header.units;
        if let Some(disk_size) = disk_size.filter(|&size| layout::units(size) != units) {
            let expected = layout::units(disk_size);
            return Err(file.name(RctError::Units { expected, disk_size, found: units }));
        }
        let expected = OFFSET_TABLE + offset_pages(units) * PAGE;
        if file.length < expected {
            return Err(file.name(RctError::Length { units, expected, found: file.length }));
        }
        Ok(TrackingTable { file, current })
    }

    /// Returns the path that the table was opened with.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Returns the current header.
    #[must_use]
    pub fn header(&self) -> &TableHeader {
        &self.current.header
    }

    /// Returns the index of the current header's copy: 0 (at 0x1000) or 1 (at 0x5000).
    #[must_use]
    pub fn header_copy(&self) -> usize {
        self.current.copy
    }

    /// Returns the convention by which the checksums of the headers are correct.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        self.current.checksum
    }

    /// Returns the number of bytes of the virtual disk per unit: 16 KiB.
    #[must_use]
    pub fn unit_size(&self) -> u64 {
        UNIT
    }

    /// Returns, for each branch, its GUID and the range of its id numbers, newest branch first.
    pub fn known(&self) -> impl Iterator<Item = (Uuid, RangeInclusive<u32>)> {
        self.header().numbers().rev()
    }

    /// Returns whether this table can answer for the id.
    #[must_use]
    pub fn resolves(&self, id: RctId) -> bool {
        self.header().resolves(id)
    }

    /// Returns when the table was last modified, if it is a file of this machine.
    pub(crate) fn modified(&self) -> Option<SystemTime> {
        self.file.modified()
    }

    /// Reads and checks every page of the table.
    ///
    /// # Errors
    /// The first problem found, of kind [`ErrorKind::Corrupt`] for a page; errors from reading.
    pub fn check(self: &Arc<Self>) -> Result<()> {
        self.check_within(&Limits::default())
    }

    /// Runs [`check`](Self::check) with the limits of a disk.
    pub(crate) fn check_within(self: &Arc<Self>, limits: &Limits) -> Result<()> {
        let end = self.header().units.saturating_mul(UNIT);
        let mut units = ChangedUnits::new(self.clone(), 0, limits);
        let (mut bitmap, mut at) = (UnitBitmap::new(StateSet::HELD), 0);
        while at < end {
            units.fill(at, end, &mut bitmap)?;
            at = bitmap.end();
        }
        Ok(())
    }

    /// Fails with "in use" if the table was written to since it was opened.
    pub(crate) fn verify_unchanged(&self, limits: &Limits) -> Result<()> {
        use ErrorKind::{Truncated, UntrustedTracking};
        let file = self.file.within(limits);
        if file.has_same_version()? && file.has_same_length()? {
            match CurrentHeader::read(file) {
                Ok(now) if now == self.current => return Ok(()),
                Err(error) if !matches!(error.kind(), UntrustedTracking | Truncated) => {
                    return Err(error);
                }
                _ => {}
            }
        }
        Err(file.name(RctError::Changed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SliceSource;
    use std::error::Error;

    #[test]
    fn source_is_the_sentence_of_the_format() {
        let zeros = Arc::new(SliceSource(vec![0; 0xA000]));
        let file = Reader::new(Path::new("a.rct"), Subject::TrackingTable, Ok(zeros)).unwrap();
        let error = TrackingTable::read(file, Some(1 << 20), &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UntrustedTracking);
        let source = error.source().unwrap();
        assert!(source.is::<RctError>(), "{source:?}");
        assert!(source.to_string().starts_with("neither header"), "{source}");
        assert_eq!(error.to_string(), format!("a.rct: {source}"));
    }
}
