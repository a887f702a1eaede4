//! One log entry ([MS-VHDX] 2.3.1): its header, its descriptors, and the rules that they must
//! follow.

use super::super::layout::*;
use crate::wire::Fields;
use uuid::Uuid;

/// An entry's header; `at` is its offset in the ring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub at: u64,
    pub length: u64,
    pub tail: u64,
    pub sequence: u64,
    pub descriptors: u64,
    /// This field and the next one need not be aligned: an existing writer stores the unrounded
    /// length of the file, although [MS-VHDX] requires multiples of 1 MB.
    pub flushed_file_offset: u64,
    pub last_file_offset: u64,
    pub checksum: u32,
}

/// A broken rule in an entry that was written completely.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(super) enum BrokenRule {
    #[error("expected its tail to be a multiple of 4 KB inside the log, found {0:#x}")]
    Tail(u64),
    #[error("expected its sequence number to be above 0, found 0")]
    Sequence,
    #[error(
        "expected its descriptors and data sectors to fit into {length:#x} bytes, found {needed:#x}"
    )]
    Room { length: u64, needed: u64 },
    #[error("expected descriptor {index} to begin with \"zero\" or \"desc\", found {found:#010x}")]
    DescriptorSignature { index: u64, found: u32 },
    #[error(
        "expected descriptor {index} to update whole pages, found {length:#x} bytes at {offset:#x}"
    )]
    DescriptorAlignment { index: u64, offset: u64, length: u64 },
    #[error("expected descriptor {index} to carry the entry's sequence number, found {found}")]
    DescriptorSequence { index: u64, found: u64 },
    #[error("expected data sector {index} to begin with \"data\", found {found:#010x}")]
    DataSignature { index: u64, found: u32 },
    #[error("expected data sector {index} to carry the entry's sequence number, found {found}")]
    DataSequence { index: u64, found: u64 },
}

impl Entry {
    /// Parses the header of an entry of this log. None if there is no entry here, or if its length
    /// is impossible in a ring of this length, so that nothing can be checked.
    pub(super) fn parse(sector: &[u8], at: u64, ring: u64, log_guid: Uuid) -> Option<Self> {
        let header = LogEntryHeader::parse(&mut Fields::new("a log entry", sector)).ok()?;
        let entry = Entry {
            at,
            length: header.entry_length.into(),
            tail: header.tail.into(),
            sequence: header.sequence_number,
            descriptors: header.descriptor_count.into(),
            flushed_file_offset: header.flushed_file_offset,
            last_file_offset: header.last_file_offset,
            checksum: header.checksum,
        };
        let possible = header.signature == *LOG_ENTRY_SIGNATURE
            && header.log_guid == log_guid
            && entry.length > 0
            && entry.length.is_multiple_of(LOG_SECTOR)
            && entry.length <= ring;
        possible.then_some(entry)
    }

    /// Verifies the rules that concern only the header.
    pub(super) fn check_header(&self, ring: u64) -> Result<(), BrokenRule> {
        if !self.tail.is_multiple_of(LOG_SECTOR) || self.tail >= ring {
            return Err(BrokenRule::Tail(self.tail));
        }
        if self.sequence == 0 {
            return Err(BrokenRule::Sequence);
        }
        self.check_room(0)
    }

    /// Verifies that the descriptors and this many data sectors fit into the entry.
    pub(super) fn check_room(&self, data_sectors: u64) -> Result<(), BrokenRule> {
        let needed = (self.descriptor_sectors() + data_sectors) * LOG_SECTOR;
        match needed <= self.length {
            true => Ok(()),
            false => Err(BrokenRule::Room { length: self.length, needed }),
        }
    }

    /// Verifies the `index`th data sector.
    pub(super) fn check_data_sector(
        &self,
        sector: &DataSector<'_>,
        index: u64,
    ) -> Result<(), BrokenRule> {
        if sector.signature != *LOG_DATA_SIGNATURE {
            let found = u32::from_le_bytes(sector.signature);
            return Err(BrokenRule::DataSignature { index, found });
        }
        match u64::from(sector.sequence_high) << 32 | u64::from(sector.sequence_low) {
            found if found == self.sequence => Ok(()),
            found => Err(BrokenRule::DataSequence { index, found }),
        }
    }

    pub(super) fn descriptor_sectors(&self) -> u64 {
        (LOG_ENTRY_HEADER as u64 + self.descriptors * LOG_DESCRIPTOR as u64).div_ceil(LOG_SECTOR)
    }
}

/// An update; `data` is the part of a page that the descriptor itself holds, None for zeros.
pub(super) struct Descriptor {
    pub offset: u64,
    pub length: u64,
    pub data: Option<([u8; 8], [u8; 4])>,
}

impl Descriptor {
    /// Verifies the `index`th descriptor of an entry with this sequence number.
    pub(super) fn new(
        parsed: LogDescriptor,
        index: u64,
        sequence: u64,
    ) -> Result<Self, BrokenRule> {
        let (offset, length, found, data) = match parsed {
            LogDescriptor::Zero(zero) => {
                (zero.file_offset, zero.zero_length, zero.sequence_number, None)
            }
            LogDescriptor::Data(data) => {
                let kept = (data.leading_bytes, data.trailing_bytes);
                (data.file_offset, LOG_SECTOR, data.sequence_number, Some(kept))
            }
            LogDescriptor::Unknown(found) => {
                return Err(BrokenRule::DescriptorSignature { index, found });
            }
        };
        if offset % LOG_SECTOR != 0 || length % LOG_SECTOR != 0 {
            return Err(BrokenRule::DescriptorAlignment { index, offset, length });
        }
        match found == sequence {
            true => Ok(Descriptor { offset, length, data }),
            false => Err(BrokenRule::DescriptorSequence { index, found }),
        }
    }
}
