//! What an `.rct` file shows of each fact, taken down without trusting any: what a check of the
//! facts against a real file looks at.

use super::RctId;
use super::checksum::{Checksum, SequenceChecksums, of_headers};
use super::header::TableHeader;
use super::layout::*;
use crate::bytes::guid;
use crate::error::Result;
use crate::source::Reader;
use byteorder::{ByteOrder, LittleEndian};
use std::collections::HashSet;

/// One header copy as it stands.
#[derive(Debug, Clone)]
pub(crate) struct HeaderCopy {
    pub offset: u64,
    pub signature: u32,
    /// The file's convention, where it holds on this copy.
    pub checksum: Option<Checksum>,
    pub counter: u64,
    pub units: u64,
    pub id: RctId,
    pub branch_count: u16,
    pub new_id: u8,
    /// What a reader makes of it; None where it is invalid.
    pub parsed: Option<TableHeader>,
}

/// A table as it stands. Numbers of pages and entries are counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probe {
    pub length: u64,
    pub first_page_zero: bool,
    pub headers: Vec<HeaderCopy>,
    /// Offset pages that the header's units call for.
    pub pages: u64,
    /// How many of them are signed, match their checksum, and have their index.
    pub signed: u64,
    pub checked: u64,
    pub indexed: u64,
    /// Is the page behind them signed as one too?
    pub more: bool,
    pub uniform: u64,
    pub greatest: u32,
    pub detailed: u64,
    /// Entries that name a page outside the file, inside the offset table, or twice.
    pub misplaced: u64,
    /// The convention of the sequence pages, and on how many of them it does not hold.
    pub sequence_checksum: Option<Checksum>,
    pub sequence_failures: u64,
}

impl Probe {
    /// The copy that a reader takes.
    pub fn current(&self) -> Option<&HeaderCopy> {
        let valid = self.headers.iter().filter(|copy| copy.parsed.is_some());
        valid.reduce(|a, b| if b.counter > a.counter { b } else { a })
    }
}

/// Reads a table page by page; time grows with the file's length, not with what it claims.
pub(crate) fn probe(file: &Reader) -> Result<Probe> {
    let mut found = Probe { length: file.length(), ..Probe::default() };
    if file.length() >= PAGE {
        found.first_page_zero =
            file.read_vec(0, PAGE as usize, "the first page")?.iter().all(|&byte| byte == 0);
    }
    let mut copies = [const { Vec::new() }; 2];
    for (copy, offset) in copies.iter_mut().zip(HEADER_OFFSETS) {
        if file.length() >= offset + HEADER_BYTES as u64 {
            *copy = file.read_vec(offset, HEADER_BYTES, "a header of the tracking table")?;
        }
    }
    let checksum = of_headers([&copies[0], &copies[1]]);
    for (copy, bytes) in copies.iter().enumerate().filter(|(_, bytes)| !bytes.is_empty()) {
        found.headers.push(header(copy, bytes, checksum));
    }
    let units = found.current().map_or(0, |copy| copy.units);
    found.pages = if units == 0 { 0 } else { offset_pages(units) };
    table(&mut found, file, units)?;
    Ok(found)
}

fn header(copy: usize, bytes: &[u8], checksum: Option<Checksum>) -> HeaderCopy {
    let checksum = checksum.filter(|sum| sum.holds(bytes));
    HeaderCopy {
        offset: HEADER_OFFSETS[copy],
        signature: LittleEndian::read_u32(&bytes[SIGNATURE_AT..]),
        checksum,
        counter: LittleEndian::read_u64(&bytes[COUNTER_AT..]),
        units: LittleEndian::read_u64(&bytes[UNITS_AT..]),
        id: RctId::new(guid(&bytes[BRANCH_AT..]), LittleEndian::read_u32(&bytes[NUMBER_AT..])),
        branch_count: LittleEndian::read_u16(&bytes[BRANCH_COUNT_AT..]),
        new_id: bytes[NEW_ID_AT],
        parsed: checksum.and_then(|sum| TableHeader::parse(bytes, copy, &sum)),
    }
}

fn table(found: &mut Probe, file: &Reader, units: u64) -> Result<()> {
    let in_file = (file.length() / PAGE).saturating_sub(OFFSET_TABLE / PAGE);
    let mut pages = Sequences { named: HashSet::new(), checksums: SequenceChecksums::new() };
    for index in 0..found.pages.min(in_file) {
        let bytes = file.read_vec(OFFSET_TABLE + index * PAGE, PAGE as usize, "an offset page")?;
        found.signed += u64::from(LittleEndian::read_u32(&bytes) == OFFSET_SIGNATURE);
        found.checked += u64::from(OFFSET_CHECKSUM.holds(&bytes));
        found.indexed += u64::from(u64::from(LittleEndian::read_u32(&bytes[8..])) == index);
        let chunks = units.div_ceil(PER_PAGE) - index * PER_PAGE;
        for entry in bytes[PAGE_HEADER..].chunks_exact(4).take(chunks.min(PER_PAGE) as usize) {
            match u32::try_from(LittleEndian::read_i32(entry)) {
                Ok(number) => {
                    found.uniform += 1;
                    found.greatest = found.greatest.max(number);
                }
                Err(_) => {
                    let page = u64::from(LittleEndian::read_i32(entry).unsigned_abs());
                    sequence_page(found, file, page, &mut pages)?;
                }
            }
        }
    }
    if found.pages < in_file {
        let at = OFFSET_TABLE + found.pages * PAGE;
        let bytes = file.read_vec(at, 4, "the page behind the offset table")?;
        found.more = LittleEndian::read_u32(&bytes) == OFFSET_SIGNATURE;
    }
    Ok(())
}

/// What has been seen of the sequence pages.
struct Sequences {
    named: HashSet<u64>,
    checksums: SequenceChecksums,
}

fn sequence_page(found: &mut Probe, file: &Reader, page: u64, pages: &mut Sequences) -> Result<()> {
    found.detailed += 1;
    let first = OFFSET_TABLE / PAGE + found.pages;
    if page < first || page >= file.length() / PAGE || !pages.named.insert(page) {
        found.misplaced += 1;
        return Ok(());
    }
    let bytes = file.read_vec(page * PAGE, PAGE as usize, "a sequence page")?;
    found.sequence_failures += u64::from(!pages.checksums.accept(&bytes));
    found.sequence_checksum = pages.checksums.found();
    Ok(())
}
