//! The structures of the log (2.3).

use super::{LOG_DESCRIPTOR, LOG_SECTOR_BYTES};
use crate::error::Result;
use crate::wire::Fields;
use uuid::Uuid;

/// Log entry header (2.3.1.1); the descriptors follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vhdx) struct LogEntryHeader {
    pub signature: [u8; 4],
    pub checksum: u32,
    pub entry_length: u32,
    pub tail: u32,
    pub sequence_number: u64,
    pub descriptor_count: u32,
    pub reserved: u32,
    pub log_guid: Uuid,
    pub flushed_file_offset: u64,
    pub last_file_offset: u64,
}

impl LogEntryHeader {
    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self> {
        Ok(LogEntryHeader {
            signature: fields.bytes("signature")?,
            checksum: fields.u32("checksum")?,
            entry_length: fields.u32("entry_length")?,
            tail: fields.u32("tail")?,
            sequence_number: fields.u64("sequence_number")?,
            descriptor_count: fields.u32("descriptor_count")?,
            reserved: fields.u32("reserved")?,
            log_guid: fields.guid("log_guid")?,
            flushed_file_offset: fields.u64("flushed_file_offset")?,
            last_file_offset: fields.u64("last_file_offset")?,
        })
    }
}

/// A zero or data descriptor (2.3.1.2, 2.3.1.3), distinguished by its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vhdx) enum LogDescriptor {
    Zero(ZeroDescriptor),
    Data(DataDescriptor),
    /// A structure with another signature; its bytes are skipped.
    Unknown(u32),
}

impl LogDescriptor {
    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self> {
        let signature = fields.bytes("signature")?;
        Ok(match &signature {
            ZeroDescriptor::SIGNATURE => LogDescriptor::Zero(ZeroDescriptor::parse_rest(fields)?),
            DataDescriptor::SIGNATURE => LogDescriptor::Data(DataDescriptor::parse_rest(fields)?),
            _ => {
                fields.slice("unknown", LOG_DESCRIPTOR - signature.len())?;
                LogDescriptor::Unknown(u32::from_le_bytes(signature))
            }
        })
    }
}

/// Zero descriptor (2.3.1.2), after its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vhdx) struct ZeroDescriptor {
    pub reserved: u32,
    pub zero_length: u64,
    pub file_offset: u64,
    pub sequence_number: u64,
}

impl ZeroDescriptor {
    pub(crate) const SIGNATURE: &[u8; 4] = b"zero";

    fn parse_rest(fields: &mut Fields<'_>) -> Result<Self> {
        Ok(ZeroDescriptor {
            reserved: fields.u32("reserved")?,
            zero_length: fields.u64("zero_length")?,
            file_offset: fields.u64("file_offset")?,
            sequence_number: fields.u64("sequence_number")?,
        })
    }
}

/// Data descriptor (2.3.1.3), after its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vhdx) struct DataDescriptor {
    pub trailing_bytes: [u8; 4],
    pub leading_bytes: [u8; 8],
    pub file_offset: u64,
    pub sequence_number: u64,
}

impl DataDescriptor {
    pub(crate) const SIGNATURE: &[u8; 4] = b"desc";

    fn parse_rest(fields: &mut Fields<'_>) -> Result<Self> {
        Ok(DataDescriptor {
            trailing_bytes: fields.bytes("trailing_bytes")?,
            leading_bytes: fields.bytes("leading_bytes")?,
            file_offset: fields.u64("file_offset")?,
            sequence_number: fields.u64("sequence_number")?,
        })
    }
}

/// Data sector (2.3.1.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vhdx) struct DataSector<'a> {
    pub signature: [u8; 4],
    pub sequence_high: u32,
    pub data: &'a [u8],
    pub sequence_low: u32,
}

impl<'a> DataSector<'a> {
    pub(crate) fn parse(fields: &mut Fields<'a>) -> Result<Self> {
        Ok(DataSector {
            signature: fields.bytes("signature")?,
            sequence_high: fields.u32("sequence_high")?,
            data: fields.slice("data", LOG_SECTOR_BYTES - 12)?,
            sequence_low: fields.u32("sequence_low")?,
        })
    }
}
