//! The raw structures of a `.vhds` file.

use super::layout::*;
use super::raw::{FileIdentifier, HeaderCopy, checksum_holds, utf16};
use crate::error::{ErrorKind, Result, Subject};
use crate::inspect::{Inspection, hex};
use crate::limits::Limits;
use crate::size::to_usize;
use crate::source::{LocalStorage, Reader};
use crate::wire::{FieldRecord, Fields};
use std::path::Path;

/// The maximum number of bytes after the headers that are shown.
const MAX_SHOWN: u64 = 1 << 20;

/// Reads every structure of a `.vhds` file according to the known layout, and shows the raw bytes
/// of the rest.
///
/// # Errors
/// [`ErrorKind::NotVirtualDisk`] for a file that does not begin like a VHD Set, or if reading
/// fails. Anything else that contradicts the layout is a note.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    let file =
        Reader::open(&LocalStorage::new(), path.as_ref(), Subject::VhdSet, &Limits::default())?;
    let mut found = Inspection { file_length: file.length(), ..Inspection::default() };
    let start = found.read(&file, 0, FileIdentifier::BYTES, "the file's first bytes")?;
    if !start.starts_with(FILE_SIGNATURE) {
        let found = match &start[..start.len().min(8)] {
            [] => "an empty file".to_owned(),
            bytes => format!("a file that begins {}", hex(bytes)),
        };
        let message =
            format!("expected a VHD Set (.vhds), which begins \"vhdsetv1\", found {found}");
        return Err(file.error(ErrorKind::NotVirtualDisk, message));
    }
    let mut fields = Fields::recording("the file identifier", &start, 0);
    if let Ok(identifier) = FileIdentifier::parse(&mut fields) {
        for FieldRecord { name, offset, bytes } in fields.into_records() {
            let value = match name {
                "signature" => identifier.signature.escape_ascii().to_string(),
                _ => identifier.creator_text(),
            };
            found.add(offset, bytes.len(), name, value);
        }
    }
    let mut name = None;
    for (copy, offset) in HEADER_OFFSETS.into_iter().enumerate() {
        let bytes = found.read(&file, offset, HEADER_BYTES, "a header")?;
        if bytes.len() == HEADER_BYTES {
            name = header(&mut found, copy, offset, &bytes)?.max(name);
        }
    }
    let data = HEADER_OFFSETS[1] + HEADER_BYTES as u64;
    let end = file.length().min(data + MAX_SHOWN);
    if end < file.length() {
        found.notes.push(format!(
            "the file goes on for {} bytes, which are not shown",
            file.length() - end
        ));
    }
    let name = name.map(|(_, offset, length)| (offset, offset.saturating_add(length)));
    let (name_start, name_end) =
        name.filter(|&(start, stop)| start >= data && stop <= end).unwrap_or((end, end));
    let at = |offset: u64| to_usize(offset - data);
    if end > data {
        let bytes = file.read_vec(&Limits::default(), data, at(end), "the data")?;
        found.add_unknown(data, &bytes[..at(name_start)]);
        if name_end > name_start {
            let text = &bytes[at(name_start)..at(name_end)];
            found.add_raw(name_start, text, "active file", utf16(text));
        }
        found.add_unknown(name_end, &bytes[at(name_end)..]);
    }
    Ok(found)
}

/// Shows a header copy; returns its sequence number and the active name's place if it is valid.
fn header(
    found: &mut Inspection,
    copy: usize,
    at: u64,
    bytes: &[u8],
) -> Result<Option<(u64, u64, u64)>> {
    let mut fields = Fields::recording("a header", bytes, at);
    let raw = HeaderCopy::parse(&mut fields)?;
    let holds = checksum_holds(bytes);
    for record in fields.into_records() {
        let (name, value) = match record.name {
            "records" => {
                found.add_unknown(record.offset, record.bytes);
                continue;
            }
            "unknown_4" => ("unknown".into(), format!("{:#010x}", raw.unknown_4)),
            "unknown_18" => ("unknown".into(), raw.unknown_18.to_string()),
            name => (name.replace('_', " "), header_value(name, &raw, holds)),
        };
        let name = format!("header {} {name}", copy + 1);
        found.add_raw(record.offset, record.bytes, &name, value);
    }
    let valid = holds && raw.signature == *HEADER_SIGNATURE;
    if !valid {
        found.notes.push(format!(
            "header {} is not valid: its signature or its checksum does not hold",
            copy + 1
        ));
    }
    let name = (raw.active_name_offset.into(), raw.active_name_length.into());
    Ok(valid.then_some((raw.sequence_number, name.0, name.1)))
}

fn header_value(name: &str, raw: &HeaderCopy, holds: bool) -> String {
    match name {
        "signature" => raw.signature.escape_ascii().to_string(),
        "sequence_number" => raw.sequence_number.to_string(),
        "version" => raw.version.to_string(),
        "checksum" => if holds { "holds" } else { "does not hold" }.into(),
        "active_name_offset" => format!("{:#x}", raw.active_name_offset),
        "active_name_length" => raw.active_name_length.to_string(),
        _ => String::new(),
    }
}
