//! The raw structures of an undocumented file format, field by field. The output helps users with a
//! real host to report what is still unknown.

use crate::error::Result;
use crate::size::to_usize;
use crate::source::FileView;
use crate::wire::FieldRecord;
use byteorder::{ByteOrder, LittleEndian};
use uuid::Uuid;

/// A field of an inspected file, or a range of bytes without a known meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct Field {
    /// The field's offset in the file.
    pub offset: u64,
    /// The field's length in bytes.
    pub length: u64,
    /// The field's name; "unknown" for bytes without one.
    pub name: String,
    /// The field's value in readable form.
    pub value: String,
    /// The field's bytes in hexadecimal, unless the value is all that they hold.
    pub raw: Option<String>,
}

/// The result of inspecting an `.rct` or `.vhds` file: its fields, and notes about them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct Inspection {
    /// The file's length in bytes.
    pub file_length: u64,
    /// Every field, in file order.
    pub fields: Vec<Field>,
    /// Contradictions of the known layout, and omissions.
    pub notes: Vec<String>,
}

/// The number of unnamed bytes shown per row.
const ROW: usize = 32;

/// The maximum number of rows of unnamed bytes shown per structure.
const MAX_ROWS: usize = 64;

impl Inspection {
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(crate) fn add(&mut self, offset: u64, length: usize, name: &str, value: String) {
        let field = Field { offset, length: length as u64, name: name.into(), value, raw: None };
        self.fields.push(field);
    }

    /// Adds a field together with its bytes.
    pub(crate) fn add_raw(&mut self, offset: u64, bytes: &[u8], name: &str, value: String) {
        let (length, raw) = (bytes.len() as u64, Some(hex(bytes)));
        self.fields.push(Field { offset, length, name: name.into(), value, raw });
    }

    /// Adds a field of a structure. If no value is given, that of an integer or a GUID follows from
    /// its length, and any other field is unknown.
    pub(crate) fn add_record(
        &mut self,
        structure: &str,
        record: &FieldRecord<'_>,
        value: Option<String>,
    ) {
        let FieldRecord { name, offset, bytes } = *record;
        let value = value.or_else(|| match bytes.len() {
            length @ 1..=8 => Some(LittleEndian::read_uint(bytes, length).to_string()),
            _ => Uuid::from_slice_le(bytes).ok().map(|guid| guid.to_string()),
        });
        match value {
            Some(value) => {
                let name = format!("{structure} {}", name.replace('_', " "));
                self.add_raw(offset, bytes, &name, value);
            }
            None => self.add_unknown(offset, bytes),
        }
    }

    /// Adds unnamed bytes: the rows that are not all zeros, and the number of zero bytes.
    pub(crate) fn add_unknown(&mut self, offset: u64, bytes: &[u8]) {
        let rows: Vec<(usize, &[u8])> = bytes.chunks(ROW).enumerate().collect();
        let used: Vec<_> =
            rows.iter().filter(|(_, row)| row.iter().any(|&byte| byte != 0)).collect();
        for (i, row) in used.iter().take(MAX_ROWS) {
            self.add_raw(offset + (i * ROW) as u64, row, "unknown", String::new());
        }
        if used.is_empty() && !bytes.is_empty() {
            self.add(offset, bytes.len(), "unknown", "all zero".into());
        }
        if used.len() > MAX_ROWS {
            let left = used.len() - MAX_ROWS;
            self.note(format!("{left} more rows of unknown bytes after {offset:#x} are not shown"));
        }
    }

    /// Reads up to `length` bytes, and adds a note if the file has fewer.
    pub(crate) fn read(
        &mut self,
        file: FileView<'_>,
        offset: u64,
        length: usize,
        what: &str,
    ) -> Result<Vec<u8>> {
        let have = to_usize(file.length.saturating_sub(offset).min(length as u64));
        if have < length {
            self.note(format!("expected {length} bytes of {what} at {offset:#x}, found {have}"));
        }
        // An empty read past the end would be an error.
        if have == 0 { Ok(Vec::new()) } else { file.read_vec(offset, have, what) }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
