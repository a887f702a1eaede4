//! The structures of a VHDX file that [`DiskFile`](crate::DiskFile) returns: headers, regions,
//! metadata and parent locator.
//!
//! Numbers in parentheses, such as (2.2.2), are sections of [MS-VHDX].
//!
//! [MS-VHDX]: https://learn.microsoft.com/openspecs/windows_protocols/ms-vhdx

mod bat;
mod bitmap;
mod check;
mod error;
mod extents;
mod header;
mod layout;
mod locator;
mod log;
mod metadata;
mod parts;
mod region;
mod scan;

pub(crate) use bat::{BatShape, PayloadState};
pub(crate) use check::FileCheck;
pub(crate) use extents::{Coalescing, Extents};
pub use header::CopyState;
pub use layout::{Header, Region};
pub use locator::ParentLocator;
pub use metadata::Metadata;

use crate::error::{ErrorKind, Result};
use crate::limits::Limits;
use crate::source::{FileView, Reader, Window};
use bat::{BAT_ENTRY, BatEntry};
use error::{EntryDefect, VhdxError, ensure};
use region::Regions;

/// An open `.vhdx` or `.avhdx` file, read as if its log had been replayed.
pub(crate) struct Vhdx {
    pub file: Reader,
    /// The name of the program that wrote the file; diagnostic only.
    pub creator: String,
    /// The current header.
    pub header: Header,
    pub header_copies: [CopyState; 2],
    pub regions: Regions,
    pub metadata: Metadata,
    shape: BatShape,
    /// The number of log entries that were replayed (in memory); None if the log was empty.
    pub replayed: Option<usize>,
    log_findings: FileCheck,
}

impl Vhdx {
    /// Reads an open file.
    pub(crate) fn open(file: Reader, limits: &Limits) -> Result<Self> {
        let start = Self::read_start(file.within(limits))?;
        Self::read(file, start, limits)
    }

    /// Reads the header section up to the end of the region tables, or up to the end of the file.
    pub(crate) fn read_start(file: FileView<'_>) -> Result<Vec<u8>> {
        let length = file.length.min(layout::HEADER_TABLES_END);
        file.read_vec(0, length as usize, "the header section")
    }

    /// Reads a file whose start has already been read.
    pub(crate) fn read(mut file: Reader, mut start: Vec<u8>, limits: &Limits) -> Result<Self> {
        let name = |error| file.name(error);
        let creator = header::read_identifier(file.within(limits), &start).map_err(name)?;
        let (header, header_copies) = header::parse_pair(&start, 0).map_err(name)?;
        let (mut replayed, mut log_findings) = (None, FileCheck::default());
        if !header.log_guid.is_nil() {
            let replay = log::replay(file.within(limits), &header).map_err(name)?;
            file.set_overlay(replay.overlay, replay.length);
            replayed = Some(replay.entries);
            log_findings = replay.findings;
            // The log may replace the region tables, too.
            start = Self::read_start(file.within(limits))?;
        }
        let name = |error| file.name(error);
        let regions = Regions::parse(&start, &header).map_err(name)?;
        let metadata = Metadata::read(file.within(limits), &regions.metadata).map_err(name)?;
        let shape = BatShape::of(&metadata);
        let (needed, found) = (shape.entries, regions.bat.length / BAT_ENTRY);
        let Metadata { virtual_size: size, block_size, .. } = metadata;
        let too_short = VhdxError::BatLength { size, block_size, needed, found };
        ensure(needed <= found, too_short).map_err(|error| file.name(error))?;
        Ok(Vhdx {
            file,
            creator,
            header,
            header_copies,
            regions,
            metadata,
            shape,
            replayed,
            log_findings,
        })
    }

    /// Returns whether the program that wrote the file closed it. If not, its log holds updates,
    /// and the tracking table beside it may be out of date.
    pub(crate) fn closed_cleanly(&self) -> bool {
        self.header.log_guid.is_nil()
    }

