//! The raw structures of an `.rct` file, even of one that [`TrackingTable`](super::TrackingTable)
//! refuses.

use super::checksum::{
    Checksum, SequenceChecksums, header_candidates, of_headers, sequence_candidates,
};
use super::layout::*;
use super::raw::{BranchEntry, HeaderCopy, OffsetPage, SequencePage};
use crate::error::{ErrorKind, Result, Subject};
use crate::inspect::{Inspection, hex};
use crate::limits::Limits;
use crate::source::{LocalStorage, Reader};
use crate::wire::{FieldRecord, Fields};
use std::path::Path;

/// The maximum number of offset pages, and of sequence pages, that are shown.
const MAX_PAGES: usize = 16;

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
/// [`ErrorKind::Truncated`] for an empty file, or if reading fails. Anything that contradicts the
/// layout is a note.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    let file = Reader::open(
        &LocalStorage::new(),
        path.as_ref(),
        Subject::TrackingTable,
        &Limits::default(),
    )?;
    if file.length() == 0 {
        let message = "the file is empty: expected a tracking table (.rct) or a VHD Set (.vhds)";
        return Err(file.error(ErrorKind::Truncated, message.into()));
    }
    let mut found = Inspection { file_length: file.length(), ..Inspection::default() };
    let first = found.read(&file, 0, PAGE_BYTES, "the first page")?;
    found.add_unknown(0, &first);
    let mut copies = [const { Vec::new() }; 2];
    for (copy, offset) in copies.iter_mut().zip(HEADER_OFFSETS) {
        *copy = found.read(&file, offset, HEADER_BYTES, "a header")?;
    }
    let checksum = of_headers([&copies[0], &copies[1]]);
    let mut units = None;
    for (copy, bytes) in copies.iter().enumerate().filter(|(_, copy)| copy.len() == HEADER_BYTES) {
        units = header(&mut found, copy, bytes, checksum)?.max(units);
    }
    header_checksums(&mut found, [&copies[0], &copies[1]], checksum);
    let pages = units.map_or(1, |(_, units)| offset_pages(units));
    offset_table(&mut found, &file, pages)?;
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
    let tried = tried(LIKELY_HEADER_CHECKSUMS, header_candidates().count());
    found.notes.push(format!("header checksum: {note}; tried were {tried}"));
    // Another convention may be correct on the other copy.
    let Some(sum) = checksum else { return };
    for (copy, bytes) in copies.iter().enumerate().filter(|(_, bytes)| !sum.holds(bytes)) {
        if let Some(other) = header_candidates().find(|sum| sum.holds(bytes)) {
            found.notes.push(format!(
                "{other} holds on header {}, which is not valid all the same: a file has one convention, and {sum} \
                 is the likelier",
                copy + 1
            ));
        }
    }
}

/// Lists the likely conventions by name, and the number of others.
fn tried(likely: &[Checksum], count: usize) -> String {
    let names: Vec<String> = likely.iter().map(Checksum::to_string).collect();
    format!("{}; and {} more", names.join("; "), count - likely.len())
}

/// Shows a header copy; returns its counter and units if it is valid.
fn header(
    found: &mut Inspection,
    copy: usize,
    bytes: &[u8],
    checksum: Option<Checksum>,
) -> Result<Option<(u64, u64)>> {
    let at = HEADER_OFFSETS[copy];
    let mut fields = Fields::recording("a header", bytes, at);
    let raw = HeaderCopy::parse(&mut fields)?;
    // The checksum may overlap a field that is shown.
    let holding = checksum.filter(|sum| sum.holds(bytes));
    let place = holding.map_or(LIKELY_HEADER_CHECKSUMS[0].at, |sum| sum.at);
    let holds = holding.map_or("none that is known holds".into(), |sum| format!("{sum} holds"));
    let name = format!("header {} checksum", copy + 1);
    found.add_raw(at + place as u64, &bytes[place..][..4], &name, holds);
    for record in fields.into_records() {
        match record.name {
            "checksum" if record.offset == at + place as u64 => {}
            "checksum" | "unknown" => found.add_unknown(record.offset, record.bytes),
            "history" => history(found, copy, &record),
            _ => header_field(found, copy, &raw, &record),
        }
    }
    let valid = holding.and_then(|sum| raw.table_header(copy, sum));
    let problem = match &valid {
        None => "is not valid: its checksum or its branch count does not hold",
        Some(header) if !header.is_consistent() => {
            "has a history that does not fit its current id: only ids of the current branch are answered"
        }
        Some(_) => return Ok(Some((raw.counter, raw.units))),
    };
    found.notes.push(format!("header {} {problem}", copy + 1));
    Ok(valid.map(|_| (raw.counter, raw.units)))
}

