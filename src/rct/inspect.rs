//! The raw structures of an `.rct` file, even of one that [`Tracking`](super::Tracking) refuses.

use super::header::TableHeader;
use super::layout::*;
use crate::bytes::guid;
use crate::error::Result;
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
/// Only where reading fails; what does not fit is a note.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    let file = Reader::open(&LocalStorage::new(), path.as_ref(), &Guard::default())?;
    let mut found = Inspection { file_length: file.length(), ..Inspection::default() };
    let first = found.read(&file, 0, PAGE as usize, "the first page")?;
    found.add_unknown(0, &first);
    let mut units = None;
    for (copy, offset) in HEADER_OFFSETS.into_iter().enumerate() {
        let bytes = found.read(&file, offset, HEADER_BYTES, "a header")?;
        if bytes.len() == HEADER_BYTES {
            units = header(&mut found, copy, offset, &bytes).max(units);
        }
    }
    let pages = units.map_or(1, |(_, units)| offset_pages(units));
    offset_table(&mut found, &file, pages)?;
    Ok(found)
}

/// Shows a header copy; its counter and units where it is valid.
fn header(found: &mut Inspection, copy: usize, at: u64, bytes: &[u8]) -> Option<(u64, u64)> {
    let name = |field: &str| format!("header {} {field}", copy + 1);
    let at_field = |offset: usize| at + offset as u64;
    let u64_at = |offset: usize| LittleEndian::read_u64(&bytes[offset..]);
    let holding = holding(HEADER_CHECKSUMS, bytes);
    found.add_raw(at, &bytes[SIGNATURE_AT..4], &name("signature"), "of unknown value".into());
    found.add_raw(at_field(4), &bytes[4..8], &name("checksum"), format!("holds: {holding}"));
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
        format!("{units}; in units of 16 KB at most {size}"),
    );
    found.add(at_field(BRANCH_AT), 16, &name("branch"), guid(&bytes[BRANCH_AT..]).to_string());
    let number = LittleEndian::read_u32(&bytes[NUMBER_AT..]);
    found.add(at_field(NUMBER_AT), 4, &name("number"), format!("{number:#010x}"));
    let count = usize::from(LittleEndian::read_u16(&bytes[BRANCH_COUNT_AT..]));
    found.add(at_field(BRANCH_COUNT_AT), 2, &name("branch count"), count.to_string());
    found.add_raw(
        at_field(NEW_ID_AT),
        &bytes[NEW_ID_AT..][..1],
        &name("new id flag"),
        bytes[NEW_ID_AT].to_string(),
    );
    found.add_unknown(at_field(NEW_ID_AT + 1), &bytes[NEW_ID_AT + 1..HISTORY_AT]);
    let shown = count.min(MAX_BRANCHES);
    for (i, entry) in bytes[HISTORY_AT..].chunks_exact(BRANCH_BYTES).take(shown).enumerate() {
        let first = LittleEndian::read_u32(&entry[BRANCH_FIRST_AT..]);
        let limit = LittleEndian::read_u32(&entry[BRANCH_LIMIT_AT..]);
        let value = format!("{} first {first:#010x} limit {limit:#010x}", guid(entry));
        found.add_raw(
            at_field(HISTORY_AT + i * BRANCH_BYTES),
            entry,
            &name(&format!("branch {i}")),
            value,
        );
    }
    let history_end = HISTORY_AT + shown * BRANCH_BYTES;
    found.add_unknown(at_field(history_end), &bytes[history_end..]);
    let valid = HEADER_CHECKSUMS.iter().find_map(|sum| TableHeader::parse(bytes, copy, sum));
    if valid.is_none() {
        found.notes.push(format!(
            "header {} is not valid: its checksum or its branch count does not hold",
            copy + 1
        ));
    }
    valid.map(|_| (counter, units))
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
    for (chunk, page) in detailed.into_iter().take(MAX_PAGES) {
        let bytes = found.read(file, page * PAGE, PAGE as usize, "a sequence page")?;
        if bytes.len() == PAGE as usize {
            sequence_page(found, chunk, page * PAGE, &bytes);
        }
    }
    Ok(())
}

fn sequence_page(found: &mut Inspection, chunk: u64, at: u64, bytes: &[u8]) {
    let numbers = bytes[PAGE_HEADER..].chunks_exact(4).map(LittleEndian::read_u32);
    let value = format!(
        "checksum: {}; numbers from {} to {}, first bytes {}",
        holding(SEQUENCE_CHECKSUMS, bytes),
        numbers.clone().min().unwrap_or_default(),
        numbers.max().unwrap_or_default(),
        hex(&bytes[PAGE_HEADER..PAGE_HEADER + 16]),
    );
    found.add_raw(at, &bytes[..PAGE_HEADER], &format!("sequence page of chunk {chunk}"), value);
}

/// The names of the conventions that hold.
fn holding(candidates: &[Checksum], bytes: &[u8]) -> String {
    let names: Vec<&str> =
        candidates.iter().filter(|sum| sum.holds(bytes)).map(|sum| sum.name).collect();
    if names.is_empty() { "none of the known conventions".into() } else { names.join(", ") }
}
