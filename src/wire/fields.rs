//! The cursor through which every declared structure is parsed.

use crate::error::{Error, ErrorKind, Result};
use byteorder::{ByteOrder, LittleEndian};
use uuid::Uuid;

/// A cursor over the bytes of a structure. Each call takes the next field, so the order of the
/// calls is the layout. Integers are little-endian, GUIDs mixed-endian.
///
/// A cursor can record the fields that it takes; `inspect` uses the same parser with recording on.
pub(crate) struct Fields<'a> {
    structure: &'static str,
    length: usize,
    rest: &'a [u8],
    /// The structure's offset in the file.
    offset: u64,
    records: Option<Vec<FieldRecord<'a>>>,
}

/// A field that a recording cursor has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FieldRecord<'a> {
    pub name: &'static str,
    /// The field's offset in the file.
    pub offset: u64,
    pub bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Reads a structure from these bytes; `structure` names it in errors.
    pub(crate) fn new(structure: &'static str, bytes: &'a [u8]) -> Self {
        Fields { structure, length: bytes.len(), rest: bytes, offset: 0, records: None }
    }

    /// Reads a structure that begins at `offset` in its file, and records each field.
    pub(crate) fn recording(structure: &'static str, bytes: &'a [u8], offset: u64) -> Self {
        Fields { offset, records: Some(Vec::new()), ..Fields::new(structure, bytes) }
    }

    /// Returns the recorded fields in file order.
    pub(crate) fn into_records(self) -> Vec<FieldRecord<'a>> {
        self.records.unwrap_or_default()
    }

    /// Returns the number of bytes that were taken.
    pub(crate) fn position(&self) -> usize {
        self.length - self.rest.len()
    }

    pub(crate) fn u8(&mut self, name: &'static str) -> Result<u8> {
        self.bytes(name).map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self, name: &'static str) -> Result<u16> {
        self.slice(name, 2).map(LittleEndian::read_u16)
    }

    pub(crate) fn u32(&mut self, name: &'static str) -> Result<u32> {
        self.slice(name, 4).map(LittleEndian::read_u32)
    }

    pub(crate) fn u64(&mut self, name: &'static str) -> Result<u64> {
        self.slice(name, 8).map(LittleEndian::read_u64)
    }

    pub(crate) fn guid(&mut self, name: &'static str) -> Result<Uuid> {
        self.bytes(name).map(Uuid::from_bytes_le)
    }

    pub(crate) fn bytes<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.slice(name, N)?);
        Ok(bytes)
    }

    /// Takes `length` bytes without copying them.
    pub(crate) fn slice(&mut self, name: &'static str, length: usize) -> Result<&'a [u8]> {
        let at = self.position();
        let taken = self.rest.split_off(..length).ok_or_else(|| self.truncated(name, at))?;
        if let Some(records) = &mut self.records {
            records.push(FieldRecord { name, offset: self.offset + at as u64, bytes: taken });
        }
        Ok(taken)
    }

    fn truncated(&self, name: &str, at: usize) -> Error {
        let message = format!(
            "expected {} to have its {} at byte {at}, found its end at byte {}",
            self.structure,
            name.replace('_', " "),
            self.length
        );
        Error::new(ErrorKind::Truncated, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes() -> Vec<u8> {
        (0..40).collect()
    }

    #[test]
    fn takes_fields_in_file_order() {
        let bytes = bytes();
        let mut fields = Fields::new("a test", &bytes);
        assert_eq!(fields.u8("a").unwrap(), 0);
        assert_eq!(fields.u16("b").unwrap(), 0x0201);
        assert_eq!(fields.u32("c").unwrap(), 0x0605_0403);
        assert_eq!(fields.u64("d").unwrap(), 0x0E0D_0C0B_0A09_0807);
        let guid = fields.guid("e").unwrap();
        assert_eq!(guid.to_string(), "1211100f-1413-1615-1718-191a1b1c1d1e");
        assert_eq!(fields.bytes::<2>("f").unwrap(), [31, 32]);
        assert_eq!(fields.slice("g", 3).unwrap(), [33, 34, 35]);
        assert_eq!(fields.position(), 36);
        assert!(fields.into_records().is_empty());
    }

    #[test]
    fn reports_the_end_as_truncated() {
        let bytes = bytes();
        let takes: [fn(&mut Fields<'_>) -> Result<()>; 7] = [
            |fields| fields.u8("log_offset").map(drop),
            |fields| fields.u16("log_offset").map(drop),
            |fields| fields.u32("log_offset").map(drop),
            |fields| fields.u64("log_offset").map(drop),
            |fields| fields.guid("log_offset").map(drop),
            |fields| fields.bytes::<4>("log_offset").map(drop),
            |fields| fields.slice("log_offset", 4).map(drop),
        ];
        for (take, length) in takes.into_iter().zip([1, 2, 4, 8, 16, 4, 4]) {
            let mut fields = Fields::new("the header", &bytes[..length + 2]);
            fields.slice("signature", 3).unwrap();
            let error = take(&mut fields).unwrap_err();
            assert_eq!((error.kind(), error.io_kind()), (ErrorKind::Truncated, None));
            let end = length + 2;
            let expected = format!(
                "expected the header to have its log offset at byte 3, found its end at byte {end}"
            );
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn records_names_offsets_and_bytes() {
        let bytes = bytes();
        let mut fields = Fields::recording("a test", &bytes, 0x1000);
        fields.u32("first").unwrap();
        fields.slice("second", 2).unwrap();
        fields.u64("third").unwrap();
        let record = |name, offset, range: std::ops::Range<usize>| FieldRecord {
            name,
            offset,
            bytes: &bytes[range],
        };
        let expected = [
            record("first", 0x1000, 0..4),
            record("second", 0x1004, 4..6),
            record("third", 0x1006, 6..14),
        ];
        assert_eq!(fields.into_records(), expected);
    }
}
