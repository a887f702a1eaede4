//! One VHDX file: headers, region table, log overlay, metadata, parent locator, BAT and sector
//! bitmaps. Opening takes the same time whatever the disk's size.

mod bat;
mod bitmap;
mod check;
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
pub use header::{CopyState, Header};
pub use locator::ParentLocator;
pub use metadata::Metadata;
pub use region::Region;

use crate::error::{ErrorKind, Result, Subject};
use crate::limits::Limits;
use crate::source::{Reader, Source, Storage};
use bat::{BAT_ENTRY, BadEntry, BatEntry};
use region::Regions;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// An open `.vhdx` or `.avhdx` file, read as if its log had been replayed.
pub(crate) struct Vhdx {
    file: Reader,
    creator: String,
    header: Header,
    header_copies: [CopyState; 2],
    regions: Regions,
    metadata: Metadata,
    shape: BatShape,
    replayed: Option<usize>,
    log_findings: FileCheck,
}

impl Vhdx {
    /// Opens a file of the storage.
    pub(crate) fn open(
        storage: &dyn Storage,
        path: &Path,
        subject: Subject,
        limits: &Limits,
    ) -> Result<Self> {
        let file = Reader::open(storage, path, subject, limits)?;
        let start = Self::read_start(&file, limits)?;
        Self::read(file, start, limits)
    }

    /// Reads the header section up to the end of the region tables, or up to the end of the file.
    pub(crate) fn read_start(file: &Reader, limits: &Limits) -> Result<Vec<u8>> {
        let length = file.length().min(layout::HEADER_TABLES_END);
        file.read_vec(limits, 0, length as usize, "the header section")
    }

