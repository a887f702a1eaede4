//! One log entry ([MS-VHDX] 2.3.1): its header, its descriptors, and the rules it can break.

use super::super::layout::*;
use crate::bytes::guid;
use byteorder::{ByteOrder, LittleEndian};
use uuid::Uuid;

/// An entry's header; `at` is its offset in the ring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub at: u64,
    pub length: u64,
    pub tail: u64,
    pub sequence: u64,
    pub descriptors: u64,
    /// This and the next need not be aligned: an existing writer stores the file's length as it
    /// is, though [MS-VHDX] wants multiples of 1 MB.
    pub flushed_file_offset: u64,
    pub last_file_offset: u64,
}

/// What is wrong with an entry that was written whole.
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
    /// Parses the header of an entry of this log. None if there is none here, or its length is
    /// impossible in a ring of this length, so that nothing can be checked.
    pub fn parse(sector: &[u8], at: u64, ring: u64, log_guid: Uuid) -> Option<Self> {
        let entry = Entry {
            at,
            length: LittleEndian::read_u32(&sector[8..]).into(),
            tail: LittleEndian::read_u32(&sector[12..]).into(),
            sequence: LittleEndian::read_u64(&sector[16..]),
            descriptors: LittleEndian::read_u32(&sector[24..]).into(),
            flushed_file_offset: LittleEndian::read_u64(&sector[48..]),
            last_file_offset: LittleEndian::read_u64(&sector[56..]),
        };
        let possible = sector.starts_with(LOG_ENTRY_SIGNATURE)
            && guid(&sector[32..]) == log_guid
            && entry.length > 0
            && entry.length.is_multiple_of(LOG_SECTOR)
            && entry.length <= ring;
        possible.then_some(entry)
    }

    /// Verifies the rules for the header alone.
    pub fn check_header(&self, ring: u64) -> Result<(), BrokenRule> {
        if !self.tail.is_multiple_of(LOG_SECTOR) || self.tail >= ring {
            return Err(BrokenRule::Tail(self.tail));
        }
        if self.sequence == 0 {
            return Err(BrokenRule::Sequence);
        }
        self.check_room(0)
    }

    /// Verifies that the descriptors and this many data sectors fit into the entry.
    pub fn check_room(&self, data_sectors: u64) -> Result<(), BrokenRule> {
        let needed = (self.descriptor_sectors() + data_sectors) * LOG_SECTOR;
        match needed <= self.length {
            true => Ok(()),
            false => Err(BrokenRule::Room { length: self.length, needed }),
        }
    }

    /// Verifies the `index`th data sector.
    pub fn check_data_sector(&self, sector: &[u8], index: u64) -> Result<(), BrokenRule> {
        if !sector.starts_with(LOG_DATA_SIGNATURE) {
            let found = LittleEndian::read_u32(sector);
            return Err(BrokenRule::DataSignature { index, found });
        }
        let high: u64 = LittleEndian::read_u32(&sector[4..]).into();
        let low: u64 = LittleEndian::read_u32(&sector[LOG_SECTOR as usize - 4..]).into();
        match high << 32 | low {
            found if found == self.sequence => Ok(()),
            found => Err(BrokenRule::DataSequence { index, found }),
        }
    }

    pub fn descriptor_sectors(&self) -> u64 {
        (LOG_ENTRY_HEADER as u64 + self.descriptors * LOG_DESCRIPTOR as u64).div_ceil(LOG_SECTOR)
    }
}

/// An update; `data` is what the descriptor itself keeps of a page, None for zeros.
pub(super) struct Descriptor {
    pub offset: u64,
    pub length: u64,
    pub data: Option<([u8; 8], [u8; 4])>,
}

impl Descriptor {
    pub fn parse(bytes: &[u8], index: u64, sequence: u64) -> Result<Self, BrokenRule> {
        let offset = LittleEndian::read_u64(&bytes[16..]);
        let mut leading = [0; 8];
        leading.copy_from_slice(&bytes[8..16]);
        let mut trailing = [0; 4];
        trailing.copy_from_slice(&bytes[4..8]);
        let (length, data) = match &bytes[..4] {
            signature if signature == ZERO_DESCRIPTOR_SIGNATURE => {
                (u64::from_le_bytes(leading), None)
            }
            signature if signature == DATA_DESCRIPTOR_SIGNATURE => {
                (LOG_SECTOR, Some((leading, trailing)))
            }
            signature => {
                let found = LittleEndian::read_u32(signature);
                return Err(BrokenRule::DescriptorSignature { index, found });
            }
        };
        if offset % LOG_SECTOR != 0 || length % LOG_SECTOR != 0 {
            return Err(BrokenRule::DescriptorAlignment { index, offset, length });
        }
        match LittleEndian::read_u64(&bytes[24..]) {
            found if found == sequence => Ok(Descriptor { offset, length, data }),
            found => Err(BrokenRule::DescriptorSequence { index, found }),
        }
    }
}
