//! The offset table and the sequence pages: a sequence number for every unit of the disk.

use super::Tracking;
use super::checksum::SequenceChecksums;
use super::layout::*;
use super::pages::PageSet;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{Extent, Held, Layer, Rule};
use crate::inspect::hex;
use crate::mask::Mask;
use byteorder::{ByteOrder, LittleEndian};
use std::sync::{Arc, Mutex, PoisonError};

/// How many pages are read at once where they follow one another.
const PAGES_AT_ONCE: u64 = 16;

/// Bytes of the disk that a unit, and a chunk of units, stand for.
const UNIT_BYTES: u32 = UNIT as u32;
const CHUNK_BYTES: u32 = UNIT_BYTES * PER_PAGE as u32;

/// A cursor over a table: which units have a number greater than one. Asked in ascending
/// order.
pub(crate) struct NewerThan {
    tracking: Arc<Tracking>,
    number: u32,
    offsets: Pages,
    sequences: Pages,
    seen: Arc<Seen>,
    /// Chunks before this one have claimed their pages.
    looked_at: u64,
}

/// What all cursors of a query over one table have seen of it.
struct Seen {
    /// The convention of the sequence pages, found on the first and required of all.
    checksums: SequenceChecksums,
    /// Sequence pages that some chunk has named.
    named: Mutex<PageSet>,
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
        self.bytes.get(usize::try_from(at).ok()?..)?.get(..PAGE as usize)
    }
}

/// What a chunk's entry says.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Uniform(u32),
    Detailed { page: u64 },
}

impl Entry {
    fn of(bytes: [u8; 4]) -> Self {
        let entry = i32::from_le_bytes(bytes);
        match u32::try_from(entry) {
            Ok(number) => Entry::Uniform(number),
            Err(_) => Entry::Detailed { page: entry.unsigned_abs().into() },
        }
    }
}

impl NewerThan {
    pub fn new(tracking: Arc<Tracking>, number: u32) -> Self {
        let named = Mutex::new(PageSet::new(tracking.file.guard()));
        let seen = Arc::new(Seen { checksums: SequenceChecksums::new(), named });
        Self::cursor(tracking, number, seen, 0)
    }

    fn cursor(tracking: Arc<Tracking>, number: u32, seen: Arc<Seen>, looked_at: u64) -> Self {
        let (offsets, sequences) = (Pages::default(), Pages::default());
        NewerThan { tracking, number, offsets, sequences, seen, looked_at }
    }

    /// The entries of the chunks from `chunk` on that one offset page has, at most those before
    /// `until`; offset pages are read ahead up to there.
    fn entries(&mut self, chunk: u64, until: u64) -> Result<&[[u8; 4]]> {
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
        let first = chunk % PER_PAGE;
        let count = (PER_PAGE - first).min(until - chunk);
        let (entries, _) = bytes[PAGE_HEADER + first as usize * 4..].as_chunks();
        Ok(&entries[..count as usize])
    }

    /// Reads a chunk's sequence page and, where they lie behind it in the file, those of the
    /// next chunks up to `until` that have one.
    fn load(&mut self, chunk: u64, page: u64, until: u64) -> Result<()> {
        self.claim(chunk, page)?;
        if self.sequences.get(page).is_some() {
            return Ok(());
        }
        // Only as far as the offset page at hand: reading ahead must not read more tables.
        let detailed = self.entries(chunk, until)?.iter().zip(chunk..).filter_map(|(entry, of)| {
            let Entry::Detailed { page } = Entry::of(*entry) else { return None };
            Some((of, page))
        });
        let follows = |((_, next), wanted): &((u64, u64), u64)| next == wanted;
        let together: Vec<_> =
            detailed.zip(page..page + PAGES_AT_ONCE).take_while(follows).collect();
        for ((chunk, page), _) in &together[1..] {
            self.claim(*chunk, *page)?;
        }
        let mut bytes = self.sequences.room(together.len() as u64);
        self.tracking.file.read(&mut bytes, page * PAGE, "a sequence page")?;
        for (page_bytes, page) in bytes.chunks_exact(PAGE as usize).zip(page..) {
            self.check_sequence_page(page_bytes, page)?;
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
            let mut named = self.seen.named.lock().unwrap_or_else(PoisonError::into_inner);
            if !named.insert(page).map_err(|e| tracking.file.name(e))? {
                let message =
                    format!("page {page} is named by chunk {chunk} and by another one before it");
                return Err(tracking.file.error(ErrorKind::Corrupt, message));
            }
        }
        Ok(())
    }

    fn check_sequence_page(&self, bytes: &[u8], page: u64) -> Result<()> {
        if self.seen.checksums.accept(bytes) {
            return Ok(());
        }
        Err(self.tracking.bad_sequence_page(bytes, page, &self.seen.checksums))
    }