    /// Reads a file whose start has already been read.
    pub(crate) fn read(mut file: Reader, start: Vec<u8>, limits: &Limits) -> Result<Self> {
        let creator = header::read_identifier(&file, &start, limits)?;
        let (header, header_copies) = header::parse_pair(&file, &start, 0)?;
        let (mut replayed, mut log_findings) = (None, FileCheck::default());
        let mut start = start;
        if !header.log_guid.is_nil() {
            let replay = log::replay(&file, &header, limits)?;
            file.set_overlay(replay.overlay, replay.reservation, replay.length);
            replayed = Some(replay.entries);
            log_findings = replay.findings;
            // The log may replace the region tables, too.
            start = Self::read_start(&file, limits)?;
        }
        let regions = Regions::read(&file, &start, &header)?;
        let metadata = Metadata::read(&file, &regions.metadata, limits)?;
        let shape = BatShape::of(&metadata);
        if shape.entries * BAT_ENTRY > regions.bat.length {
            let message = format!(
                "a disk of {} bytes in blocks of {} bytes needs {} BAT entries, but the BAT region has room for {}",
                metadata.virtual_size,
                metadata.block_size,
                shape.entries,
                regions.bat.length / BAT_ENTRY
            );
            return Err(file.error(ErrorKind::BatCorrupt, message));
        }
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

    /// Returns the path that the file was opened with.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Returns the name of the program that wrote the file; diagnostic only.
    pub(crate) fn creator(&self) -> &str {
        &self.creator
    }

    /// Returns the current header.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the state of both header copies.
    pub(crate) fn header_copies(&self) -> [CopyState; 2] {
        self.header_copies
    }

    /// Returns the log (with a nil id) and the regions, by offset.
    pub(crate) fn regions(&self) -> &[Region] {
        &self.regions.all
    }

    /// Returns the properties of the virtual disk.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Returns the number of log entries that were replayed (in memory); None if the log was empty.
    pub(crate) fn replayed_log_entries(&self) -> Option<usize> {
        self.replayed
    }

    /// Returns whether the program that wrote the file closed it. If not, its log holds updates,
    /// and the tracking table beside it may be out of date.
    pub(crate) fn closed_cleanly(&self) -> bool {
        self.header.log_guid.is_nil()
    }

    /// Returns the length of the stored file in bytes.
    pub(crate) fn file_length(&self) -> u64 {
        self.file.stored_length()
    }

    /// Returns the virtual disk's size in bytes.
    pub(crate) fn virtual_size(&self) -> u64 {
        self.metadata.virtual_size
    }

    /// Returns when the file was last modified, if it is a file of this machine.
    pub(crate) fn modified(&self) -> Option<SystemTime> {
        self.file.modified()
    }

    /// Fills `buffer` with bytes of a payload block, after log replay.
    pub(crate) fn read_payload(
        &self,
        limits: &Limits,
        buffer: &mut [u8],
        offset: u64,
    ) -> Result<()> {
        self.file.read(limits, buffer, offset, "a payload block")
    }

    /// Returns the file's bytes as they are stored.
    pub(crate) fn source(&self) -> &Arc<dyn Source> {
        self.file.source()
    }

    /// See [`Reader::stored_run`].
    pub(crate) fn stored_run(&self, offset: u64, until: u64) -> (u64, bool) {
        self.file.stored_run(offset, until)
    }

    /// Creates an error about this file.
    pub(crate) fn error(&self, kind: ErrorKind, message: String) -> crate::Error {
        self.file.error(kind, message)
    }

    /// Fails if the file was written to since it was opened, or if its path leads to another file.
    pub(crate) fn verify_version(&self) -> Result<()> {
        if self.file.has_same_version()? { Ok(()) } else { Err(self.changed()) }
    }

    /// Fails with "in use" if the file was changed since it was opened.
    pub(crate) fn verify_unchanged(&self, limits: &Limits) -> Result<()> {
        self.verify_version()?;
        // Some sources have no version, but a program that opens the file for writing changes its
        // header.
        let header = header::read_pair(&self.file, limits).map_err(|error| match error.kind() {
            ErrorKind::Corrupt | ErrorKind::Truncated | ErrorKind::UnsupportedVersion => {
                self.changed()
            }
            _ => error,
        })?;
        let state = |header: &Header| (header.sequence_number, header.file_write_guid);
        if state(&header) != state(&self.header)
            || self.file.length_now()? != self.file.stored_length()
        {
            return Err(self.changed());
        }
        Ok(())
    }

    fn changed(&self) -> crate::Error {
        let message = "the file changed while it was read, so no range is certain; read it from a snapshot of the \
                       storage, or when no program writes to it";
        self.file.error(ErrorKind::Changed, message.into())
    }

    /// Returns a payload block's state; if it has a block, its place was checked against the file.
    /// Without a parent, a partially present block is read as a fully present one.
    fn payload(&self, entry: BatEntry, block: u64) -> Result<PayloadState> {
        let bad_entry = |bad| self.bad_entry(entry, "block", block, bad);
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
        let place = entry.has_bitmap().and_then(|is_present| {
            if !is_present {
                let missing = "is not present, though a block of its chunk is partially present";
                return Err(BadEntry(missing));
            }
            self.check_place(entry.offset(), layout::BITMAP_BLOCK).map(|()| entry.offset())
        });
        place.map_err(|bad| self.bad_entry(entry, "sector bitmap", chunk, bad))
    }

    fn check_place(&self, offset: u64, length: u64) -> std::result::Result<(), BadEntry> {
        if offset < layout::HEADER_SECTION {
            return Err(BadEntry("points into the header section"));
        }
        match offset.checked_add(length) {
            Some(end) if end > self.file.length() => {
                Err(BadEntry("points past the end of the file"))
            }
            None => Err(BadEntry("points past the end of the file")),
            Some(end) if self.regions.occupied(offset, end) => {
                Err(BadEntry("points into the log, the BAT or another region"))
            }
            Some(_) => Ok(()),
        }
    }

    fn bad_entry(&self, entry: BatEntry, what: &str, index: u64, bad: BadEntry) -> crate::Error {
        let message = format!(
            "the BAT entry of {what} {index}, {entry}, {} (the file ends at {:#x})",
            bad.0,
            self.file.length()
        );
        self.file.error(ErrorKind::BatCorrupt, message)
    }
}
