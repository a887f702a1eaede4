//! The raw structures of a `.vhds` file.

use super::file::checksum_holds;
use super::layout::*;
use crate::error::{ErrorKind, Result};
use crate::inspect::{Inspection, hex};
use crate::source::{Guard, LocalStorage, Reader};
use byteorder::{ByteOrder, LittleEndian};
use std::path::Path;

/// How much of the data behind the headers is shown.
const MAX_SHOWN: u64 = 1 << 20;

/// Reads every structure of a `.vhds` file as the layout says, and shows the bytes of what it
/// does not say.
///
/// # Errors
/// [`ErrorKind::NotVirtualDisk`] for a file that does not begin as a VHD Set does, or where
/// reading fails; what else does not fit is a note.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    let file = Reader::open(&LocalStorage::new(), path.as_ref(), &Guard::default())?;
    let mut found = Inspection { file_length: file.length(), ..Inspection::default() };
    let start = found.read(&file, 0, 8 + CREATOR_BYTES, "the file's first bytes")?;
    if !start.starts_with(FILE_SIGNATURE) {
        let found = match &start[..start.len().min(8)] {
            [] => "an empty file".to_owned(),
            bytes => format!("a file that begins {}", hex(bytes)),
        };
        let message =
            format!("expected a VHD Set (.vhds), which begins \"vhdsetv1\", found {found}");
        return Err(file.error(ErrorKind::NotVirtualDisk, message));
    }
    if start.len() == 8 + CREATOR_BYTES {
        found.add(0, 8, "signature", start[..8].escape_ascii().to_string());
        found.add(8, CREATOR_BYTES, "creator", utf16(&start[8..]));
    }
    let mut name = None;
    for (copy, offset) in HEADER_OFFSETS.into_iter().enumerate() {
        let bytes = found.read(&file, offset, HEADER_BYTES, "a header")?;
        if bytes.len() == HEADER_BYTES {
            name = header(&mut found, copy, offset, &bytes).max(name);
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
    let at = |offset: u64| (offset - data) as usize;
    if end > data {
        let bytes = file.read_vec(data, at(end), "the data")?;
        found.add_unknown(data, &bytes[..at(name_start)]);
        if name_end > name_start {
            let text = &bytes[at(name_start)..at(name_end)];
            found.add_raw(name_start, text, "active file", utf16(text));
        }
        found.add_unknown(name_end, &bytes[at(name_end)..]);
    }
    Ok(found)
}

/// Shows a header copy; its sequence number and the active name's place where it is valid.
fn header(found: &mut Inspection, copy: usize, at: u64, bytes: &[u8]) -> Option<(u64, u64, u64)> {
    let u32_at = |offset: usize| LittleEndian::read_u32(&bytes[offset..]);
    let mut field = |offset: usize, name: &str, value: String| {
        let length = if offset == SEQUENCE_AT { 8 } else { 4 };
        let name = format!("header {} {name}", copy + 1);
        found.add_raw(at + offset as u64, &bytes[offset..offset + length], &name, value);
    };
    let sequence = LittleEndian::read_u64(&bytes[SEQUENCE_AT..]);
    let holds = checksum_holds(bytes);
    field(0, "signature", bytes[..4].escape_ascii().to_string());
    field(UNKNOWN_4_AT, "unknown", format!("{:#010x}", u32_at(UNKNOWN_4_AT)));
    field(SEQUENCE_AT, "sequence number", sequence.to_string());
    field(VERSION_AT, "version", u32_at(VERSION_AT).to_string());
    field(CHECKSUM_AT, "checksum", if holds { "holds".into() } else { "does not hold".into() });
    field(UNKNOWN_18_AT, "unknown", u32_at(UNKNOWN_18_AT).to_string());
    field(NAME_OFFSET_AT, "active name offset", format!("{:#x}", u32_at(NAME_OFFSET_AT)));
    field(NAME_LENGTH_AT, "active name length", u32_at(NAME_LENGTH_AT).to_string());
    found.add_unknown(at + RECORDS_AT as u64, &bytes[RECORDS_AT..]);
    let valid = holds && bytes.starts_with(HEADER_SIGNATURE);
    if !valid {
        found.notes.push(format!(
            "header {} is not valid: its signature or its checksum does not hold",
            copy + 1
        ));
    }
    valid.then(|| (sequence, u32_at(NAME_OFFSET_AT).into(), u32_at(NAME_LENGTH_AT).into()))
}

fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> =
        bytes.chunks_exact(2).map(LittleEndian::read_u16).take_while(|&unit| unit != 0).collect();
    String::from_utf16_lossy(&units)
}
