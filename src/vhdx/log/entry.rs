//! The rules that a log entry ([MS-VHDX] 2.3.1) and its parts must follow.

use super::super::error::{BrokenRule, ensure};
use super::super::layout::*;
use uuid::Uuid;

/// The result of checking one rule or several.
type Checked = Result<(), BrokenRule>;

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
    pub(super) fn check_header(&self, ring: u64) -> Checked {
        let is_sector = self.tail.is_multiple_of(LOG_SECTOR) && self.tail < ring;
        ensure(is_sector, BrokenRule::Tail(self.tail))?;
        ensure(self.sequence_number > 0, BrokenRule::Sequence)?;
        self.check_length(0)
    }

    /// Verifies that the descriptors and this many data sectors fit into the entry.
    pub(super) fn check_length(&self, data_sectors: u64) -> Checked {
        let needed = (self.descriptor_sectors() + data_sectors) * LOG_SECTOR;
        let length = self.entry_length;
        ensure(needed <= length, BrokenRule::Length { length, needed })
    }

    /// Verifies the `index`th descriptor.
    pub(super) fn check_descriptor(&self, descriptor: &LogDescriptor, index: u64) -> Checked {
        let found = u32::from_le_bytes(descriptor.signature);
        let known = descriptor.is_zero() || descriptor.is_data();
        ensure(known, BrokenRule::DescriptorSignature { index, found })?;
        let (offset, length) = (descriptor.file_offset, descriptor.length());
        let pages = offset.is_multiple_of(LOG_SECTOR) && length.is_multiple_of(LOG_SECTOR);
        ensure(pages, BrokenRule::DescriptorPlace { index, offset, length })?;
        self.check_sequence("descriptor", index, descriptor.sequence_number)
    }

    /// Verifies the `index`th data sector.
    pub(super) fn check_data_sector(&self, sector: &DataSector, index: u64) -> Checked {
        let found = u32::from_le_bytes(sector.signature);
        let known = sector.signature == *LOG_DATA_SIGNATURE;
        ensure(known, BrokenRule::DataSignature { index, found })?;
        let found = u64::from(sector.sequence_high) << 32 | u64::from(sector.sequence_low);
        self.check_sequence("data sector", index, found)
    }

    fn check_sequence(&self, part: &'static str, index: u64, found: u64) -> Checked {
        ensure(found == self.sequence_number, BrokenRule::PartSequence { part, index, found })
    }

    /// Returns the number of sectors with the header and the descriptors.
    pub(super) fn descriptor_sectors(&self) -> u64 {
        (LOG_ENTRY_HEADER + self.descriptor_count * LOG_DESCRIPTOR).div_ceil(LOG_SECTOR)
    }
}
