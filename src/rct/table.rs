//! The offset table and the sequence pages: a sequence number for every unit of the disk.

use super::Tracking;
use super::layout::*;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{Extent, Held, Layer, Mask, Rule};
use crate::inspect::hex;
use bitvec::vec::BitVec;
use byteorder::{ByteOrder, LittleEndian};
use std::sync::Arc;

/// How many pages are read at once where they follow one another.
const PAGES_AT_ONCE: u64 = 16;

/// A cursor over a table: which units have a number greater than one. Asked in ascending
/// order.
pub(crate) struct NewerThan {
    tracking: Arc<Tracking>,
    number: u32,
    offsets: Pages,
    sequences: Pages,
    /// The convention that held on the first sequence page, and must hold on all.
    checksum: Option<&'static Checksum>,
    /// Sequence pages that some chunk has named, and how far chunks were looked at.
    named: BitVec,
    looked_at: u64,
}

/// Verified pages of the file that follow one another.
#[derive(Default)]
struct Pages {
    first: u64,
    bytes: Vec<u8>,
}

impl Pages {
    /// The buffer, to be filled anew with so many pages.
    fn room(&mut self, pages: u64) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.resize((pages * PAGE) as usize, 0);
        bytes
    }

    fn get(&self, page: u64) -> Option<&[u8]> {
        let at = page.checked_sub(self.first)?.checked_mul(PAGE)?;
        self.bytes.get(at as usize..)?.get(..PAGE as usize)
    }
}

/// What a chunk's entry says.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Uniform(u32),
    Detailed { page: u64 },
}

impl NewerThan {
    pub fn new(tracking: Arc<Tracking>, number: u32) -> Result<Self> {
        let pages = tracking.file_pages();
        tracking
            .file
            .guard()
            .need(pages / 8, "the list of sequence pages")
            .map_err(|e| tracking.file.name(e))?;
        let named = BitVec::repeat(false, pages as usize);
        let (offsets, sequences) = (Pages::default(), Pages::default());
        Ok(NewerThan { tracking, number, offsets, sequences, checksum: None, named, looked_at: 0 })
    }

    /// The entry of a chunk; offset pages are read ahead up to chunk `until`.
    fn entry(&mut self, chunk: u64, until: u64) -> Result<Entry> {
        let page = chunk / PER_PAGE;
        if self.offsets.get(page).is_none() {
            let last = ((until - 1) / PER_PAGE).min(page + PAGES_AT_ONCE - 1);
            let mut bytes = self.offsets.room(last - page + 1);
            self.tracking.file.read(&mut bytes, OFFSET_TABLE + page * PAGE, "the offset table")?;
            for (bytes, index) in bytes.chunks_exact(PAGE as usize).zip(page..) {
                self.tracking.check_offset_page(bytes, index)?;
            }
            self.offsets = Pages { first: page, bytes };
        }
        let bytes = self.offsets.get(page).unwrap_or_default();
        let at = PAGE_HEADER + (chunk % PER_PAGE) as usize * 4;
        let entry = LittleEndian::read_i32(&bytes[at..]);
        Ok(match u32::try_from(entry) {
            Ok(number) => Entry::Uniform(number),
            Err(_) => Entry::Detailed { page: entry.unsigned_abs().into() },
        })
    }

    /// Reads a chunk's sequence page, and those of the chunks up to `until` as long as they
    /// lie behind one another in the file.
    fn load(&mut self, chunk: u64, page: u64, until: u64) -> Result<()> {
        self.claim(chunk, page)?;
        if self.sequences.get(page).is_some() {
            return Ok(());
        }
        let mut count = 1;
        // Only as far as the offset pages at hand: reading ahead must not read more tables.
        let until =
            until.min((self.offsets.first + self.offsets.bytes.len() as u64 / PAGE) * PER_PAGE);
        while count < PAGES_AT_ONCE && chunk + count < until {
            match self.entry(chunk + count, until)? {
                Entry::Detailed { page: next } if next == page + count => {
                    self.claim(chunk + count, next)?
                }
                _ => break,
            }
            count += 1;
        }
        let mut bytes = self.sequences.room(count);
        self.tracking.file.read(&mut bytes, page * PAGE, "a sequence page")?;
        for (i, page_bytes) in bytes.chunks_exact(PAGE as usize).enumerate() {
            self.check_sequence_page(page_bytes, page + i as u64)?;
        }
        self.sequences = Pages { first: page, bytes };
        Ok(())
    }

    /// A sequence page belongs to one chunk: a page named twice is a damaged table.
    fn claim(&mut self, chunk: u64, page: u64) -> Result<()> {
        let tracking = &*self.tracking;
        let first = OFFSET_TABLE / PAGE + offset_pages(tracking.header.units);
        if page < first || page >= tracking.file_pages() {
            let message = format!(
                "the entry of chunk {chunk} names page {page}; its sequence page should lie behind the offset \
                 table, from page {first} on, and before the file's end at page {}",
                tracking.file_pages()
            );
            return Err(tracking.file.error(ErrorKind::Corrupt, message));
        }
        if chunk >= self.looked_at {
            self.looked_at = chunk + 1;
            if self.named.replace(page as usize, true) {
                let message =
                    format!("page {page} is named by chunk {chunk} and by another one before it");
                return Err(tracking.file.error(ErrorKind::Corrupt, message));
            }
        }
        Ok(())
    }