    /// Returns the virtual disk's size in bytes.
    pub(crate) fn virtual_size(&self) -> u64 {
        self.metadata.virtual_size
    }

    /// Fails if the file was written to since it was opened, or if its path leads to another file.
    pub(crate) fn verify_version(&self) -> Result<()> {
        if self.file.has_same_version()? { Ok(()) } else { Err(self.changed()) }
    }

    /// Fails with "in use" if the file was changed since it was opened.
    pub(crate) fn verify_unchanged(&self, limits: &Limits) -> Result<()> {
        let verify = |is_unchanged| if is_unchanged { Ok(()) } else { Err(self.changed()) };
        verify(self.file.has_same_version()?)?;
        // Some sources have no version, but a program that opens the file for writing changes its
        // header.
        let header =
            header::read_pair(self.file.within(limits)).map_err(|error| match error.kind() {
                ErrorKind::Corrupt | ErrorKind::Truncated | ErrorKind::UnsupportedVersion => {
                    self.changed()
                }
                _ => self.file.name(error),
            })?;
        let state = |header: &Header| (header.sequence_number, header.file_write_guid);
        verify(self.file.has_same_length()? && state(&header) == state(&self.header))
    }

    fn changed(&self) -> crate::Error {
        self.file.name(VhdxError::Changed)
    }

    /// Returns the offset of a BAT entry in the file.
    fn entry_offset(&self, index: u64) -> u64 {
        self.regions.bat.offset + index * BAT_ENTRY
    }

    fn bat_window(&self) -> Window {
        Window::new("the BAT", self.regions.bat.offset, self.entry_offset(self.shape.entries))
    }

    /// Returns a payload block's state, after checking the block's place against the file.
    /// Without a parent, a partially present block is read as a fully present one.
    fn payload(&self, entry: BatEntry, block: u64) -> Result<PayloadState> {
        let bad_entry = |defect| self.bad_entry(entry, "block", block, defect);
        let state = match entry.state().map_err(bad_entry)? {
            PayloadState::PartiallyPresent if !self.metadata.has_parent() => {
                PayloadState::FullyPresent
            }
            state => state,
        };
        if state.has_block() {
            self.check_place(entry.offset(), self.used_bytes(block)).map_err(bad_entry)?;
        }
        Ok(state)
    }

    /// Returns how much of a block the disk uses: all of it, or the part before the disk's end. The
    /// file may end there or continue with something else.
    fn used_bytes(&self, block: u64) -> u64 {
        let block_size = u64::from(self.metadata.block_size);
        block_size.min(self.metadata.virtual_size - block * block_size)
    }

    /// Returns the place of the sector bitmap of a chunk that has a partially present block,
    /// checked against the file.
    fn bitmap(&self, entry: BatEntry, chunk: u64) -> Result<u64> {
        let place = match entry.has_bitmap() {
            Ok(true) => self.check_place(entry.offset(), layout::BITMAP_BLOCK),
            Ok(false) => Err(EntryDefect::NoBitmap),
            Err(defect) => Err(defect),
        };
        place
            .map(|()| entry.offset())
            .map_err(|defect| self.bad_entry(entry, "sector bitmap", chunk, defect))
    }

    fn check_place(&self, offset: u64, length: u64) -> Result<(), EntryDefect> {
        let end = offset.checked_add(length).filter(|&end| end <= self.file.length);
        ensure(offset >= layout::HEADER_SECTION, EntryDefect::HeaderSection)?;
        let end = end.ok_or(EntryDefect::PastEnd)?;
        ensure(!self.regions.occupied(offset, end), EntryDefect::Region)
    }

    fn bad_entry(
        &self,
        entry: BatEntry,
        what: &'static str,
        index: u64,
        defect: EntryDefect,
    ) -> crate::Error {
        let end = self.file.length;
        self.file.name(VhdxError::BatEntry { what, index, entry, defect, end })
    }
}