    /// The numbers of `count` units from `unit` on, of one chunk, whose page is loaded.
    fn numbers(&self, page: u64, unit: u64, count: u64) -> &[[u8; 4]] {
        let bytes = self.sequences.get(page).unwrap_or_default();
        let from = PAGE_HEADER + (unit % PER_PAGE) as usize * 4;
        &bytes[from..].as_chunks().0[..count as usize]
    }

    /// Whether unit `unit` is newer, and up to which unit, at most `until`, its chunk or uniform
    /// ones from it on say so.
    fn run(&mut self, unit: u64, until: u64) -> Result<(bool, u64)> {
        let (chunk, number) = (unit / PER_PAGE, self.number);
        let chunk_end = until.min((chunk + 1) * PER_PAGE);
        let until_chunk = until.div_ceil(PER_PAGE);
        let entries = self.entries(chunk, until_chunk)?;
        let page = match Entry::of(entries[0]) {
            Entry::Uniform(found) => {
                let newer = found > number;
                let alike = entries.iter().take_while(|entry| {
                    matches!(Entry::of(**entry), Entry::Uniform(found) if (found > number) == newer)
                });
                return Ok((newer, until.min((chunk + alike.count() as u64) * PER_PAGE)));
            }
            Entry::Detailed { page } => page,
        };
        self.load(chunk, page, until_chunk)?;
        let numbers = self.numbers(page, unit, chunk_end - unit);
        let mut newer = numbers.iter().map(|found| u32::from_le_bytes(*found) > number);
        let first = newer.next().unwrap_or_default();
        let alike = 1 + newer.take_while(|&next| next == first).count() as u64;
        Ok((first, unit + alike))
    }
}

impl Layer for NewerThan {
    fn extent(&mut self, at: u64, limit: u64) -> Result<Extent> {
        let until = units(limit);
        let (newer, mut end) = self.run(at / UNIT, until)?;
        // Only a run that ends where its chunk does may go on.
        while end < until && end % PER_PAGE == 0 {
            let (next, further) = self.run(end, until)?;
            if next != newer {
                break;
            }
            end = further;
        }
        let held = if newer { Held::Data } else { Held::Absent };
        Ok(Extent { end: limit.min(end * UNIT), held, file_offset: 0 })
    }

    /// The chunk in which `from` lies belongs to whoever asks about what is before.
    fn fork(&self, from: u64) -> Box<dyn Layer> {
        let chunk = from.div_ceil(CHUNK_BYTES.into());
        let (tracking, seen) = (self.tracking.clone(), self.seen.clone());
        Box::new(Self::cursor(tracking, self.number, seen, chunk))
    }

    /// The units of a chunk that has a sequence page, or uniform chunks up to one that has.
    fn mask(&mut self, at: u64, limit: u64, rule: Rule, mask: &mut Mask) -> Result<bool> {
        let (unit, until) = (at / UNIT, units(limit));
        let (chunk, until_chunk) = (unit / PER_PAGE, until.div_ceil(PER_PAGE));
        let (number, newer, older) = (self.number, rule(Held::Data), rule(Held::Absent));
        let is_set =
            |found: [u8; 4]| if u32::from_le_bytes(found) > number { newer } else { older };
        let entries = self.entries(chunk, until_chunk)?;
        match Entry::of(entries[0]) {
            Entry::Uniform(_) => {
                let detailed =
                    |entry: &[u8; 4]| matches!(Entry::of(*entry), Entry::Detailed { .. });
                let count = entries.iter().position(detailed).unwrap_or(entries.len());
                mask.reset(chunk * u64::from(CHUNK_BYTES), CHUNK_BYTES);
                mask.push_all(&entries[..count], is_set);
            }
            Entry::Detailed { page } => {
                self.load(chunk, page, until_chunk)?;
                let count = until.min((chunk + 1) * PER_PAGE) - unit;
                mask.reset(unit * UNIT, UNIT_BYTES);
                mask.push_all(self.numbers(page, unit, count), is_set);
            }
        }
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
        Err(self.file.error(
            ErrorKind::Corrupt,
            format!("the offset page at {at:#x} {problem}; make a full backup"),
        ))
    }

    fn bad_sequence_page(&self, bytes: &[u8], page: u64, sums: &SequenceChecksums) -> Error {
        let start = hex(&bytes[..64]);
        let expected = match sums.found() {
            Some(sum) => format!("{sum} as in the other pages"),
            None => format!("one by any of {} conventions", sums.count()),
        };
        let message = format!(
            "the checksum of the sequence page at {:#x} does not hold: expected {expected}; make a full backup. It \
             begins {start}; if Windows wrote this file, please report what `vhdx-rct inspect` says of it",
            page * PAGE
        );
        self.file.error(ErrorKind::Corrupt, message)
    }
}
