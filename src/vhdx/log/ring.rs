//! The log as a ring of 4 KB sectors: finding whole entries in it, and replaying one.

use super::super::header::Header;
use super::super::layout::*;
use super::Replay;
use super::entry::{BrokenRule, Descriptor, Entry};
use crate::bytes::checksum;
use crate::error::{ErrorKind, Result};
use crate::source::{Overlay, Piece, Reader, Window};
use byteorder::{ByteOrder, LittleEndian};

/// The entries of one lap around the ring do not overlap, and torn ones may let entries of the
/// lap before show through. A log in which entries cover more is built to burn time on checksums.
const MAX_COVER: u64 = 2;

/// Memory that one entry takes until the log is replayed, about.
const ENTRY_BYTES: u64 = 256;

/// Every entry of a log that was written whole: its length is possible, its checksum right.
#[derive(Default)]
pub(super) struct WholeEntries {
    pub valid: Vec<Entry>,
    pub broken: Vec<(Entry, BrokenRule)>,
}

/// The log's place in the file.
pub(super) struct Ring<'a> {
    file: &'a Reader,
    pub offset: u64,
    pub length: u64,
    window: Window,
    /// Bytes of entries whose checksum was computed.
    covered: u64,
}

impl<'a> Ring<'a> {
    pub fn new(file: &'a Reader, header: &Header) -> Self {
        let (offset, length) = (header.log_offset, header.log_length);
        let window = Window::new("the log", offset, offset + length);
        Ring { file, offset, length, window, covered: 0 }
    }

    /// The sector at `at` bytes from the ring's start, which may lie past its end.
    fn sector(&mut self, at: u64) -> Result<&[u8]> {
        let at = self.offset + at % self.length;
        let bytes = self.window.bytes(self.file, at, LOG_SECTOR, self.offset + self.length)?;
        Ok(&bytes[..LOG_SECTOR as usize])
    }

    /// Finds every whole entry of this log, wherever it begins. The checksum decides first: an
    /// entry for which it is right was not torn, so a rule that it breaks is no reason to treat
    /// it as never written.
    pub fn scan(&mut self, header: &Header) -> Result<WholeEntries> {
        let mut found = WholeEntries::default();
        for at in (0..self.length).step_by(LOG_SECTOR as usize) {
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
            self.file.guard().need(bytes, "the log's list of entries")?;
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
        let expected = LittleEndian::read_u32(&first[4..]);
        let mut crc = checksum(first, 4);
        for at in (LOG_SECTOR..entry.length).step_by(LOG_SECTOR as usize) {
            crc = crc32c::crc32c_append(crc, self.sector(entry.at + at)?);
        }
        Ok(crc == expected)
    }

    /// Verifies the rules for a whole entry; it has been read once, so its length bounds the work.
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
            verdict = entry.check_data_sector(self.sector(at)?, i);
        }
        Ok(verdict)
    }

    fn descriptor(
        &mut self,
        entry: &Entry,
        i: u64,
    ) -> Result<std::result::Result<Descriptor, BrokenRule>> {
        let at = LOG_ENTRY_HEADER as u64 + i * LOG_DESCRIPTOR as u64;
        let sector = self.sector(entry.at + at / LOG_SECTOR * LOG_SECTOR)?;
        Ok(Descriptor::parse(&sector[(at % LOG_SECTOR) as usize..], i, entry.sequence))
    }

    /// Lays the entry's updates over the file.
    pub fn apply(&mut self, entry: &Entry, replay: &mut Replay) -> Result<()> {
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
                None => Piece::Zeros,
                Some((leading, trailing)) => {
                    let at = (entry.at + data_sector * LOG_SECTOR) % self.length;
                    data_sector += 1;
                    Piece::Page { sector: self.offset + at, leading, trailing }
                }
            };
            replay.overlay.lay(start, end, piece);
            let bytes = replay.overlay.len() * Overlay::PIECE_BYTES;
            replay.lease.grow_to(bytes, "the log's replay").map_err(|e| self.file.name(e))?;
        }
        Ok(())
    }
}