/// Shows a field; if its meaning is in doubt, with its bytes.
fn header_field(
    found: &mut Inspection,
    copy: usize,
    raw: &HeaderCopy<'_>,
    record: &FieldRecord<'_>,
) {
    let is_assumed = matches!(record.name, "signature" | "counter" | "new_id_flag");
    let value = match record.name {
        "signature" => "of unknown value".into(),
        "counter" => raw.counter.to_string(),
        "units" => {
            let size = raw.units.checked_mul(UNIT);
            let size = size.map_or("beyond 2^64".into(), |size| format!("{size} bytes"));
            format!("{}; of 16 KiB each, at most {size}", raw.units)
        }
        "branch" => raw.branch.to_string(),
        "number" => format!("{:#010x}", raw.number),
        "branch_count" => raw.branch_count.to_string(),
        "new_id_flag" => raw.new_id_flag.to_string(),
        _ => String::new(),
    };
    let name = format!("header {} {}", copy + 1, record.name.replace('_', " "));
    match is_assumed {
        true => found.add_raw(record.offset, record.bytes, &name, value),
        false => found.add(record.offset, record.bytes.len(), &name, value),
    }
}

fn history(found: &mut Inspection, copy: usize, record: &FieldRecord<'_>) {
    let places = (record.offset..).step_by(BRANCH_BYTES);
    for ((i, entry), at) in record.bytes.chunks_exact(BRANCH_BYTES).enumerate().zip(places) {
        let Ok(branch) = BranchEntry::parse(&mut Fields::new("a branch", entry)) else { break };
        let BranchEntry { id, first, limit } = branch;
        let value = format!("{id} first {first:#010x} limit {limit:#010x}");
        found.add_raw(at, entry, &format!("header {} branch {i}", copy + 1), value);
    }
}

/// Shows offset pages, and the first sequence pages that they name.
fn offset_table(found: &mut Inspection, file: &Reader, pages: u64) -> Result<()> {
    let mut detailed = Vec::new();
    for index in 0..pages.min(MAX_PAGES as u64) {
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
    if pages > MAX_PAGES as u64 {
        found
            .notes
            .push(format!("the offset table has {pages} pages; the first {MAX_PAGES} are shown"));
    }
    if detailed.len() > MAX_PAGES {
        found.notes.push(format!(
            "of at least {} sequence pages the first {MAX_PAGES} are shown",
            detailed.len()
        ));
    }
    sequence_pages(found, file, detailed.into_iter().take(MAX_PAGES))
}

/// Shows sequence pages, each with its chunk and its number in the file.
fn sequence_pages(
    found: &mut Inspection,
    file: &Reader,
    pages: impl Iterator<Item = (u64, u64)>,
) -> Result<()> {
    let sums = SequenceChecksums::new();
    let (mut seen, mut indexed, mut failed) = (0, 0, 0);
    for (chunk, page) in pages {
        let bytes = found.read(file, page * PAGE, PAGE_BYTES, "a sequence page")?;
        if bytes.len() == PAGE_BYTES {
            seen += 1;
            failed += u64::from(!sums.accept(&bytes));
            let raw = SequencePage::from_bytes(&bytes)?;
            indexed += u64::from(u64::from(raw.words[0]) == chunk);
            sequence_page(found, chunk, page * PAGE, (&bytes, &raw));
        }
    }
    if seen == 0 {
        return Ok(());
    }
    let holds = match sums.found() {
        Some(sum) => format!("{sum} holds on {} of {seen} pages", seen - failed),
        None => format!("holds on none of {seen} pages"),
    };
    let tried = tried(LIKELY_SEQUENCE_CHECKSUMS, sequence_candidates().count());
    found.notes.push(format!("sequence page checksum: {holds}; tried were {tried}"));
    found.notes.push(match indexed == seen {
        true => format!("the first word of each of {seen} sequence pages is its chunk's index"),
        false => {
            format!("the first word of {indexed} of {seen} sequence pages is its chunk's index")
        }
    });
    Ok(())
}

fn sequence_page(
    found: &mut Inspection,
    chunk: u64,
    at: u64,
    (bytes, page): (&[u8], &SequencePage<'_>),
) {
    let holding: Vec<String> =
        sequence_candidates().filter(|sum| sum.holds(bytes)).map(|sum| sum.to_string()).collect();
    let value = format!(
        "first word {}, checksum: {}; numbers from {} to {}, first bytes {}",
        page.words[0],
        if holding.is_empty() { "none that is known holds".into() } else { holding.join("; ") },
        page.numbers().min().unwrap_or_default(),
        page.numbers().max().unwrap_or_default(),
        hex(&page.numbers[..16]),
    );
    found.add_raw(at, &bytes[..PAGE_HEADER], &format!("sequence page of chunk {chunk}"), value);
}