    fn check_sequence_page(&mut self, bytes: &[u8], page: u64) -> Result<()> {
        let checksum = match self.checksum {
            Some(known) => Some(known).filter(|sum| sum.holds(bytes)),
            None => SEQUENCE_CHECKSUMS.iter().find(|sum| sum.holds(bytes)),
        };
        self.checksum = Some(checksum.ok_or_else(|| self.tracking.bad_sequence_page(bytes, page))?);
        Ok(())
    }

    /// The numbers of `count` units from `unit` on, of one chunk, whose page is loaded.
    fn numbers(&self, page: u64, unit: u64, count: u64) -> &[u8] {
        let bytes = self.sequences.get(page).unwrap_or_default();
        let from = PAGE_HEADER + (unit % PER_PAGE) as usize * 4;
        &bytes[from..][..count as usize * 4]
    }

    /// Whether unit `unit` is newer, and up to which unit, at most `until`, its chunk says so.
    fn run(&mut self, unit: u64, until: u64) -> Result<(bool, u64)> {
        let chunk = unit / PER_PAGE;
        let chunk_end = until.min((chunk + 1) * PER_PAGE);
        let until_chunk = until.div_ceil(PER_PAGE);
        let page = match self.entry(chunk, until_chunk)? {
            Entry::Uniform(number) => return Ok((number > self.number, chunk_end)),
            Entry::Detailed { page } => page,
        };
        self.load(chunk, page, until_chunk)?;
        let mut newer = self
            .numbers(page, unit, chunk_end - unit)
            .chunks_exact(4)
            .map(|word| LittleEndian::read_u32(word) > self.number);
        let first = newer.next().unwrap_or_default();
        let alike = 1 + newer.take_while(|&next| next == first).count() as u64;
        Ok((first, unit + alike))
    }
}

impl Layer for NewerThan {
    fn extent(&mut self, at: u64, limit: u64) -> Result<Extent> {
        let unit_size = self.tracking.unit_size;
        let until = limit.div_ceil(unit_size);
        let (newer, mut end) = self.run(at / unit_size, until)?;
        // Only a run that ends where its chunk does may go on.
        while end < until && end % PER_PAGE == 0 {
            let (next, further) = self.run(end, until)?;
            if next != newer {
                break;
            }
            end = further;
        }
        let held = if newer { Held::Data } else { Held::Absent };
        Ok(Extent { end: limit.min(end * unit_size), held, file_offset: 0 })
    }

    /// The units of a chunk that has a sequence page; uniform ones are better extents.
    fn mask(&mut self, at: u64, limit: u64, rule: Rule, mask: &mut Mask) -> Result<bool> {
        let unit_size = self.tracking.unit_size;
        let (unit, until) = (at / unit_size, limit.div_ceil(unit_size));
        let chunk = unit / PER_PAGE;
        let Entry::Detailed { page } = self.entry(chunk, until.div_ceil(PER_PAGE))? else {
            return Ok(false);
        };
        self.load(chunk, page, until.div_ceil(PER_PAGE))?;
        let count = until.min((chunk + 1) * PER_PAGE) - unit;
        let (newer, older) = (rule(Held::Data), rule(Held::Absent));
        let number = self.number;
        let (numbers, _) = self.numbers(page, unit, count).as_chunks();
        mask.reset(unit * unit_size, unit_size);
        mask.push_all(
            numbers,
            |found| if u32::from_le_bytes(found) > number { newer } else { older },
        );
        Ok(true)
    }
}

impl Tracking {
    pub(super) fn check_offset_page(&self, bytes: &[u8], index: u64) -> Result<()> {
        let signature = LittleEndian::read_u32(bytes);
        let found = u64::from(LittleEndian::read_u32(&bytes[8..]));
        let problem = if signature != OFFSET_SIGNATURE {
            format!("should be signed {OFFSET_SIGNATURE:#010x} and has {signature:#010x}")
        } else if !OFFSET_CHECKSUM.holds(bytes) {
            "does not match its checksum".into()
        } else if found != index {
            format!("should have index {index} and has {found}")
        } else {
            return Ok(());
        };
        let at = OFFSET_TABLE + index * PAGE;
        Err(self.file.error(ErrorKind::Corrupt, format!("the offset page at {at:#x} {problem}")))
    }

    fn bad_sequence_page(&self, bytes: &[u8], page: u64) -> Error {
        let start = hex(&bytes[..64]);
        let message = format!(
            "the checksum of the sequence page at {:#x} does not hold, by none of the known conventions or not by \
             the one of the other pages. It begins {start}; if Windows wrote this file, please report what \
             `vhdx-rct inspect` says of it",
            page * PAGE
        );
        self.file.error(ErrorKind::Corrupt, message)
    }
}
