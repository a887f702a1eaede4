//! The log ([MS-VHDX] 2.3): finds the active sequence and replays it into an overlay. The
//! file itself is never written.

use super::header::Header;
use super::layout::*;
use crate::bytes::{checksum, guid};
use crate::error::{ErrorKind, Result};
use crate::source::{Lease, Overlay, Piece, Reader, Window};
use byteorder::{ByteOrder, LittleEndian};
use std::collections::HashMap;

/// Entries whose descriptors and data sectors hold together cannot overlap, so they cover the
/// log once. A log in which they cover it more often is built to burn time on checksums.
const MAX_COVER: u64 = 2;

/// Memory that one entry takes in the scan, about.
const ENTRY_BYTES: u64 = 160;

/// A valid entry's header; `at` is its offset in the ring.
#[derive(Debug, Clone, Copy)]
struct Entry {
    at: u64,
    length: u64,
    tail: u64,
    sequence: u64,
    descriptors: u64,
    flushed_file_offset: u64,
    last_file_offset: u64,
}

impl Entry {
    fn descriptor_sectors(&self) -> u64 {
        (LOG_ENTRY_HEADER as u64 + self.descriptors * LOG_DESCRIPTOR as u64).div_ceil(LOG_SECTOR)
    }
}

/// What the log says should be different in the file.
pub(super) struct Replay {
    pub overlay: Overlay,
    /// The overlay's memory.
    pub lease: Lease,
    /// The file is at least so long after replay.
    pub length: u64,
    /// How many entries were replayed, for `info`.
    pub entries: usize,
}

/// Replays the log, which the header says is not empty.
pub(super) fn replay(file: &Reader, header: &Header) -> Result<Replay> {
    let mut ring = Ring {
        file,
        offset: header.log_offset,
        length: header.log_length,
        window: Window::new("the log", header.log_offset, header.log_offset + header.log_length),
        covered: 0,
    };
    let entries = ring.scan(header)?;
    let active = active_sequence(&entries, ring.length);
    let Some(head) = active.last() else {
        let message = format!(
            "the header says that the log holds updates, and none of its {} valid entries ends a complete \
             sequence; without them the content is unknown, so use an older copy of the file",
            entries.len()
        );
        return Err(file.error(ErrorKind::LogCorrupt, message));
    };
    if file.stored_length() < head.flushed_file_offset {
        let message = format!(
            "the log was written when the file was {:#x} bytes long, and now it ends at {:#x}: it was cut short",
            head.flushed_file_offset,
            file.stored_length()
        );
        return Err(file.error(ErrorKind::Truncated, message));
    }
    let length = head.last_file_offset.max(file.stored_length());
    let (overlay, lease) = (Overlay::default(), file.guard().lease());
    let mut replay = Replay { overlay, lease, length, entries: active.len() };
    for entry in &active {
        ring.apply(entry, &mut replay)?;
    }
    Ok(replay)
}

/// Of the sequences that are complete (the tail that the head names is one of their
/// entries), the one with the greatest head: its entries from that tail to the head.
/// Empty where there is none.
///
/// A sequence goes on while the entry behind is valid and one greater, so each entry has one
/// head, and a head's sequence is complete if the entry at its tail has this very head.
fn active_sequence(entries: &[Entry], ring: u64) -> Vec<Entry> {
    let by_offset: HashMap<u64, usize> =
        entries.iter().enumerate().map(|(i, entry)| (entry.at, i)).collect();
    let next = |entry: &Entry| {
        let &i = by_offset.get(&((entry.at + entry.length) % ring))?;
        (Some(entries[i].sequence) == entry.sequence.checked_add(1)).then_some(i)
    };
    let mut newest_first: Vec<usize> = (0..entries.len()).collect();
    newest_first.sort_unstable_by_key(|&i| std::cmp::Reverse(entries[i].sequence));
    let mut head_of: Vec<usize> = (0..entries.len()).collect();
    for &i in &newest_first {
        if let Some(next) = next(&entries[i]) {
            head_of[i] = head_of[next];
        }
    }
    let complete = newest_first.iter().find_map(|&head| {
        let &tail = by_offset.get(&entries[head].tail)?;
        (head_of[head] == head && head_of[tail] == head).then_some(tail)
    });
    let mut at = complete;
    let mut active = Vec::new();
    while let Some(i) = at {
        active.push(entries[i]);
        at = next(&entries[i]);
    }
    active
}

/// The log as a ring of 4 KB sectors.
struct Ring<'a> {
    file: &'a Reader,
    offset: u64,
    length: u64,
    window: Window,
    /// Bytes of entries of which the checksum was asked.
    covered: u64,
}

