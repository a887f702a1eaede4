//! The rules that a log entry ([MS-VHDX] 2.3.1) and its parts must follow.

use super::super::error::BrokenRule;
use super::super::layout::*;
use uuid::Uuid;

impl LogEntry {
    /// Returns whether this is the header of an entry of this log with a length that is possible
    /// in a ring of this length. If not, nothing else can be checked.
    pub(super) fn is_possible(&self, ring: u64, log_guid: Uuid) -> bool {
        self.signature == *LOG_ENTRY_SIGNATURE
            && self.log_guid == log_guid
            && (1..=ring).contains(&self.entry_length)
            && self.entry_length.is_multiple_of(LOG_SECTOR)
    }

    /// Verifies the rules that concern only the header.
    pub(super) fn check_header(&self, ring: u64) -> Result<(), BrokenRule> {
        if !self.tail.is_multiple_of(LOG_SECTOR) || self.tail >= ring {
            return Err(BrokenRule::Tail(self.tail));
        }
        if self.sequence_number == 0 {
            return Err(BrokenRule::Sequence);
        }
        self.check_length(0)
    }

    /// Verifies that the descriptors and this many data sectors fit into the entry.
    pub(super) fn check_length(&self, data_sectors: u64) -> Result<(), BrokenRule> {
        let needed = (self.descriptor_sectors() + data_sectors) * LOG_SECTOR;
        match needed <= self.entry_length {
            true => Ok(()),
            false => Err(BrokenRule::Length { length: self.entry_length, needed }),
        }
    }

    /// Verifies the `index`th descriptor.
    pub(super) fn check_descriptor(
        &self,
        descriptor: &LogDescriptor,
        index: u64,
    ) -> Result<(), BrokenRule> {
        if !descriptor.is_zero() && !descriptor.is_data() {
            let found = u32::from_le_bytes(descriptor.signature);
            return Err(BrokenRule::DescriptorSignature { index, found });
        }
        let (offset, length) = (descriptor.file_offset, descriptor.length());
        if offset % LOG_SECTOR != 0 || length % LOG_SECTOR != 0 {
            return Err(BrokenRule::DescriptorPlace { index, offset, length });
        }
        self.check_sequence("descriptor", index, descriptor.sequence_number)
    }

    /// Verifies the `index`th data sector.
    pub(super) fn check_data_sector(
        &self,
        sector: &DataSector,
        index: u64,
    ) -> Result<(), BrokenRule> {
        if sector.signature != *LOG_DATA_SIGNATURE {
            let found = u32::from_le_bytes(sector.signature);
            return Err(BrokenRule::DataSignature { index, found });
        }
        let found = u64::from(sector.sequence_high) << 32 | u64::from(sector.sequence_low);
        self.check_sequence("data sector", index, found)
    }

    fn check_sequence(&self, part: &'static str, index: u64, found: u64) -> Result<(), BrokenRule> {
        match found == self.sequence_number {
            true => Ok(()),
            false => Err(BrokenRule::PartSequence { part, index, found }),
        }
    }

    /// Returns the number of sectors with the header and the descriptors.
    pub(super) fn descriptor_sectors(&self) -> u64 {
        (LOG_ENTRY_HEADER + self.descriptor_count * LOG_DESCRIPTOR).div_ceil(LOG_SECTOR)
    }
}
