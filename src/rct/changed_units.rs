//! The offset table and the sequence pages: a sequence number for every unit of the disk.

use super::TrackingTable;
use super::checksum::SequenceChecksums;
use super::error::RctError;
use super::layout::*;
use super::raw::OffsetPage;
use super::visited_pages::VisitedPages;
use crate::error::Result;
use crate::inspect::hex;
use crate::layer::{Layer, LayerExtent, LayerState, UnitBitmap};
use crate::limits::Limits;
use crate::size::to_usize;
use std::sync::Arc;

/// The number of consecutive pages that are read at once.
const PAGES_AT_ONCE: u64 = 16;

/// The number of bytes of the disk per unit, and per chunk of units.
const CHUNK_BYTES: u32 = UNIT_BYTES * CHUNK_UNITS;

/// A cursor over a table that returns which units have a greater number than a given one. Queried
/// in ascending order.
pub(crate) struct ChangedUnits {
    table: Arc<TrackingTable>,
    limits: Limits,
    number: u32,
    offsets: Pages,
    sequences: Pages,
    /// The convention of the sequence pages, found on the first page and required of all.
    checksums: SequenceChecksums,
    visited: VisitedPages,
    /// The chunk before which all pages are in the visited set.
    scanned_until: u64,
}

/// Verified consecutive pages of the file.
#[derive(Default)]
struct Pages {
    first: u64,
    bytes: Vec<u8>,
}

impl Pages {
    /// Returns the buffer, resized to this number of pages.
    fn buffer(&mut self, pages: u64) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.resize(to_usize(pages * PAGE), 0);
        bytes
    }

    fn get(&self, page: u64) -> Option<&[u8]> {
        let at = page.checked_sub(self.first)?.checked_mul(PAGE)?;
        self.bytes.get(usize::try_from(at).ok()?..)?.get(..PAGE_BYTES)
    }
}

/// The meaning of a chunk's entry.
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

impl ChangedUnits {
    pub(crate) fn new(table: Arc<TrackingTable>, number: u32, limits: &Limits) -> Self {
        ChangedUnits {
            table,
            limits: limits.clone(),
            number,
            offsets: Pages::default(),
            sequences: Pages::default(),
            checksums: SequenceChecksums::default(),
            visited: VisitedPages::new(&limits.memory),
            scanned_until: 0,
        }
    }

    /// Returns the entries of the chunks from `chunk` on that one offset page has, at most those
    /// before `until`; offset pages are read ahead up to there.
    fn entries(&mut self, chunk: u64, until: u64) -> Result<&[[u8; 4]]> {
        let page = chunk / PER_PAGE;
        if self.offsets.get(page).is_none() {
            let last = ((until - 1) / PER_PAGE).min(page + PAGES_AT_ONCE - 1);
            let mut bytes = self.offsets.buffer(last - page + 1);
            let (file, at) = (self.table.file.within(&self.limits), OFFSET_TABLE + page * PAGE);
            file.read(&mut bytes, at, "the offset table")?;
            for (bytes, index) in bytes.chunks_exact(PAGE_BYTES).zip(page..) {
                self.table.check_offset_page(bytes, index)?;
            }
            self.offsets = Pages { first: page, bytes };
        }
        let bytes = self.offsets.get(page).unwrap_or_default();
        let first = chunk % PER_PAGE;
        let count = (PER_PAGE - first).min(until - chunk);
        let (entries, _) = bytes[PAGE_HEADER + to_usize(first) * 4..].as_chunks();
        Ok(&entries[..to_usize(count)])
    }

    /// Reads a chunk's sequence page and, if they lie after it in the file, those of the next
    /// chunks up to `until` that have one.
    fn load(&mut self, chunk: u64, page: u64, until: u64) -> Result<()> {
        self.mark_used(chunk, page)?;
        if self.sequences.get(page).is_some() {
            return Ok(());
        }
        // Read only as far as the current offset page: reading ahead must not read more tables.
        let detailed = self.entries(chunk, until)?.iter().zip(chunk..).filter_map(|(entry, of)| {
            let Entry::Detailed { page } = Entry::of(*entry) else { return None };
            Some((of, page))
        });
        let follows = |((_, next), wanted): &((u64, u64), u64)| next == wanted;
        let together: Vec<_> =
            detailed.zip(page..page + PAGES_AT_ONCE).take_while(follows).collect();
        for ((chunk, page), _) in &together[1..] {
            self.mark_used(*chunk, *page)?;
        }
        let mut bytes = self.sequences.buffer(together.len() as u64);
        let file = self.table.file.within(&self.limits);
        file.read(&mut bytes, page * PAGE, "a sequence page")?;
        for (page_bytes, page) in bytes.chunks_exact(PAGE_BYTES).zip(page..) {
            self.check_sequence_page(page_bytes, page)?;
        }
        self.sequences = Pages { first: page, bytes };
        Ok(())
    }

    /// Rejects pages that are named twice: a sequence page belongs to one chunk.
    fn mark_used(&mut self, chunk: u64, page: u64) -> Result<()> {
        let file = &self.table.file;
        let first = OFFSET_TABLE / PAGE + offset_pages(self.table.header().units);
        // An entry is an i32, so it cannot name a page after 2^31.
        let end = (file.length / PAGE).min(1 << 31);
        if page < first || page >= end {
            return Err(file.name(RctError::PageNumber { chunk, page, first, end }));
        }
        if chunk >= self.scanned_until {
            self.scanned_until = chunk + 1;
            if !self.visited.insert(page).map_err(|e| file.name(e))? {
                return Err(file.name(RctError::PageNamedTwice { chunk, page }));
            }
        }
        Ok(())
    }

