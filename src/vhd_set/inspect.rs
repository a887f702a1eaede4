//! The raw structures of a `.vhds` file.

use super::file::verify_signature;
use super::layout::*;
use super::raw::{FileIdentifier, HeaderCopy, checksum_holds, utf16};
use crate::error::{Result, Subject};
use crate::inspect::Inspection;
use crate::limits::Limits;
use crate::size::to_usize;
use crate::source::Reader;
use crate::wire::{FieldRecord, Fields};
use std::path::Path;

/// The maximum number of bytes after the headers that are shown.
const MAX_SHOWN: u64 = 1 << 20;

/// Reads every structure of a `.vhds` file according to the known layout, and shows the raw bytes
/// of the rest.
///
/// # Errors
/// [`ErrorKind::NotVirtualDisk`](crate::ErrorKind::NotVirtualDisk) for a file that does not begin
/// like a VHD Set, or if reading fails. Anything else that contradicts the layout is a note.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    let (file, limits) = (Reader::open_local(path.as_ref(), Subject::VhdSet)?, Limits::default());
    let file = file.within(&limits);
    let mut found = Inspection { file_length: file.length, ..Inspection::default() };
    let start = found.read(file, 0, FileIdentifier::BYTES, "the file's first bytes")?;
    verify_signature(&file, &start)?;
    let mut fields = Fields::recording("the file identifier", &start, 0);
    if let Ok(identifier) = FileIdentifier::parse(&mut fields) {
        for FieldRecord { name, offset, bytes } in fields.into_records() {
            let value = match name {
                "signature" => bytes.escape_ascii().to_string(),
                _ => identifier.creator_text(),
            };
            found.add(offset, bytes.len(), name, value);
        }
    }
    let mut name = None;
    for (copy, offset) in HEADER_OFFSETS.into_iter().enumerate() {
        let bytes = found.read(file, offset, HEADER_BYTES, "a header")?;
        if bytes.len() == HEADER_BYTES {
            name = header(&mut found, copy, &bytes)?.max(name);
        }
    }
    let data = HEADER_OFFSETS[1] + HEADER_BYTES as u64;
    let end = file.length.min(data + MAX_SHOWN);
    if end < file.length {
        let rest = file.length - end;
        found.note(format!("the file has {rest} more bytes, which are not shown"));
    }
    if end > data {
        let name = name.map(|(_, start, end)| (start, end));
        let (start, stop) =
            name.filter(|&(start, stop)| start >= data && stop <= end).unwrap_or((end, end));
        let bytes = file.read_vec(data, to_usize(end - data), "the data")?;
        let (before, rest) = bytes.split_at(to_usize(start - data));
        let (text, after) = rest.split_at(to_usize(stop - start));
        found.add_unknown(data, before);
        if !text.is_empty() {
            found.add_raw(start, text, "active file", utf16(text));
        }
        found.add_unknown(stop, after);
    }
    Ok(found)
}

/// Shows a header copy; returns its sequence number and the active name's start and end if it is
/// valid.
fn header(found: &mut Inspection, copy: usize, bytes: &[u8]) -> Result<Option<(u64, u64, u64)>> {
    let (name, at) = (format!("header {}", copy + 1), HEADER_OFFSETS[copy]);
    let mut fields = Fields::recording("a header", bytes, at);
    let raw = HeaderCopy::parse(&mut fields)?;
    let holds = checksum_holds(bytes);
    for record in fields.into_records() {
        let value = match record.name {
            "signature" => Some(raw.signature.escape_ascii().to_string()),
            "unknown_4" => Some(format!("{:#010x}", raw.unknown_4)),
            "checksum" => Some(if holds { "holds" } else { "does not hold" }.into()),
            "active_name_offset" => Some(format!("{:#x}", raw.active_name_offset)),
            _ => None,
        };
        found.add_record(&name, &record, value);
    }
    let is_valid = holds && raw.signature == *HEADER_SIGNATURE;
    if !is_valid {
        found.note(format!("{name} is not valid: its signature or its checksum does not hold"));
    }
    let start = u64::from(raw.active_name_offset);
    let end = start + u64::from(raw.active_name_length);
    Ok(is_valid.then_some((raw.sequence_number, start, end)))
}