impl Ring<'_> {
    /// The sector at `at` bytes from the ring's start, which may lie past its end.
    fn sector(&mut self, at: u64) -> Result<&[u8]> {
        let at = self.offset + at % self.length;
        let bytes = self.window.bytes(self.file, at, LOG_SECTOR, self.offset + self.length)?;
        Ok(&bytes[..LOG_SECTOR as usize])
    }

    /// Every valid entry of this log, wherever it begins.
    fn scan(&mut self, header: &Header) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for at in (0..self.length).step_by(LOG_SECTOR as usize) {
            let log_guid = header.log_guid;
            let ring = self.length;
            let sector = self.sector(at)?;
            let Some(entry) = parse_entry(sector, at, ring) else { continue };
            if guid(&sector[32..]) != log_guid {
                continue;
            }
            if self.is_valid(&entry)? {
                entries.push(entry);
                let bytes = entries.len() as u64 * ENTRY_BYTES;
                self.file.guard().need(bytes, "the log's list of entries")?;
            }
        }
        Ok(entries)
    }

    /// Descriptors, data sectors and checksum of a whole entry; the checksum last, since it
    /// costs most.
    fn is_valid(&mut self, entry: &Entry) -> Result<bool> {
        let mut data_sectors = 0;
        for i in 0..entry.descriptors {
            match self.descriptor(entry, i)? {
                Some(Descriptor { data: Some(_), .. }) => data_sectors += 1,
                Some(_) => {}
                None => return Ok(false),
            }
        }
        let first = entry.descriptor_sectors();
        if (first + data_sectors) * LOG_SECTOR > entry.length {
            return Ok(false);
        }
        for i in first..first + data_sectors {
            let sector = self.sector(entry.at + i * LOG_SECTOR)?;
            let high: u64 = LittleEndian::read_u32(&sector[4..]).into();
            let low: u64 = LittleEndian::read_u32(&sector[LOG_SECTOR as usize - 4..]).into();
            if !sector.starts_with(LOG_DATA_SIGNATURE) || (high << 32 | low) != entry.sequence {
                return Ok(false);
            }
        }
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

    /// The entry's `i`th descriptor; None where it is malformed.
    fn descriptor(&mut self, entry: &Entry, i: u64) -> Result<Option<Descriptor>> {
        let at = LOG_ENTRY_HEADER as u64 + i * LOG_DESCRIPTOR as u64;
        let sector = self.sector(entry.at + at / LOG_SECTOR * LOG_SECTOR)?;
        Ok(Descriptor::parse(&sector[(at % LOG_SECTOR) as usize..], entry.sequence))
    }

    /// Lays the entry's updates over the file.
    fn apply(&mut self, entry: &Entry, replay: &mut Replay) -> Result<()> {
        let length = replay.length;
        let mut data_sector = entry.descriptor_sectors();
        for i in 0..entry.descriptors {
            let Some(descriptor) = self.descriptor(entry, i)? else {
                let message =
                    "a log entry changed while it was replayed; somebody writes to the file";
                return Err(self.file.error(ErrorKind::Changed, message.into()));
            };
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
            if start < end {
                replay.overlay.lay(start, end, piece);
            }
            let bytes = replay.overlay.len() * Overlay::PIECE_BYTES;
            replay.lease.grow_to(bytes, "the log's replay").map_err(|e| self.file.name(e))?;
        }
        Ok(())
    }
}

/// An update; `data` is what the descriptor itself keeps of a page, None for zeros.
struct Descriptor {
    offset: u64,
    length: u64,
    data: Option<([u8; 8], [u8; 4])>,
}

impl Descriptor {
    fn parse(bytes: &[u8], sequence: u64) -> Option<Self> {
        let offset = LittleEndian::read_u64(&bytes[16..]);
        let mut leading = [0; 8];
        leading.copy_from_slice(&bytes[8..16]);
        let mut trailing = [0; 4];
        trailing.copy_from_slice(&bytes[4..8]);
        let (length, data) = match &bytes[..4] {
            signature if signature == ZERO_DESCRIPTOR_SIGNATURE => {
                (u64::from_le_bytes(leading), None)
            }
            signature if signature == DATA_DESCRIPTOR_SIGNATURE => {
                (LOG_SECTOR, Some((leading, trailing)))
            }
            _ => return None,
        };
        let aligned = offset % LOG_SECTOR == 0 && length % LOG_SECTOR == 0;
        let ours = LittleEndian::read_u64(&bytes[24..]) == sequence;
        (aligned && ours).then_some(Descriptor { offset, length, data })
    }
}

/// An entry header whose fields are possible in a ring of this length.
fn parse_entry(sector: &[u8], at: u64, ring: u64) -> Option<Entry> {
    let entry = Entry {
        at,
        length: LittleEndian::read_u32(&sector[8..]).into(),
        tail: LittleEndian::read_u32(&sector[12..]).into(),
        sequence: LittleEndian::read_u64(&sector[16..]),
        descriptors: LittleEndian::read_u32(&sector[24..]).into(),
        flushed_file_offset: LittleEndian::read_u64(&sector[48..]),
        last_file_offset: LittleEndian::read_u64(&sector[56..]),
    };
    let possible = sector.starts_with(LOG_ENTRY_SIGNATURE)
        && entry.length > 0
        && entry.length.is_multiple_of(LOG_SECTOR)
        && entry.length <= ring
        && entry.tail.is_multiple_of(LOG_SECTOR)
        && entry.tail < ring
        && entry.sequence > 0
        && entry.flushed_file_offset.is_multiple_of(MB)
        && entry.last_file_offset.is_multiple_of(MB)
        && entry.descriptor_sectors() * LOG_SECTOR <= entry.length;
    possible.then_some(entry)
}
