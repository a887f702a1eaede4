//! The raw structures of an `.rct` file, even of one that [`Tracking`](super::Tracking) refuses.

use super::checksum::{
    Checksum, SequenceChecksums, header_candidates, of_headers, sequence_candidates,
};
use super::header::TableHeader;
use super::layout::*;
use crate::bytes::guid;
use crate::error::{ErrorKind, Result};
use crate::inspect::{Inspection, hex};
use crate::source::{Guard, LocalStorage, Reader};
use byteorder::{ByteOrder, LittleEndian};
use std::path::Path;

/// How many offset pages, and how many sequence pages, are shown.
const MAX_PAGES: usize = 16;

/// Reads every structure of an `.rct` file as the layout says, and shows the bytes of what it
/// does not say.
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
/// [`ErrorKind::Truncated`] for an empty file, or where reading fails; what does not fit is a
/// note.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    let file = Reader::open(&LocalStorage::new(), path.as_ref(), &Guard::default())?;
    if file.length() == 0 {
        let message = "the file is empty: expected a tracking table (.rct) or a VHD Set (.vhds)";
        return Err(file.error(ErrorKind::Truncated, message.into()));
    }
    let mut found = Inspection { file_length: file.length(), ..Inspection::default() };
    let first = found.read(&file, 0, PAGE as usize, "the first page")?;
    found.add_unknown(0, &first);
    let mut copies = [const { Vec::new() }; 2];
    for (copy, offset) in copies.iter_mut().zip(HEADER_OFFSETS) {
        *copy = found.read(&file, offset, HEADER_BYTES, "a header")?;
    }
    let checksum = of_headers([&copies[0], &copies[1]]);
    let mut units = None;
    for (copy, bytes) in copies.iter().enumerate().filter(|(_, copy)| copy.len() == HEADER_BYTES) {
        units = header(&mut found, copy, bytes, checksum).max(units);
    }
    header_checksums(&mut found, [&copies[0], &copies[1]], checksum);
    let pages = units.map_or(1, |(_, units)| offset_pages(units));
    offset_table(&mut found, &file, pages)?;
    found.fields.sort_by_key(|field| field.offset);
    Ok(found)
}

/// Which conventions were tried on the headers, and what came of it.
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
    // On the other copy something else may hold.
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

/// The likely conventions by name, and how many more there are.
fn tried(likely: &[Checksum], count: usize) -> String {
    let names: Vec<String> = likely.iter().map(Checksum::to_string).collect();
    format!("{}; and {} more", names.join("; "), count - likely.len())
}

/// Shows a header copy; its counter and units where it is valid.
fn header(
    found: &mut Inspection,
    copy: usize,
    bytes: &[u8],
    checksum: Option<Checksum>,
) -> Option<(u64, u64)> {
    let at = HEADER_OFFSETS[copy];
    let name = |field: &str| format!("header {} {field}", copy + 1);
    let at_field = |offset: usize| at + offset as u64;
    let u64_at = |offset: usize| LittleEndian::read_u64(&bytes[offset..]);
    found.add_raw(at, &bytes[SIGNATURE_AT..4], &name("signature"), "of unknown value".into());
    // It may stand inside what is shown as something else.
    let holding = checksum.filter(|sum| sum.holds(bytes));
    let holds = holding.map_or("none that is known holds".into(), |sum| format!("{sum} holds"));
    let place = holding.map_or(LIKELY_HEADER_CHECKSUMS[0].at, |sum| sum.at);
    found.add_raw(at_field(place), &bytes[place..][..4], &name("checksum"), holds);
    if place != 4 {
        found.add_unknown(at_field(4), &bytes[4..8]);
    }
    let counter = u64_at(COUNTER_AT);
    found.add_raw(
        at_field(COUNTER_AT),
        &bytes[COUNTER_AT..][..8],
        &name("counter"),
        counter.to_string(),
    );
    found.add_unknown(at_field(0x10), &bytes[0x10..UNITS_AT]);
    let units = u64_at(UNITS_AT);
    let size = units.checked_mul(UNIT).map_or("beyond 2^64".into(), |size| format!("{size} bytes"));
    found.add(
        at_field(UNITS_AT),
        8,
        &name("units"),
        format!("{units}; of 16 KiB each, at most {size}"),
    );
    found.add(at_field(BRANCH_AT), 16, &name("branch"), guid(&bytes[BRANCH_AT..]).to_string());
    let number = LittleEndian::read_u32(&bytes[NUMBER_AT..]);
    found.add(at_field(NUMBER_AT), 4, &name("number"), format!("{number:#010x}"));
    let count = LittleEndian::read_u16(&bytes[BRANCH_COUNT_AT..]);
    found.add(at_field(BRANCH_COUNT_AT), 2, &name("branch count"), count.to_string());
    found.add_raw(
        at_field(NEW_ID_AT),
        &bytes[NEW_ID_AT..][..1],
        &name("new id flag"),
        bytes[NEW_ID_AT].to_string(),
    );
    found.add_unknown(at_field(NEW_ID_AT + 1), &bytes[NEW_ID_AT + 1..HISTORY_AT]);
    history(found, copy, bytes);
    let valid = checksum.and_then(|sum| TableHeader::parse(bytes, copy, &sum));
    let problem = match &valid {
        None => "is not valid: its checksum or its branch count does not hold",
        Some(header) if !header.is_consistent() => {
            "has a history that does not fit its current id: only ids of the current branch are answered"
        }
        Some(_) => return Some((counter, units)),
    };
    found.notes.push(format!("header {} {problem}", copy + 1));
    valid.map(|_| (counter, units))
}

