//! The `.rct` file, Hyper-V's resilient change tracking: which 16 KiB units were written since
//! which id.
//!
//! Microsoft does not describe it. This is what is known, and how surely: `published` was read
//! in a published analysis of the Windows driver, `derived` from numbers in one or from the
//! sizes of real files, `assumed` is so chosen that being wrong means a refusal and not a wrong
//! answer. [`FACTS`] is the same as a value.
//!
#![doc = include_str!("facts.md")]
//!
//! [`field`](crate::field) has the layout as a table, what is still open, and what would settle it.

mod checksum;
mod header;
mod history;
mod id;
mod inspect;
mod layout;
mod pages;
mod probe;
mod table;

pub use crate::fact::{Confidence, Fact};
pub use checksum::Checksum;
pub use header::{Branch, TableHeader};
pub use id::RctId;
pub use inspect::inspect;
pub use layout::FACTS;
pub(crate) use layout::{UNIT, units};
pub(crate) use probe::{HeaderCopy, Probe, probe};
pub(crate) use table::NewerThan;

use crate::chain::{Access, Chain};
use crate::error::{Error, ErrorKind, Result};
use crate::extent::Layer;
use crate::mask::Mask;
use crate::source::{Guard, LocalStorage, Reader};
use crate::vhdx::Vhdx;
use crate::warning::Warning;
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A disk that was modified up to this much later than its table is nothing unusual.
const MAX_LAG: Duration = Duration::from_secs(2);

/// An open `.rct` file.
pub struct Tracking {
    file: Reader,
    header: TableHeader,
}

/// Ids of one branch that a disk can answer for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct KnownIds {
    /// The file of the chain whose table knows them.
    pub file: PathBuf,
    /// Their branch.
    pub branch: Uuid,
    /// The number of the oldest.
    pub first: u32,
    /// The number of the newest.
    pub last: u32,
}

impl KnownIds {
    /// The ids, newest first.
    pub fn ids(&self) -> impl Iterator<Item = RctId> + use<> {
        let branch = self.branch;
        (self.first..=self.last).rev().map(move |number| RctId::new(branch, number))
    }
}

impl Tracking {
    /// Opens the table of a disk of this size.
    ///
    /// # Errors
    /// [`ErrorKind::UntrustedTracking`] where no header is valid or the table is of a disk of
    /// another size; [`ErrorKind::Truncated`] where the file ends before its offset table does.
    pub fn open(path: impl AsRef<Path>, disk_size: u64) -> Result<Self> {
        Self::read(
            Reader::open(&LocalStorage::new(), path.as_ref(), &Guard::default())?,
            Some(disk_size),
        )
    }

    /// Opens a table whose disk is not at hand, so that its size is not checked.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_alone(path: impl AsRef<Path>) -> Result<Self> {
        let file = Reader::open(&LocalStorage::new(), path.as_ref(), &Guard::default())?;
        Self::read(file, None)
    }

    /// Opens the table beside a file of a chain; None where the file is not tracked.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn of(chain: &Chain, depth: usize) -> Result<Option<Self>> {
        let (access, disk) = (chain.access(), &chain.files()[depth]);
        let Some(path) = companion(chain, depth, ".rct")? else { return Ok(None) };
        let file = Reader::open(&*access.storage, &path, &access.guard)?;
        Self::read(file, Some(disk.virtual_size())).map(Some)
    }

    fn read(file: Reader, disk_size: Option<u64>) -> Result<Self> {
        let header = TableHeader::read(&file)?;
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
        Ok(Tracking { file, header })
    }

    /// The path that it was opened with.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The current header.
    pub fn header(&self) -> &TableHeader {
        &self.header
    }

    /// How many bytes of the virtual disk a unit stands for: 16 KiB.
    pub fn unit_size(&self) -> u64 {
        layout::UNIT
    }

    /// The numbers of the ids that were created, of each branch, newest branch first.
    pub fn known(&self) -> impl Iterator<Item = (Uuid, RangeInclusive<u32>)> {
        self.header.numbers().rev()
    }

    /// Can this table answer for the id?
    pub fn resolves(&self, id: RctId) -> bool {
        self.header.resolves(id)
    }

    /// A warning if the disk was modified noticeably later than this table of it. Windows writes
    /// both, so a program that knows no tables may have written to the disk since.
    pub(crate) fn lags_behind(&self, disk: &Vhdx) -> Option<Warning> {
        let (table, disk_time) = (self.file.modified()?, disk.modified()?);
        let distance = disk_time.duration_since(table).ok().filter(|time| *time > MAX_LAG)?;
        let message = format!(
            "the disk was modified {} s after its tracking table, which may not list what was written last",
            distance.as_secs()
        );
        Some(Warning::new(disk.path(), message))
    }

    /// Walks the whole table as a question would: every page is read and checked.
    ///
    /// # Errors
    /// What is wrong first, of kind [`ErrorKind::Corrupt`] where a page is.
    pub fn check(self: &Arc<Self>) -> Result<()> {
        let end = self.header.units.saturating_mul(layout::UNIT);
        let (mut table, mut mask, mut at) = (NewerThan::new(self.clone(), 0), Mask::default(), 0);
        while at < end {
            table.mask(at, end, |_| true, &mut mask)?;
            at = mask.end();
        }
        Ok(())
    }

    fn file_pages(&self) -> u64 {
        // An entry is an i32, so no page behind 2^31 can be named.
        (self.file.length() / layout::PAGE).min(1 << 31)
    }

    /// Fails with "in use" where the table was written to since it was opened.
    pub(crate) fn must_be_unchanged(&self) -> Result<()> {
        if self.file.has_same_version()? {
            match TableHeader::read(&self.file) {
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

/// The companion of this extension, `.rct` or `.mrt`, of a file of a chain: the extension is
/// added to the whole name. It lies beside the path that was asked for or, where that is a
/// link, beside the file. None where there is none; where nobody can tell, an error: a table
/// that is overlooked is a shorter answer.
pub(crate) fn companion(chain: &Chain, depth: usize, extension: &str) -> Result<Option<PathBuf>> {
    for disk in [chain.files()[depth].path(), chain.name(depth)] {
        if let Some(found) = beside(chain.access(), disk, extension)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn beside(access: &Access, disk: &Path, extension: &str) -> Result<Option<PathBuf>> {
    let mut name: OsString = disk.file_name().unwrap_or_default().to_owned();
    name.push(extension);
    let path = disk.with_file_name(name);
    let found = access.try_existing(&path).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => {
            let message = "its folder lists it, and it is not there: a link to a file that is gone";
            Error::new(ErrorKind::UntrustedTracking, message).in_file(&path)
        }
        _ => Error::io("cannot be looked for", cause).in_file(&path),
    })?;
    let Some(found) = found.into_iter().next() else { return Ok(None) };
    // It may lie where its disk may: beside it, or where a link may lead.
    let home = path.parent().filter(|home| !home.as_os_str().is_empty());
    let home = access.canonical(home.unwrap_or(Path::new(".")));
    if found.parent() != home.ok().as_deref() && !access.permits(&found) {
        let message = "it leads out of the folders that the request is confined to, so what it says is unknown";
        return Err(Error::new(ErrorKind::UntrustedTracking, message).in_file(&path));
    }
    Ok(Some(found))
}
