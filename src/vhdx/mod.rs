//! One VHDX file: headers, region table, log overlay, metadata, parent locator, BAT and
//! sector bitmaps. Opening costs the same whatever the disk's size.

mod bat;
mod bitmap;
mod check;
mod extents;
mod header;
mod layout;
mod locator;
mod log;
mod masks;
mod metadata;
mod parts;
mod region;

pub use bat::BatShape;
pub(crate) use bat::Payload;
pub use check::CheckReport;
pub(crate) use extents::{Extents, Grain};
pub use header::{CopyState, Header};
pub use locator::ParentLocator;
pub use metadata::Metadata;
pub(crate) use parts::Block;
pub use region::Region;

use crate::error::{ErrorKind, Result};
use crate::source::{Guard, LocalStorage, Reader, Source, Storage};
use bat::BadEntry;
use region::Regions;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use uuid::Uuid;

/// An open `.vhdx` or `.avhdx` file, read as if its log had been replayed.
///
/// ```
/// # if !std::path::Path::new("testdata").exists() { return Ok(()); } // not in the packaged crate
/// let file = vhdx_rct::vhdx::Vhdx::open("testdata/child.avhdx")?;
/// assert_eq!(file.virtual_size(), 4 << 20);
/// assert!(file.metadata().has_parent() && file.closed_cleanly());
/// assert_eq!(file.check()?.findings, [""; 0]);
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
pub struct Vhdx {
    file: Reader,
    creator: String,
    header: Header,
    header_copies: [CopyState; 2],
    regions: Regions,
    metadata: Metadata,
    shape: BatShape,
    replayed: Option<usize>,
    log_findings: CheckReport,
}

/// What must not change while a file is read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    sequence_number: u64,
    file_write_guid: Uuid,
    length: u64,
}