fn history(found: &mut Inspection, copy: usize, bytes: &[u8]) {
    let at_field = |offset: usize| HEADER_OFFSETS[copy] + offset as u64;
    let count = usize::from(LittleEndian::read_u16(&bytes[BRANCH_COUNT_AT..]));
    let shown = count.min(MAX_BRANCHES);
    for (i, entry) in bytes[HISTORY_AT..].chunks_exact(BRANCH_BYTES).take(shown).enumerate() {
        let first = LittleEndian::read_u32(&entry[BRANCH_FIRST_AT..]);
        let limit = LittleEndian::read_u32(&entry[BRANCH_LIMIT_AT..]);
        let value = format!("{} first {first:#010x} limit {limit:#010x}", guid(entry));
        let name = format!("header {} branch {i}", copy + 1);
        found.add_raw(at_field(HISTORY_AT + i * BRANCH_BYTES), entry, &name, value);
    }
    let history_end = HISTORY_AT + shown * BRANCH_BYTES;
    found.add_unknown(at_field(history_end), &bytes[history_end..]);
}

/// Shows offset pages, and the first sequence pages that they name.
fn offset_table(found: &mut Inspection, file: &Reader, pages: u64) -> Result<()> {
    let mut detailed = Vec::new();
    for index in 0..pages.min(MAX_PAGES as u64) {
        let at = OFFSET_TABLE + index * PAGE;
        let bytes = found.read(file, at, PAGE as usize, "an offset page")?;
        if bytes.len() < PAGE as usize {
            break;
        }
        let signature = LittleEndian::read_u32(&bytes);
        let entries: Vec<i32> =
            bytes[PAGE_HEADER..].chunks_exact(4).map(LittleEndian::read_i32).collect();
        let count = |wanted: fn(&i32) -> bool| entries.iter().copied().filter(wanted).count();
        let value = format!(
            "signature {signature:#010x}, checksum {}, index {}; chunks: {} never changed, {} uniform, {} detailed",
            if OFFSET_CHECKSUM.holds(&bytes) { "holds" } else { "does not hold" },
            LittleEndian::read_u32(&bytes[8..]),
            count(|&entry| entry == 0),
            count(|&entry| entry > 0),
            count(|&entry| entry < 0),
        );
        found.add_raw(at, &bytes[..PAGE_HEADER], &format!("offset page {index}"), value);
        let negative = entries.iter().enumerate().filter(|(_, entry)| **entry < 0);
        detailed.extend(
            negative
                .map(|(i, entry)| (index * PER_PAGE + i as u64, u64::from(entry.unsigned_abs()))),
        );
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
        let bytes = found.read(file, page * PAGE, PAGE as usize, "a sequence page")?;
        if bytes.len() == PAGE as usize {
            seen += 1;
            failed += u64::from(!sums.accept(&bytes));
            indexed += u64::from(u64::from(LittleEndian::read_u32(&bytes)) == chunk);
            sequence_page(found, chunk, page * PAGE, &bytes);
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

fn sequence_page(found: &mut Inspection, chunk: u64, at: u64, bytes: &[u8]) {
    let numbers = bytes[PAGE_HEADER..].chunks_exact(4).map(LittleEndian::read_u32);
    let holding: Vec<String> =
        sequence_candidates().filter(|sum| sum.holds(bytes)).map(|sum| sum.to_string()).collect();
    let value = format!(
        "first word {}, checksum: {}; numbers from {} to {}, first bytes {}",
        LittleEndian::read_u32(bytes),
        if holding.is_empty() { "none that is known holds".into() } else { holding.join("; ") },
        numbers.clone().min().unwrap_or_default(),
        numbers.max().unwrap_or_default(),
        hex(&bytes[PAGE_HEADER..PAGE_HEADER + 16]),
    );
    found.add_raw(at, &bytes[..PAGE_HEADER], &format!("sequence page of chunk {chunk}"), value);
}
