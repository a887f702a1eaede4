//! The raw structures of a file whose format nobody has published, field by field: how a
//! stranger with a real host can help to settle what is unknown.

use crate::error::Result;
use crate::source::Reader;

/// One field, or a stretch of bytes that nobody has named.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct Field {
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
    /// Its name, "unknown" for bytes without one.
    pub name: String,
    /// What it says, for people.
    pub value: String,
    /// Its bytes in hexadecimal, where their meaning is unknown or in doubt.
    pub raw: Option<String>,
}

/// What was found in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct Inspection {
    /// The file's length in bytes.
    pub file_length: u64,
    /// Every field, in the file's order.
    pub fields: Vec<Field>,
    /// What does not fit what is known, and what was left out.
    pub notes: Vec<String>,
}

/// Unnamed bytes are shown in rows of this many.
const ROW: usize = 32;

/// Rows of unnamed bytes that are shown of one structure.
const MAX_ROWS: usize = 64;

impl Inspection {
    pub(crate) fn add(&mut self, offset: u64, length: usize, name: &str, value: String) {
        let field = Field { offset, length: length as u64, name: name.into(), value, raw: None };
        self.fields.push(field);
    }

    /// A field whose meaning is in doubt: its bytes are shown too.
    pub(crate) fn add_raw(&mut self, offset: u64, bytes: &[u8], name: &str, value: String) {
        let raw = Some(hex(bytes));
        self.fields.push(Field {
            offset,
            length: bytes.len() as u64,
            name: name.into(),
            value,
            raw,
        });
    }

    /// Bytes that nobody has named: rows with something in them, and how much is zero.
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
            self.notes.push(format!(
                "{left} more rows of unknown bytes behind {offset:#x} are not shown"
            ));
        }
    }

    /// As much of `length` bytes as the file has; a note where it has less.
    pub(crate) fn read(
        &mut self,
        file: &Reader,
        offset: u64,
        length: usize,
        what: &str,
    ) -> Result<Vec<u8>> {
        let have = file.length().saturating_sub(offset).min(length as u64) as usize;
        if have < length {
            self.notes.push(format!(
                "{what} at {offset:#x} should have {length} bytes, and the file has {have} there"
            ));
        }
        // An empty read past the end would be an error.
        if have == 0 { Ok(Vec::new()) } else { file.read_vec(offset, have, what) }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
