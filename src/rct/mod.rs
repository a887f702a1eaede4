//! The `.rct` file, Hyper-V's resilient change tracking: which 16 KiB units were written since a
//! given id.
//!
//! Microsoft does not document it. This is what is known, and with what confidence: `published` was
//! read in a published analysis of the Windows driver, `derived` from numbers in one or from the
//! sizes of real files, `assumed` is chosen so that a wrong assumption causes a refusal, not a
//! wrong answer. [`FACTS`] has the same list as a value.
//!
#![doc = include_str!("facts.md")]

mod checksum;
mod header;
mod history;
mod id;
mod inspect;
mod layout;
mod pages;
pub mod raw;
mod table;

pub use crate::facts::{Confidence, Fact};
pub use checksum::Checksum;
pub use header::{Branch, TableHeader};
pub use id::RctId;
pub use inspect::inspect;
pub use layout::FACTS;
pub(crate) use layout::UNIT_BYTES as UNIT;
pub(crate) use table::ChangedUnits;

use crate::error::{ErrorKind, Result, Subject};
use crate::layer::{Layer, StateSet, UnitBitmap};
use crate::limits::Limits;
use crate::source::{LocalStorage, Reader};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use uuid::Uuid;

/// An open `.rct` file.
pub struct TrackingTable {
    file: Reader,
    header: TableHeader,
}

/// Ids of one branch that a disk can answer for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct KnownIds {
    /// The file of the chain whose table resolves them.
    pub file: PathBuf,
    /// The branch of the ids.
    pub branch: Uuid,
    /// The number of the oldest id.
    pub first: u32,
    /// The number of the newest id.
    pub last: u32,
}

impl KnownIds {
    /// Returns the ids, newest first.
    pub fn ids(&self) -> impl Iterator<Item = RctId> + use<> {
        let branch = self.branch;
        (self.first..=self.last).rev().map(move |number| RctId::new(branch, number))
    }
}

impl fmt::Debug for TrackingTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, header) = (self.path(), &self.header);
        f.debug_struct("TrackingTable").field("path", &path).field("header", header).finish()
    }
}

impl TrackingTable {
    /// Opens a table of this machine without its disk, so the disk's size is not checked.
    ///
    /// # Errors
    /// [`ErrorKind::UntrustedTracking`] if no header is valid; [`ErrorKind::Truncated`] if the
    /// file ends before its offset table does.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let (storage, limits) = (LocalStorage::new(), Limits::default());
        let file = Reader::open(&storage, path.as_ref(), Subject::TrackingTable, &limits)?;
        Self::read_any(file, None, &limits)
    }

    /// Reads the table of a disk of this size.
    pub(crate) fn read(file: Reader, disk_size: u64, limits: &Limits) -> Result<Self> {
        Self::read_any(file, Some(disk_size), limits)
    }

    fn read_any(file: Reader, disk_size: Option<u64>, limits: &Limits) -> Result<Self> {
        let header = TableHeader::read(&file, limits)?;
        let units = header.units;
        if let Some(size) = disk_size.filter(|&size| layout::units(size) != units) {
            let message = format!(
                "expected {} units of 16 KiB for a disk of {size} bytes, found a table of {units}: the disk was \
                 resized, or the table is another disk's; make a full backup",
                layout::units(size)
            );
            return Err(file.error(ErrorKind::UntrustedTracking, message));
        }
        let needed = layout::OFFSET_TABLE + layout::offset_pages(units) * layout::PAGE;
        if file.length() < needed {
            let message = format!(
                "a table of {units} units should have at least {needed} bytes and has {}; it was cut short",
                file.length()
            );
            return Err(file.error(ErrorKind::Truncated, message));
        }
        Ok(TrackingTable { file, header })
    }

    /// Returns the path that the table was opened with.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Returns the current header.
    #[must_use]
    pub fn header(&self) -> &TableHeader {
        &self.header
    }

    /// Returns the number of bytes of the virtual disk per unit: 16 KiB.
    #[must_use]
    pub fn unit_size(&self) -> u64 {
        layout::UNIT
    }

    /// Returns the numbers of the ids that were created, for each branch, newest branch first.
    pub fn known(&self) -> impl Iterator<Item = (Uuid, RangeInclusive<u32>)> {
        self.header.numbers().rev()
    }

    /// Returns whether this table can answer for the id.
    #[must_use]
    pub fn resolves(&self, id: RctId) -> bool {
        self.header.resolves(id)
    }

    /// Returns when the table was last modified, if it is a file of this machine.
    pub(crate) fn modified(&self) -> Option<SystemTime> {
        self.file.modified()
    }

    /// Reads and checks every page of the table.
    ///
    /// # Errors
    /// The first problem found, of kind [`ErrorKind::Corrupt`] for a page.
    pub fn check(self: &Arc<Self>) -> Result<()> {
        self.check_within(&Limits::default())
    }

    /// Runs [`check`](Self::check) with the limits of a disk.
    pub(crate) fn check_within(self: &Arc<Self>, limits: &Limits) -> Result<()> {
        let end = self.header.units.saturating_mul(layout::UNIT);
        let mut units = ChangedUnits::new(self.clone(), 0, limits);
        let (mut bitmap, mut at) = (UnitBitmap::default(), 0);
        while at < end {
            units.fill(at, end, StateSet::HELD, &mut bitmap)?;
            at = bitmap.end();
        }
        Ok(())
    }

    fn file_pages(&self) -> u64 {
        // An entry is an i32, so it cannot name a page after 2^31.
        (self.file.length() / layout::PAGE).min(1 << 31)
    }

    /// Fails with "in use" if the table was written to since it was opened.
    pub(crate) fn verify_unchanged(&self, limits: &Limits) -> Result<()> {
        if self.file.has_same_version()? {
            match TableHeader::read(&self.file, limits) {
                Ok(now) if now == self.header && self.file.length_now()? == self.file.length() => {
                    return Ok(());
                }
                Err(error)
                    if !matches!(
                        error.kind(),
                        ErrorKind::UntrustedTracking | ErrorKind::Truncated
                    ) =>
                {
                    return Err(error);
                }
                _ => {}
            }
        }
        let message = "the tracking table changed while it was read, so no range is certain; read it from a \
                       snapshot, or when nobody writes to the disk";
        Err(self.file.error(ErrorKind::Changed, message.into()))
    }
}
