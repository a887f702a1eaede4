//! The structures of the log (2.3).

use super::LOG_SECTOR;
use crate::error::Result;
use crate::wire::{Fields, structure};
use uuid::Uuid;

/// The header of a log entry (2.3.1.1); the descriptors follow.
#[derive(Debug, PartialEq)]
pub(in crate::vhdx) struct LogEntry {
    /// The entry's offset in the log; not stored.
    pub at: u64,
    pub signature: [u8; 4],
    pub checksum: u32,
    pub entry_length: u64,
    pub tail: u64,
    pub sequence_number: u64,
    pub descriptor_count: u64,
    pub reserved: u32,
    pub log_guid: Uuid,
    /// This field and the next one need not be aligned: an existing writer stores the unrounded
    /// length of the file, although [MS-VHDX] requires multiples of 1 MiB.
    pub flushed_file_offset: u64,
    pub last_file_offset: u64,
}

impl LogEntry {
    pub(crate) fn parse(fields: &mut Fields<'_>, at: u64) -> Result<Self> {
        Ok(LogEntry {
            at,
            signature: fields.bytes("signature")?,
            checksum: fields.u32("checksum")?,
            entry_length: fields.u32("entry_length")?.into(),
            tail: fields.u32("tail")?.into(),
            sequence_number: fields.u64("sequence_number")?,
            descriptor_count: fields.u32("descriptor_count")?.into(),
            reserved: fields.u32("reserved")?,
            log_guid: fields.guid("log_guid")?,
            flushed_file_offset: fields.u64("flushed_file_offset")?,
            last_file_offset: fields.u64("last_file_offset")?,
        })
    }
}

structure! {
    /// A data descriptor (2.3.1.3), or a zero descriptor (2.3.1.2) with its length in `leading_bytes`.
    pub(in crate::vhdx) struct LogDescriptor {
        pub signature: [u8; 4] = bytes,
        pub trailing_bytes: [u8; 4] = bytes,
        pub leading_bytes: [u8; 8] = bytes,
        pub file_offset: u64 = u64,
        pub sequence_number: u64 = u64,
    }
}

impl LogDescriptor {
    pub(crate) fn is_zero(&self) -> bool {
        self.signature == *b"zero"
    }

    pub(crate) fn is_data(&self) -> bool {
        self.signature == *b"desc"
    }

    /// Returns the length of the update in bytes.
    pub(crate) fn length(&self) -> u64 {
        if self.is_data() { LOG_SECTOR } else { u64::from_le_bytes(self.leading_bytes) }
    }
}

structure! {
    /// Data sector (2.3.1.4).
    pub(in crate::vhdx) struct DataSector {
        pub signature: [u8; 4] = bytes,
        pub sequence_high: u32 = u32,
        pub data: [u8; 4084] = bytes,
        pub sequence_low: u32 = u32,
    }
}