    fn check_sequence_page(&mut self, bytes: &[u8], page: u64) -> Result<()> {
        if self.checksums.accept(bytes) {
            return Ok(());
        }
        let expected = match self.checksums.found() {
            Some(sum) => format!("{sum} as in the other pages"),
            None => format!("one by any of {} conventions", SEQUENCE_CHECKSUMS.all().count()),
        };
        let (at, begins) = (page * PAGE, hex(&bytes[..64]));
        Err(self.table.file.name(RctError::SequenceChecksum { at, expected, begins }))
    }

    /// Returns the numbers of `count` units from `unit` on, of one chunk, whose page is loaded.
    fn numbers(&self, page: u64, unit: u64, count: u64) -> &[[u8; 4]] {
        let bytes = self.sequences.get(page).unwrap_or_default();
        let from = PAGE_HEADER + to_usize(unit % PER_PAGE) * 4;
        &bytes[from..].as_chunks().0[..to_usize(count)]
    }

    /// Returns whether unit `unit` is newer, and the end of the units from there on for which this
    /// holds, according to its chunk or to uniform chunks from it on; `until` at most.
    fn run(&mut self, unit: u64, until: u64) -> Result<(bool, u64)> {
        let (chunk, number) = (unit / PER_PAGE, self.number);
        let chunk_end = until.min((chunk + 1) * PER_PAGE);
        let until_chunk = until.div_ceil(PER_PAGE);
        let entries = self.entries(chunk, until_chunk)?;
        let page = match Entry::of(entries[0]) {
            Entry::Uniform(found) => {
                let newer = found > number;
                let uniform = entries.iter().take_while(|entry| {
                    matches!(Entry::of(**entry), Entry::Uniform(found) if (found > number) == newer)
                });
                return Ok((newer, until.min((chunk + uniform.count() as u64) * PER_PAGE)));
            }
            Entry::Detailed { page } => page,
        };
        self.load(chunk, page, until_chunk)?;
        let numbers = self.numbers(page, unit, chunk_end - unit);
        let mut newer = numbers.iter().map(|found| u32::from_le_bytes(*found) > number);
        let first = newer.next().unwrap_or_default();
        let uniform = 1 + newer.take_while(|&next| next == first).count() as u64;
        Ok((first, unit + uniform))
    }
}

impl Layer for ChangedUnits {
    fn extent(&mut self, at: u64, limit: u64) -> Result<LayerExtent> {
        let until = units(limit);
        let (newer, mut end) = self.run(at / UNIT, until)?;
        // Only a run that ends at the end of its chunk may continue.
        while end < until && end % PER_PAGE == 0 {
            let (next, further) = self.run(end, until)?;
            if next != newer {
                break;
            }
            end = further;
        }
        let state = if newer { LayerState::Data } else { LayerState::Absent };
        Ok(LayerExtent { end: limit.min(end * UNIT), state, file_offset: 0 })
    }

    /// Returns the units of a chunk that has a sequence page, or of uniform chunks up to one that
    /// has.
    fn fill(&mut self, at: u64, limit: u64, bitmap: &mut UnitBitmap) -> Result<bool> {
        let (unit, until) = (at / UNIT, units(limit));
        let (chunk, until_chunk) = (unit / PER_PAGE, until.div_ceil(PER_PAGE));
        let newer = bitmap.reported.contains(LayerState::Data);
        let older = bitmap.reported.contains(LayerState::Absent);
        let number = self.number;
        let is_set =
            |found: [u8; 4]| if u32::from_le_bytes(found) > number { newer } else { older };
        let entries = self.entries(chunk, until_chunk)?;
        match Entry::of(entries[0]) {
            Entry::Uniform(_) => {
                let detailed =
                    |entry: &[u8; 4]| matches!(Entry::of(*entry), Entry::Detailed { .. });
                let count = entries.iter().position(detailed).unwrap_or(entries.len());
                bitmap.reset(chunk * u64::from(CHUNK_BYTES), CHUNK_BYTES);
                bitmap.push_all(&entries[..count], is_set);
            }
            Entry::Detailed { page } => {
                self.load(chunk, page, until_chunk)?;
                let count = until.min((chunk + 1) * PER_PAGE) - unit;
                bitmap.reset(unit * UNIT, UNIT_BYTES);
                bitmap.push_all(self.numbers(page, unit, count), is_set);
            }
        }
        Ok(true)
    }
}

impl TrackingTable {
    fn check_offset_page(&self, bytes: &[u8], index: u64) -> Result<()> {
        let page = OffsetPage::from_bytes(bytes).map_err(|error| self.file.name(error))?;
        let (at, expected) = (OFFSET_TABLE + index * PAGE, index);
        Err(self.file.name(if page.signature != OFFSET_SIGNATURE {
            RctError::OffsetSignature { at, found: page.signature }
        } else if !OFFSET_CHECKSUM.holds(bytes) {
            RctError::OffsetChecksum { at }
        } else if u64::from(page.index) != expected {
            RctError::OffsetIndex { at, expected, found: page.index }
        } else {
            return Ok(());
        }))
    }
}