impl Vhdx {
    /// Opens a file of this machine. Reads some 200 KB and the log, whatever the disk's size.
    ///
    /// # Errors
    /// Whatever [`ErrorKind`] lists for a single file; a file that breaks a rule of
    /// [MS-VHDX] is refused rather than read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_in(&LocalStorage::new(), path.as_ref(), &Guard::default())
    }

    /// Reads a disk from anything that gives bytes; `name` stands in errors.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_source(source: Arc<dyn Source>, name: impl AsRef<Path>) -> Result<Self> {
        Self::read(Reader::new(name.as_ref(), source, Guard::default())?)
    }

    pub(crate) fn open_in(storage: &dyn Storage, path: &Path, guard: &Guard) -> Result<Self> {
        Self::read(Reader::open(storage, path, guard)?)
    }

    fn read(mut file: Reader) -> Result<Self> {
        let creator = header::read_identifier(&file)?;
        let (header, header_copies) = header::read_pair(&file)?;
        let (mut replayed, mut log_findings) = (None, CheckReport::default());
        if !header.log_guid.is_nil() {
            let replay = log::replay(&file, &header)?;
            file.set_overlay(replay.overlay, replay.lease, replay.length);
            replayed = Some(replay.entries);
            log_findings = replay.findings;
        }
        let regions = Regions::read(&file, &header)?;
        let metadata = Metadata::read(&file, &regions.metadata)?;
        let shape = BatShape::of(&metadata);
        if shape.entries * layout::BAT_ENTRY > regions.bat.length {
            let message = format!(
                "a disk of {} bytes in blocks of {} needs {} BAT entries, and the BAT region has room for {}",
                metadata.virtual_size,
                metadata.block_size,
                shape.entries,
                regions.bat.length / layout::BAT_ENTRY
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

    /// The path that it was opened with.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Which program wrote the file; diagnostic only.
    pub fn creator(&self) -> &str {
        &self.creator
    }

    /// The current header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The state of both header copies.
    pub fn header_copies(&self) -> [CopyState; 2] {
        self.header_copies
    }

    /// The state of both region table copies; the second is looked at too.
    pub fn region_table_copies(&self) -> [CopyState; 2] {
        self.regions.states
    }

    /// The log (nil id) and the regions, by offset.
    pub fn regions(&self) -> &[Region] {
        &self.regions.all
    }

    /// What the virtual disk is.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The arithmetic of the block allocation table.
    pub fn bat_shape(&self) -> BatShape {
        self.shape
    }

    /// How many log entries were replayed (in memory); None where the log was empty.
    pub fn replayed_log_entries(&self) -> Option<usize> {
        self.replayed
    }

    /// Was the file closed by whoever had it open for writing? Where not, its log holds
    /// updates, and what is kept beside it may lag behind.
    pub fn closed_cleanly(&self) -> bool {
        self.header.log_guid.is_nil()
    }

    /// The file's length in bytes on its medium.
    pub fn file_length(&self) -> u64 {
        self.file.stored_length()
    }

    /// The virtual disk's size in bytes.
    pub fn virtual_size(&self) -> u64 {
        self.metadata.virtual_size
    }

    /// When the file was last modified, as far as it is a file of this machine.
    pub(crate) fn modified(&self) -> Option<SystemTime> {
        self.file.modified()
    }

    /// Fills `buffer` with the file's bytes after log replay.
    pub(crate) fn read_file(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.file.read(buffer, offset, "a payload block")
    }

    /// Fails with "in use" where somebody changed the file since it was opened.
    pub(crate) fn must_be_unchanged(&self) -> Result<()> {
        if !self.file.has_same_version()? {
            return Err(self.changed());
        }
        // Not every source has a version, and a writer that opens a file changes its header.
        let (header, _) = header::read_pair(&self.file).map_err(|error| match error.kind() {
            ErrorKind::Corrupt | ErrorKind::Truncated | ErrorKind::UnsupportedVersion => {
                self.changed()
            }
            _ => error,
        })?;
        let now = Identity::of(&header, self.file.length_now()?);
        if now != Identity::of(&self.header, self.file.stored_length()) {
            return Err(self.changed());
        }
        Ok(())
    }

    fn changed(&self) -> crate::Error {
        let message = "the file changed while it was read, so no range is certain; read it from a snapshot, \
                       or when nobody writes to it";
        self.file.error(ErrorKind::Changed, message.into())
    }

    /// A payload block's state, checked against the file. Without a parent, a partially
    /// present block is read as a fully present one.
    fn payload(&self, entry: u64, block: u64) -> Result<Payload> {
        let bad_entry = |bad| self.bad_entry(entry, "block", block, bad);
        let payload = match Payload::parse(entry).map_err(bad_entry)? {
            Payload::Partial(offset) if !self.metadata.has_parent() => Payload::Full(offset),
            payload => payload,
        };
        if let Payload::Full(offset) | Payload::Partial(offset) = payload {
            self.check_place(offset, self.used_bytes(block)).map_err(bad_entry)?;
        }
        Ok(payload)
    }

    /// How much of a block the disk uses: all of it, or as far as the disk reaches. The file
    /// may end, or go on with something else, where the disk does.
    fn used_bytes(&self, block: u64) -> u64 {
        let block_size = u64::from(self.metadata.block_size);
        block_size.min(self.metadata.virtual_size - block * block_size)
    }

    /// Where the sector bitmap of a chunk lies that has a partially present block, checked
    /// against the file.
    fn bitmap(&self, entry: u64, chunk: u64) -> Result<u64> {
        let place = bat::parse_bitmap(entry).and_then(|place| {
            let missing = "is not present, though a block of its chunk is partially present";
            let offset = place.ok_or(BadEntry(missing))?;
            self.check_place(offset, layout::BITMAP_BLOCK).map(|()| offset)
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

    fn bad_entry(&self, entry: u64, what: &str, index: u64, bad: BadEntry) -> crate::Error {
        let message = format!(
            "the BAT entry of {what} {index}, {entry:#018x}, {} (the file ends at {:#x})",
            bad.0,
            self.file.length()
        );
        self.file.error(ErrorKind::BatCorrupt, message)
    }
}

impl Identity {
    fn of(header: &Header, length: u64) -> Self {
        let Header { sequence_number, file_write_guid, .. } = *header;
        Identity { sequence_number, file_write_guid, length }
    }
}
