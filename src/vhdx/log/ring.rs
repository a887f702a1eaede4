//! The log as a ring of 4 KiB sectors: finds complete entries and replays one.

use super::super::error::{BrokenRule, VhdxError, ensure};
use super::super::layout::*;
use super::Replay;
use crate::error::Result;
use crate::size::to_usize;
use crate::source::{FileView, OverlayEntry, Window};
use crate::wire::{Fields, checksum};
use uuid::Uuid;

/// The entries of one pass around the ring do not overlap, and partially written ones may leave
/// entries of the previous pass visible. A log whose entries cover more is built to waste time on
/// checksums.
const MAX_COVER: u64 = 2;

/// The number of bytes of the log that are read at once: the length of most logs.
const WINDOW: u64 = MIB;

/// The approximate memory that one entry takes until the log is replayed.
const ENTRY_BYTES: u64 = 320;

/// A completely written entry: its length is possible and its checksum correct.
pub(super) struct WholeEntry {
    pub entry: LogEntry,
    pub broken: Option<BrokenRule>,
}

/// The log's place in the file.
pub(super) struct Ring<'a> {
    file: FileView<'a>,
    pub offset: u64,
    pub length: u64,
    window: Window,
    /// The number of bytes whose checksum was computed.
    covered: u64,
}

impl<'a> Ring<'a> {
    pub(super) fn new(file: FileView<'a>, header: &Header) -> Self {
        let (offset, length) = (header.log_offset, header.log_length);
        let window = Window::new("the log", offset, offset + length).with_size(WINDOW);
        Ring { file, offset, length, window, covered: 0 }
    }

    /// Returns the sector at `at` bytes from the ring's start; `at` may be past the ring's end.
    fn sector(&mut self, at: u64) -> Result<&[u8]> {
        let (at, end) = (self.offset + at % self.length, self.offset + self.length);
        let bytes = self.window.bytes(self.file, at, LOG_SECTOR, end)?;
        Ok(&bytes[..LOG_SECTOR_BYTES])
    }

    /// Finds every complete entry of this log, at any sector. The checksum decides first: an
    /// entry with a correct checksum was written completely, so a rule that it breaks does not mean
    /// that it was never written.
    pub(super) fn scan(&mut self, log_guid: Uuid) -> Result<Vec<WholeEntry>> {
        let mut found = Vec::new();
        for at in (0..self.length).step_by(LOG_SECTOR_BYTES) {
            let entry = LogEntry::parse(&mut Fields::new("a log entry", self.sector(at)?), at)?;
            if entry.is_possible(self.length, log_guid) && self.is_whole(&entry)? {
                let broken = self.broken_rule(&entry)?;
                found.push(WholeEntry { entry, broken });
                let bytes = found.len() as u64 * ENTRY_BYTES;
                self.file.limits.memory.check(bytes, "the log's list of entries")?;
            }
        }
        Ok(found)
    }

    fn is_whole(&mut self, entry: &LogEntry) -> Result<bool> {
        self.covered += entry.entry_length;
        ensure(self.covered / MAX_COVER <= self.length, VhdxError::LogOverlap)?;
        let first = self.sector(entry.at)?;
        let mut crc = checksum(first, CHECKSUM_AT);
        for at in (LOG_SECTOR..entry.entry_length).step_by(LOG_SECTOR_BYTES) {
            crc = crc32c::crc32c_append(crc, self.sector(entry.at + at)?);
        }
        Ok(crc == entry.checksum)
    }

    /// Returns the first rule that a complete entry breaks. It has been read once, so its length
    /// bounds the work.
    fn broken_rule(&mut self, entry: &LogEntry) -> Result<Option<BrokenRule>> {
        let mut broken = entry.check_header(self.length).err();
        let mut data_sectors = 0;
        for i in 0..entry.descriptor_count {
            if broken.is_some() {
                return Ok(broken);
            }
            let descriptor = self.descriptor(entry, i)?;
            data_sectors += u64::from(descriptor.is_data());
            broken = entry.check_descriptor(&descriptor, i).err();
        }
        broken = broken.or(entry.check_length(data_sectors).err());
        for i in 0..data_sectors {
            if broken.is_some() {
                return Ok(broken);
            }
            let sector = self.sector(entry.at + (entry.descriptor_sectors() + i) * LOG_SECTOR)?;
            let mut fields = Fields::new("a data sector of the log", sector);
            broken = entry.check_data_sector(&DataSector::parse(&mut fields)?, i).err();
        }
        Ok(broken)
    }

    fn descriptor(&mut self, entry: &LogEntry, i: u64) -> Result<LogDescriptor> {
        let at = LOG_ENTRY_HEADER + i * LOG_DESCRIPTOR;
        let sector = self.sector(entry.at + at / LOG_SECTOR * LOG_SECTOR)?;
        let bytes = &sector[to_usize(at % LOG_SECTOR)..];
        LogDescriptor::parse(&mut Fields::new("a log descriptor", bytes))
    }

    /// Adds the entry's updates to the overlay.
    pub(super) fn apply(&mut self, entry: &LogEntry, replay: &mut Replay) -> Result<()> {
        let mut data_sector = entry.descriptor_sectors();
        for i in 0..entry.descriptor_count {
            let descriptor = self.descriptor(entry, i)?;
            entry.check_descriptor(&descriptor, i).map_err(|_| VhdxError::LogChanged)?;
            let (offset, length) = (descriptor.file_offset, descriptor.length());
            if length == 0 {
                continue; // updates nothing, whatever its offset
            }
            let end = offset.checked_add(length).filter(|&end| end <= replay.length);
            let end = end.ok_or(VhdxError::LogUpdate { offset, length, end: replay.length })?;
            let mut update = OverlayEntry::Zeros;
            if descriptor.is_data() {
                let at = (entry.at + data_sector * LOG_SECTOR) % self.length;
                let LogDescriptor { leading_bytes, trailing_bytes, .. } = descriptor;
                update = OverlayEntry::Page {
                    sector: self.offset + at,
                    leading: leading_bytes,
                    trailing: trailing_bytes,
                };
                data_sector += 1;
            }
            replay.overlay.insert(offset, end, update)?;
        }
        Ok(())
    }
}
