//! The structures of the header section (2.2).

use crate::error::Result;
use crate::wire::Fields;
use uuid::Uuid;

/// File type identifier (2.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vhdx) struct FileTypeIdentifier {
    pub signature: [u8; 8],
    /// UTF-16, up to the first NUL.
    pub creator: [u8; 512],
}

impl FileTypeIdentifier {
    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self> {
        Ok(FileTypeIdentifier {
            signature: fields.bytes("signature")?,
            creator: fields.bytes("creator")?,
        })
    }
}

/// Header (2.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vhdx) struct Header {
    pub signature: [u8; 4],
    pub checksum: u32,
    pub sequence_number: u64,
    pub file_write_guid: Uuid,
    pub data_write_guid: Uuid,
    pub log_guid: Uuid,
    pub log_version: u16,
    pub version: u16,
    pub log_length: u32,
    pub log_offset: u64,
    pub reserved: [u8; 4016],
}

impl Header {
    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self> {
        Ok(Header {
            signature: fields.bytes("signature")?,
            checksum: fields.u32("checksum")?,
            sequence_number: fields.u64("sequence_number")?,
            file_write_guid: fields.guid("file_write_guid")?,
            data_write_guid: fields.guid("data_write_guid")?,
            log_guid: fields.guid("log_guid")?,
            log_version: fields.u16("log_version")?,
            version: fields.u16("version")?,
            log_length: fields.u32("log_length")?,
            log_offset: fields.u64("log_offset")?,
            reserved: fields.bytes("reserved")?,
        })
    }
}

/// Region table header (2.2.3.1); the entries follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vhdx) struct RegionTableHeader {
    pub signature: [u8; 4],
    pub checksum: u32,
    pub entry_count: u32,
    pub reserved: u32,
}

impl RegionTableHeader {
    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self> {
        Ok(RegionTableHeader {
            signature: fields.bytes("signature")?,
            checksum: fields.u32("checksum")?,
            entry_count: fields.u32("entry_count")?,
            reserved: fields.u32("reserved")?,
        })
    }
}

/// Region table entry (2.2.3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vhdx) struct RegionTableEntry {
    pub guid: Uuid,
    pub file_offset: u64,
    pub length: u32,
    /// Bit 0: Required. The others are reserved.
    pub flags: u32,
}

impl RegionTableEntry {
    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self> {
        Ok(RegionTableEntry {
            guid: fields.guid("guid")?,
            file_offset: fields.u64("file_offset")?,
            length: fields.u32("length")?,
            flags: fields.u32("flags")?,
        })
    }

    pub(crate) fn required(&self) -> bool {
        self.flags & 1 != 0
    }
}
