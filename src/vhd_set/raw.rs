//! The structures of a `.vhds` file as they are stored, not validated, for programs that show or
//! check what is known of the format. All other programs use [`VhdSet`](super::VhdSet).
//!
//! Each structure has its fields in file order; bytes of unknown meaning are fields, too.

use super::layout::{CHECKSUM_AT, RECORDS_AT};
use crate::error::Result;
use crate::wire::{Fields, checksum, structure};

pub use super::layout::{FILE_SIGNATURE, HEADER_BYTES, HEADER_OFFSETS, HEADER_SIGNATURE};

structure! {
    /// The start of the file (file-signature).
    #[non_exhaustive]
    pub struct FileIdentifier {
        /// [`FILE_SIGNATURE`].
        pub signature: [u8; 8] = bytes,
        /// The name of the program that wrote the file, in UTF-16.
        pub creator: [u8; 512] = bytes,
    }
}

impl FileIdentifier {
    /// The size of the structure in bytes.
    pub const BYTES: usize = 520;

    /// Reads the structure from the first bytes of a file.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`](crate::ErrorKind::Truncated) if there are fewer than
    /// [`BYTES`](Self::BYTES).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::parse(&mut Fields::new("the file identifier", bytes))
    }

    /// Returns the creator as text, up to the first NUL.
    #[must_use]
    pub fn creator_text(&self) -> String {
        utf16(&self.creator)
    }
}

structure! {
    /// A copy of the header: 4 KiB at one of [`HEADER_OFFSETS`].
    #[non_exhaustive]
    pub struct HeaderCopy {
        /// 0x00: [`HEADER_SIGNATURE`] (headers).
        pub signature: [u8; 4] = bytes,
        /// 0x04: unknown, 0xFFFFE000 in the sample.
        pub unknown_4: u32 = u32,
        /// 0x08: of two valid copies, the one with the greater number is current (header-sequence).
        pub sequence_number: u64 = u64,
        /// 0x10: 1 (header-version).
        pub version: u32 = u32,
        /// 0x14: see [`checksum_holds`] (header-checksum).
        pub checksum: u32 = u32,
        /// 0x18: unknown, 7 in the sample.
        pub unknown_18: u32 = u32,
        /// 0x1C: the offset of the active file's name, in bytes (active-name).
        pub active_name_offset: u32 = u32,
        /// 0x20: its length in bytes (active-name).
        pub active_name_length: u32 = u32,
        /// 0x24: zero in the sample; else records that this version cannot read (records).
        pub records: [u8; HEADER_BYTES - RECORDS_AT] = bytes,
    }
}

impl HeaderCopy {
    /// Reads a copy from its [`HEADER_BYTES`] bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`](crate::ErrorKind::Truncated) if there are fewer bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::parse(&mut Fields::new("a header of the set", bytes))
    }
}

/// Returns whether the checksum of a header copy holds; false if there are fewer than
/// [`HEADER_BYTES`] bytes.
#[must_use]
pub fn checksum_holds(bytes: &[u8]) -> bool {
    let Some(bytes) = bytes.get(..HEADER_BYTES) else { return false };
    HeaderCopy::from_bytes(bytes).is_ok_and(|copy| copy.checksum == checksum(bytes, CHECKSUM_AT))
}

/// Decodes UTF-16 up to the first NUL.
pub(super) fn utf16(bytes: &[u8]) -> String {
    let (units, _) = bytes.as_chunks();
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
    let text: Vec<u16> = units.take_while(|&unit| unit != 0).collect();
    String::from_utf16_lossy(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::wire::testing::{sample, word};

    #[test]
    fn file_identifier_has_its_size() {
        let bytes = sample(5000);
        let mut fields = Fields::new("the file identifier", &bytes);
        let identifier = FileIdentifier::parse(&mut fields).unwrap();
        assert_eq!(fields.position(), FileIdentifier::BYTES);
        assert_eq!(identifier.signature, bytes[..8]);
        assert_eq!(identifier.creator, bytes[8..520]);
        let short = FileIdentifier::from_bytes(&bytes[..519]).unwrap_err();
        assert_eq!(short.kind(), ErrorKind::Truncated);
    }

    #[test]
    fn header_copy_has_its_size() {
        let mut bytes = sample(5000);
        let mut fields = Fields::new("a header", &bytes);
        let header = HeaderCopy::parse(&mut fields).unwrap();
        assert_eq!(fields.position(), HEADER_BYTES);
        assert_eq!(header.signature, bytes[..4]);
        assert_eq!((header.unknown_4, header.unknown_18), (word(&bytes, 4), word(&bytes, 0x18)));
        assert_eq!(header.sequence_number.to_le_bytes(), bytes[8..16]);
        assert_eq!((header.version, header.checksum), (word(&bytes, 0x10), word(&bytes, 0x14)));
        let name = (header.active_name_offset, header.active_name_length);
        assert_eq!(name, (word(&bytes, 0x1C), word(&bytes, 0x20)));
        assert_eq!(header.records, bytes[0x24..4096]);
        let short = HeaderCopy::from_bytes(&bytes[..4095]).unwrap_err();
        assert_eq!(short.kind(), ErrorKind::Truncated);
        assert!(!checksum_holds(&bytes));
        let sum = checksum(&bytes[..HEADER_BYTES], 0x14);
        bytes[0x14..0x18].copy_from_slice(&sum.to_le_bytes());
        assert!(checksum_holds(&bytes) && !checksum_holds(&bytes[..4095]));
    }
}
