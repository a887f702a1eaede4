//! The log as a ring of 4 KiB sectors: finds complete entries and replays one.

use super::super::header::Header;
use super::super::layout::*;
use super::Replay;
use super::entry::{BrokenRule, Descriptor, Entry};
use crate::error::{ErrorKind, Result};
use crate::limits::Limits;
use crate::size::to_usize;
use crate::source::{Overlay, OverlayEntry, Reader, Window};
use crate::wire::{Fields, checksum};

/// The entries of one pass around the ring do not overlap, and partially written ones may leave
/// entries of the previous pass visible. A log whose entries cover more is built to waste time on
/// checksums.
const MAX_COVER: u64 = 2;

/// The number of bytes of the log that are read at once: the length of most logs.
const WINDOW: u64 = MB;

/// The approximate memory that one entry takes until the log is replayed.
const ENTRY_BYTES: u64 = 256;

/// Every completely written entry of a log: its length is possible and its checksum correct.
#[derive(Default)]
pub(super) struct WholeEntries {
    pub valid: Vec<Entry>,
    pub broken: Vec<(Entry, BrokenRule)>,
}

/// The log's place in the file.
pub(super) struct Ring<'a> {
    file: &'a Reader,
    limits: &'a Limits,
    pub offset: u64,
    pub length: u64,
    window: Window,
    /// The number of bytes whose checksum was computed.
    covered: u64,
}

impl<'a> Ring<'a> {
    pub(super) fn new(file: &'a Reader, header: &Header, limits: &'a Limits) -> Self {
        let (offset, length) = (header.log_offset, header.log_length);
        let window = Window::new("the log", offset, offset + length).with_size(WINDOW);
        Ring { file, limits, offset, length, window, covered: 0 }
    }

    /// Returns the sector at `at` bytes from the ring's start; `at` may be past the ring's end.
    fn sector(&mut self, at: u64) -> Result<&[u8]> {
        let at = self.offset + at % self.length;
        let bytes =
            self.window.bytes(self.file, self.limits, at, LOG_SECTOR, self.offset + self.length)?;
        Ok(&bytes[..LOG_SECTOR_BYTES])
    }

    /// Finds every complete entry of this log, wherever it begins. The checksum decides first: an
    /// entry with a correct checksum was written completely, so a rule that it breaks does not mean
    /// that it was never written.
    pub(super) fn scan(&mut self, header: &Header) -> Result<WholeEntries> {
        let mut found = WholeEntries::default();
        for at in (0..self.length).step_by(LOG_SECTOR_BYTES) {
            let ring = self.length;
            let Some(entry) = Entry::parse(self.sector(at)?, at, ring, header.log_guid) else {
                continue;
            };
            if !self.is_whole(&entry)? {
                continue;
            }
            match self.check(&entry)? {
                Ok(()) => found.valid.push(entry),
                Err(rule) => found.broken.push((entry, rule)),
            }
            let bytes = (found.valid.len() + found.broken.len()) as u64 * ENTRY_BYTES;
            self.limits.memory.check(bytes, "the log's list of entries")?;
        }
        Ok(found)
    }

    fn is_whole(&mut self, entry: &Entry) -> Result<bool> {
        self.covered += entry.length;
        if self.covered / MAX_COVER > self.length {
            let message = "the log's entries overlap one another, as no writer leaves them";
            return Err(self.file.error(ErrorKind::LogCorrupt, message.into()));
        }
        let first = self.sector(entry.at)?;
        let mut crc = checksum(first, CHECKSUM_AT);
        for at in (LOG_SECTOR..entry.length).step_by(LOG_SECTOR_BYTES) {
            crc = crc32c::crc32c_append(crc, self.sector(entry.at + at)?);
        }
        Ok(crc == entry.checksum)
    }

    /// Verifies the rules for a complete entry. It has been read once, so its length bounds the
    /// work.
    fn check(&mut self, entry: &Entry) -> Result<std::result::Result<(), BrokenRule>> {
        if let Err(rule) = entry.check_header(self.length) {
            return Ok(Err(rule));
        }
        let mut data_sectors = 0;
        for i in 0..entry.descriptors {
            match self.descriptor(entry, i)? {
                Ok(descriptor) => data_sectors += u64::from(descriptor.data.is_some()),
                Err(rule) => return Ok(Err(rule)),
            }
        }
        let mut verdict = entry.check_room(data_sectors);
        for i in 0..data_sectors {
            if verdict.is_err() {
                break;
            }
            let at = entry.at + (entry.descriptor_sectors() + i) * LOG_SECTOR;
            let file = self.file;
            let mut fields = Fields::new("a data sector of the log", self.sector(at)?);
            let sector = DataSector::parse(&mut fields).map_err(|error| file.name(error))?;
            verdict = entry.check_data_sector(&sector, i);
        }
        Ok(verdict)
    }

    fn descriptor(
        &mut self,
        entry: &Entry,
        i: u64,
    ) -> Result<std::result::Result<Descriptor, BrokenRule>> {
        let at = LOG_ENTRY_HEADER as u64 + i * LOG_DESCRIPTOR as u64;
        let file = self.file;
        let sector = self.sector(entry.at + at / LOG_SECTOR * LOG_SECTOR)?;
        let mut fields = Fields::new("a log descriptor", &sector[to_usize(at % LOG_SECTOR)..]);
        let parsed = LogDescriptor::parse(&mut fields).map_err(|error| file.name(error))?;
        Ok(Descriptor::new(parsed, i, entry.sequence))
    }

    /// Adds the entry's updates to the overlay.
    pub(super) fn apply(&mut self, entry: &Entry, replay: &mut Replay) -> Result<()> {
        let length = replay.length;
        let mut data_sector = entry.descriptor_sectors();
        for i in 0..entry.descriptors {
            let Ok(descriptor) = self.descriptor(entry, i)? else {
                let message =
                    "a log entry changed while it was replayed; somebody writes to the file";
                return Err(self.file.error(ErrorKind::Changed, message.into()));
            };
            if descriptor.length == 0 {
                continue; // updates nothing, wherever that is
            }
            let start = descriptor.offset;
            let Some(end) = start.checked_add(descriptor.length).filter(|&end| end <= length)
            else {
                let message = format!(
                    "a log entry updates {:#x} bytes at {start:#x}, and the file should end at {length:#x} after \
                     replay",
                    descriptor.length
                );
                return Err(self.file.error(ErrorKind::LogCorrupt, message));
            };
            let piece = match descriptor.data {
                None => OverlayEntry::Zeros,
                Some((leading, trailing)) => {
                    let at = (entry.at + data_sector * LOG_SECTOR) % self.length;
                    data_sector += 1;
                    OverlayEntry::Page { sector: self.offset + at, leading, trailing }
                }
            };
            replay.overlay.insert(start, end, piece);
            let bytes = replay.overlay.len() * Overlay::ENTRY_BYTES;
            replay.reservation.grow_to(bytes, "the log's replay").map_err(|e| self.file.name(e))?;
        }
        Ok(())
    }
}
