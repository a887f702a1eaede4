//! The raw structures of an `.rct` file, even of one that [`TrackingTable`](super::TrackingTable)
//! refuses.

use super::TableHeader;
use super::checksum::{Checksum, Conventions, SequenceChecksums, header_checksum};
use super::error::RctError;
use super::layout::*;
use super::raw::{OffsetPage, SequencePage};
use crate::error::{Result, Subject};
use crate::inspect::{Inspection, hex};
use crate::limits::Limits;
use crate::size::to_usize;
use crate::source::{FileView, Reader};
use crate::wire::{FieldRecord, Fields};
use std::path::Path;

/// The maximum number of offset pages, and of sequence pages, that are shown.
const MAX_PAGES: u64 = 16;

/// Reads every structure of an `.rct` file according to the known layout, and shows the raw bytes
/// of the rest.
///
/// ```
/// # if !std::path::Path::new("testdata").exists() { return Ok(()); } // not in the packaged crate
/// let found = vhdx_rct::rct::inspect("testdata/child.avhdx.rct")?;
/// for field in &found.fields {
///     println!("{:#08x} {}: {}", field.offset, field.name, field.value);
/// }
/// assert!(found.fields.iter().any(|field| field.name == "offset page 0"));
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Truncated`](crate::ErrorKind::Truncated) for an empty file, or if reading fails. Anything that contradicts the
/// layout is a note.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    let limits = Limits::default();
    let file = Reader::open_local(path.as_ref(), Subject::TrackingTable)?;
    let file = file.within(&limits);
    if file.length == 0 {
        return Err(file.name(RctError::Empty));
    }
    let mut found = Inspection { file_length: file.length, ..Inspection::default() };
    let first = found.read(file, 0, PAGE_BYTES, "the first page")?;
    found.add_unknown(0, &first);
    let mut copies = [const { Vec::new() }; 2];
    for (copy, offset) in copies.iter_mut().zip(HEADER_OFFSETS) {
        *copy = found.read(file, offset, HEADER_BYTES, "a header")?;
    }
    let copies = [&copies[0][..], &copies[1]];
    let checksum = header_checksum(copies);
    let mut units = None;
    for (copy, bytes) in copies.iter().enumerate().filter(|(_, copy)| copy.len() == HEADER_BYTES) {
        units = header(&mut found, copy, bytes, checksum)?.max(units);
    }
    header_checksums(&mut found, copies, checksum);
    let pages = units.map_or(1, |(_, units)| offset_pages(units));
    offset_table(&mut found, file, pages)?;
    found.fields.sort_by_key(|field| field.offset);
    Ok(found)
}

/// Notes which conventions were tried on the headers, and the result.
fn header_checksums(found: &mut Inspection, copies: [&[u8]; 2], checksum: Option<Checksum>) {
    let note = match checksum {
        None => "holds on no header".to_owned(),
        Some(sum) => match copies.map(|copy| sum.holds(copy)) {
            [true, true] => format!("{sum} holds on both headers"),
            [first, _] => format!("{sum} holds on header {} only", if first { 1 } else { 2 }),
        },
    };
    found.note(format!("header checksum: {note}; {}", tried(&HEADER_CHECKSUMS)));
    // Another convention may be correct on the other copy.
    let Some(sum) = checksum else { return };
    for (copy, bytes) in copies.iter().enumerate().filter(|(_, bytes)| !sum.holds(bytes)) {
        if let Some(other) = HEADER_CHECKSUMS.all().find(|sum| sum.holds(bytes)) {
            found.note(format!(
                "{other} holds on header {}, which is not valid nevertheless: a file has one convention, and {sum} \
                 is more likely",
                copy + 1
            ));
        }
    }
}

/// Lists the likely conventions by name, and the number of others.
fn tried(conventions: &Conventions) -> String {
    let likely: Vec<String> = conventions.likely.iter().map(Checksum::to_string).collect();
    let others = conventions.all().count() - likely.len();
    format!("tried were {}; and {others} more", likely.join("; "))
}

/// Shows a header copy; returns its counter and units if it is valid.
fn header(
    found: &mut Inspection,
    copy: usize,
    bytes: &[u8],
    checksum: Option<Checksum>,
) -> Result<Option<(u64, u64)>> {
    let (name, at) = (format!("header {}", copy + 1), HEADER_OFFSETS[copy]);
    let mut fields = Fields::recording("a header", bytes, at);
    let header = TableHeader::parse(&mut fields)?;
    // The checksum may overlap a field that is shown.
    let holding = checksum.filter(|sum| sum.holds(bytes));
    let place = holding.map_or(HEADER_CHECKSUMS.likely[0].at, |sum| sum.at);
    let holds = holding.map_or("none that is known holds".into(), |sum| format!("{sum} holds"));
    found.add_raw(at + place as u64, &bytes[place..][..4], &format!("{name} checksum"), holds);
    for record in fields.into_records() {
        let FieldRecord { offset, bytes, .. } = record;
        let value = match record.name {
            "checksum" if offset == at + place as u64 => continue,
            "checksum" | "unknown" => {
                found.add_unknown(offset, bytes);
                continue;
            }
            "history" => {
                let places = (offset..).step_by(BRANCH_BYTES);
                let entries = bytes.chunks_exact(BRANCH_BYTES).zip(places);
                for ((i, branch), (bytes, at)) in header.branches.iter().enumerate().zip(entries) {
                    let (first, limit) = (branch.first, branch.limit);
                    let value = format!("{} first {first:#010x} limit {limit:#010x}", branch.id);
                    found.add_raw(at, bytes, &format!("{name} branch {i}"), value);
                }
                continue;
            }
            "signature" => Some("of unknown value".into()),
            "units" => {
                let size = header.units.checked_mul(UNIT);
                let size = size.map_or("beyond 2^64".into(), |size| format!("{size} bytes"));
                Some(format!("{}; of 16 KiB each, at most {size}", header.units))
            }
            "number" => Some(format!("{:#010x}", header.current.number)),
            _ => None,
        };
        found.add_record(&name, &record, value);
    }
    let is_valid = holding.is_some() && header.has_valid_branch_count();
    if !is_valid {
        found.note(format!("{name} is not valid: its checksum or its branch count does not hold"));
    } else if !header.is_consistent() {
        found.note(format!(
            "{name} has a history that does not fit its current id: only ids of the current branch are answered"
        ));
    }
    Ok(is_valid.then_some((header.counter, header.units)))
}

/// Shows offset pages, and the first sequence pages that they name.
fn offset_table(found: &mut Inspection, file: FileView<'_>, pages: u64) -> Result<()> {
    let mut detailed = Vec::new();
    for index in 0..pages.min(MAX_PAGES) {
        let at = OFFSET_TABLE + index * PAGE;
        let bytes = found.read(file, at, PAGE_BYTES, "an offset page")?;
        if bytes.len() < PAGE_BYTES {
            break;
        }
        let page = OffsetPage::from_bytes(&bytes)?;
        let count = |wanted: fn(&i32) -> bool| page.entries().filter(wanted).count();
        let value = format!(
            "signature {:#010x}, checksum {}, index {}; chunks: {} never changed, {} uniform, {} detailed",
            page.signature,
            if OFFSET_CHECKSUM.holds(&bytes) { "holds" } else { "does not hold" },
            page.index,
            count(|&entry| entry == 0),
            count(|&entry| entry > 0),
            count(|&entry| entry < 0),
        );
        found.add_raw(at, &bytes[..PAGE_HEADER], &format!("offset page {index}"), value);
        let chunks = page.entries().zip(index * PER_PAGE..);
        let negative = chunks.filter(|(entry, _)| *entry < 0);
        detailed.extend(negative.map(|(entry, chunk)| (chunk, u64::from(entry.unsigned_abs()))));
    }
    for (what, count) in [("offset", pages), ("sequence", detailed.len() as u64)] {
        if count > MAX_PAGES {
            found.note(format!("of at least {count} {what} pages the first {MAX_PAGES} are shown"));
        }
    }
    detailed.truncate(to_usize(MAX_PAGES));
    sequence_pages(found, file, &detailed)
}

/// Shows sequence pages, each with its chunk and its number in the file.
fn sequence_pages(found: &mut Inspection, file: FileView<'_>, pages: &[(u64, u64)]) -> Result<()> {
    let mut sums = SequenceChecksums::default();
    let (mut seen, mut indexed, mut correct) = (0, 0, 0);
    for &(chunk, page) in pages {
        let bytes = found.read(file, page * PAGE, PAGE_BYTES, "a sequence page")?;
        if bytes.len() < PAGE_BYTES {
            continue;
        }
        let raw = SequencePage::from_bytes(&bytes)?;
        seen += 1;
        correct += u64::from(sums.accept(&bytes));
        indexed += u64::from(u64::from(raw.words[0]) == chunk);
        let holding = SEQUENCE_CHECKSUMS.all().filter(|sum| sum.holds(&bytes));
        let holding: Vec<String> = holding.map(|sum| sum.to_string()).collect();
        let value = format!(
            "first word {}, checksum: {}; numbers from {} to {}, first bytes {}",
            raw.words[0],
            if holding.is_empty() { "none that is known holds".into() } else { holding.join("; ") },
            raw.numbers().min().unwrap_or_default(),
            raw.numbers().max().unwrap_or_default(),
            hex(&raw.numbers[..16]),
        );
        let name = format!("sequence page of chunk {chunk}");
        found.add_raw(page * PAGE, &bytes[..PAGE_HEADER], &name, value);
    }
    if seen > 0 {
        let holds = match sums.found() {
            Some(sum) => format!("{sum} holds on {correct} of {seen} pages"),
            None => format!("holds on none of {seen} pages"),
        };
        let tried = tried(&SEQUENCE_CHECKSUMS);
        found.note(format!("sequence page checksum: {holds}; {tried}"));
        found.note(format!(
            "the first word of {indexed} of {seen} sequence pages is its chunk's index"
        ));
    }
    Ok(())
}
