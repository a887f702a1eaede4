//! The structures of the header section (2.2).

use crate::error::Result;
use crate::wire::{Fields, structure};
use uuid::Uuid;

/// A structure that is stored twice; the checksum follows its signature.
pub(in crate::vhdx) struct StoredTwice {
    pub what: &'static str,
    pub signature: &'static str,
    pub offsets: [u64; 2],
    pub length: usize,
}

structure! {
    /// File type identifier (2.2.1).
    pub(in crate::vhdx) struct FileTypeIdentifier {
        pub signature: [u8; 8] = bytes,
        /// UTF-16, up to the first NUL.
        pub creator: [u8; 512] = bytes,
    }
}

/// The current header of a file (2.2.2): the valid copy or, if both are valid, the newer one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The index of this copy: 0 (at 64 KiB) or 1 (at 128 KiB).
    pub copy: usize,
    pub(in crate::vhdx) signature: [u8; 4],
    pub(in crate::vhdx) checksum: u32,
    /// Increases with every update of the header.
    pub sequence_number: u64,
    /// Changes whenever the file is opened for writing.
    pub file_write_guid: Uuid,
    /// Changes before guest-visible content changes; a child records its parent's value.
    pub data_write_guid: Uuid,
    /// The log's id; nil if the log is empty.
    pub log_guid: Uuid,
    pub(in crate::vhdx) log_version: u16,
    pub(in crate::vhdx) version: u16,
    /// The log's length in bytes.
    pub log_length: u64,
    /// The log's offset in the file, in bytes.
    pub log_offset: u64,
}

impl Header {
    pub(in crate::vhdx) fn parse(fields: &mut Fields<'_>, copy: usize) -> Result<Self> {
        let header = Header {
            copy,
            signature: fields.bytes("signature")?,
            checksum: fields.u32("checksum")?,
            sequence_number: fields.u64("sequence_number")?,
            file_write_guid: fields.guid("file_write_guid")?,
            data_write_guid: fields.guid("data_write_guid")?,
            log_guid: fields.guid("log_guid")?,
            log_version: fields.u16("log_version")?,
            version: fields.u16("version")?,
            log_length: fields.u32("log_length")?.into(),
            log_offset: fields.u64("log_offset")?,
        };
        fields.slice("reserved", 4016)?;
        Ok(header)
    }
}

structure! {
    /// Region table header (2.2.3.1); the entries follow.
    pub(in crate::vhdx) struct RegionTableHeader {
        pub signature: [u8; 4] = bytes,
        pub checksum: u32 = u32,
        pub entry_count: u32 = u32,
        pub reserved: u32 = u32,
    }
}

/// The place of a structure in the file, in bytes: a region table entry (2.2.3.2), or the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Region {
    /// The region's GUID; nil for the log, whose place is in the header.
    pub id: Uuid,
    /// The offset of the first byte.
    pub offset: u64,
    /// The length in bytes.
    pub length: u64,
    /// Whether a reader that does not support the region must refuse the file.
    pub required: bool,
}

impl Region {
    pub(in crate::vhdx) fn parse(fields: &mut Fields<'_>) -> Result<Self> {
        Ok(Region {
            id: fields.guid("guid")?,
            offset: fields.u64("file_offset")?,
            length: fields.u32("length")?.into(),
            // Bit 0 of the flags; the others are reserved.
            required: fields.u32("flags")? & 1 != 0,
        })
    }
}
