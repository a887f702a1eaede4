//! Reads an `.rct` file without trusting any of the facts.

use crate::error::Result;
use crate::pack::PackedFile;
use std::collections::HashSet;
use vhdx_rct::RctId;
use vhdx_rct::rct::Checksum;
use vhdx_rct::rct::raw::*;

/// The bytes of a page.
const PAGE_BYTES: usize = PAGE as usize;

/// One header copy as stored.
#[derive(Debug, Clone)]
pub(crate) struct HeaderCopy {
    pub offset: u64,
    pub signature: u32,
    /// The file's convention, if it holds for this copy.
    pub checksum: Option<Checksum>,
    pub counter: u64,
    pub units: u64,
    pub id: RctId,
    pub branch_count: u16,
    pub new_id: u8,
    /// The header as a reader decodes it; None if it is invalid.
    pub parsed: Option<TableHeader>,
}

/// A table as stored. Numbers of pages and entries are counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probe {
    pub length: u64,
    pub first_page_zero: bool,
    pub headers: Vec<HeaderCopy>,
    /// Offset pages that the header's units call for.
    pub pages: u64,
    /// The number of those that are signed, match their checksum, and have their index.
    pub signed: u64,
    pub checked: u64,
    pub indexed: u64,
    /// True if the page after them also has the signature.
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
    /// Returns the copy that a reader uses.
    pub fn current(&self) -> Option<&HeaderCopy> {
        let valid = self.headers.iter().filter(|copy| copy.parsed.is_some());
        valid.reduce(|a, b| if b.counter > a.counter { b } else { a })
    }
}

/// Reads a table page by page; time grows with the file's length, not with what it claims.
pub(crate) fn probe(file: &PackedFile) -> Result<Probe> {
    let mut found = Probe { length: file.length(), ..Probe::default() };
    if file.length() >= PAGE {
        found.first_page_zero = file.read(0, PAGE_BYTES)?.iter().all(|&byte| byte == 0);
    }
    let mut copies = [const { Vec::new() }; 2];
    for (copy, offset) in copies.iter_mut().zip(HEADER_OFFSETS) {
        if file.length() >= offset + HEADER_BYTES as u64 {
            *copy = file.read(offset, HEADER_BYTES)?;
        }
    }
    let checksum = header_checksum([&copies[0], &copies[1]]);
    for (copy, bytes) in copies.iter().enumerate().filter(|(_, bytes)| !bytes.is_empty()) {
        found.headers.push(header(copy, bytes, checksum)?);
    }
    let units = found.current().map_or(0, |copy| copy.units);
    found.pages = if units == 0 { 0 } else { offset_pages(units) };
    table(&mut found, file, units)?;
    Ok(found)
}

fn header(copy: usize, bytes: &[u8], checksum: Option<Checksum>) -> Result<HeaderCopy> {
    let checksum = checksum.filter(|sum| sum.holds(bytes));
    let raw = TableHeader::from_bytes(bytes)?;
    Ok(HeaderCopy {
        offset: HEADER_OFFSETS[copy],
        signature: raw.signature,
        checksum,
        counter: raw.counter,
        units: raw.units,
        id: raw.current,
        branch_count: raw.branch_count,
        new_id: raw.new_id_flag,
        parsed: (checksum.is_some() && raw.has_valid_branch_count()).then_some(raw),
    })
}

fn table(found: &mut Probe, file: &PackedFile, units: u64) -> Result<()> {
    let in_file = (file.length() / PAGE).saturating_sub(OFFSET_TABLE / PAGE);
    let mut pages = Sequences { named: HashSet::new(), checksums: SequenceChecksums::default() };
    for index in 0..found.pages.min(in_file) {
        let bytes = file.read(OFFSET_TABLE + index * PAGE, PAGE_BYTES)?;
        let page = OffsetPage::from_bytes(&bytes)?;
        found.signed += u64::from(page.signature == OFFSET_SIGNATURE);
        found.checked += u64::from(OFFSET_CHECKSUM.holds(&bytes));
        found.indexed += u64::from(u64::from(page.index) == index);
        let chunks = units.div_ceil(PER_PAGE) - index * PER_PAGE;
        for entry in page.entries().take(chunks.min(PER_PAGE) as usize) {
            match u32::try_from(entry) {
                Ok(number) => {
                    found.uniform += 1;
                    found.greatest = found.greatest.max(number);
                }
                Err(_) => sequence_page(found, file, entry.unsigned_abs().into(), &mut pages)?,
            }
        }
    }
    if found.pages < in_file {
        let at = OFFSET_TABLE + found.pages * PAGE;
        found.more = file.read(at, 4)? == OFFSET_SIGNATURE.to_le_bytes();
    }
    Ok(())
}

/// Statistics about the sequence pages.
struct Sequences {
    named: HashSet<u64>,
    checksums: SequenceChecksums,
}

fn sequence_page(
    found: &mut Probe,
    file: &PackedFile,
    page: u64,
    pages: &mut Sequences,
) -> Result<()> {
    found.detailed += 1;
    let first = OFFSET_TABLE / PAGE + found.pages;
    if page < first || page >= file.length() / PAGE || !pages.named.insert(page) {
        found.misplaced += 1;
        return Ok(());
    }
    let bytes = file.read(page * PAGE, PAGE_BYTES)?;
    found.sequence_failures += u64::from(!pages.checksums.accept(&bytes));
    found.sequence_checksum = pages.checksums.found();
    Ok(())
}
