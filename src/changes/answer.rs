//! What the method gives back.

use crate::range::ByteRange;
use crate::warning::Warning;
use uuid::Uuid;

/// Which disk an answer is about; in every answer, so that disks are not taken for one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct DiskIdentity {
    /// The virtual disk's id, which a guest sees too (SCSI page 83). All files of a chain have
    /// the same, and so have copies of a disk's files.
    pub virtual_disk_id: Uuid,
    /// Its size in bytes.
    pub virtual_size: u64,
    /// 512 or 4096 bytes.
    pub logical_sector_size: u32,
    /// The smallest change that the answer can tell, in bytes: a sector where files of the
    /// chain answer, a unit of the tracking table where that does.
    pub granularity: u32,
}

/// The method's out parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "wire::Answer", try_from = "wire::Answer"))]
#[non_exhaustive]
pub struct VirtualDiskChanges {
    /// How much of the region was processed, in bytes from its start. Less than the region's
    /// length only where the limit on the number of ranges was hit: ask again from
    /// `offset + processed_byte_length` on, and nothing is lost or told twice.
    pub processed_byte_length: u64,
    /// The changed ranges: sorted, coalesced, non-empty, inside the region.
    pub ranges: Vec<ByteRange>,
    /// Always None: where there is an answer, the task has completed. The method's form that
    /// starts a job is [`ChangeQuery::start`](crate::ChangeQuery::start).
    pub job: Option<std::convert::Infallible>,
    /// Which disk it is.
    pub disk: DiskIdentity,
    /// What is worth knowing about its files; the answer is complete all the same.
    pub warnings: Vec<Warning>,
}

impl VirtualDiskChanges {
    /// The method's `ChangedByteOffsets`.
    pub fn changed_byte_offsets(&self) -> Vec<u64> {
        self.ranges.iter().map(|range| range.offset).collect()
    }

    /// The method's `ChangedByteLengths`, parallel to the offsets.
    pub fn changed_byte_lengths(&self) -> Vec<u64> {
        self.ranges.iter().map(|range| range.length).collect()
    }
}

/// The answer as an object with the method's own names.
#[cfg(feature = "serde")]
mod wire {
    use super::{ByteRange, DiskIdentity, VirtualDiskChanges, Warning};
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    pub struct Answer {
        return_value: u32,
        processed_byte_length: u64,
        changed_byte_offsets: Vec<u64>,
        changed_byte_lengths: Vec<u64>,
        job: Option<String>,
        virtual_disk: DiskIdentity,
        warnings: Vec<Warning>,
    }

    impl From<VirtualDiskChanges> for Answer {
        fn from(changes: VirtualDiskChanges) -> Self {
            Answer {
                return_value: 0,
                processed_byte_length: changes.processed_byte_length,
                changed_byte_offsets: changes.changed_byte_offsets(),
                changed_byte_lengths: changes.changed_byte_lengths(),
                job: None,
                virtual_disk: changes.disk,
                warnings: changes.warnings,
            }
        }
    }

    impl TryFrom<Answer> for VirtualDiskChanges {
        type Error = &'static str;

        fn try_from(answer: Answer) -> Result<Self, &'static str> {
            let (offsets, lengths) = (&answer.changed_byte_offsets, &answer.changed_byte_lengths);
            if answer.return_value != 0 || offsets.len() != lengths.len() {
                return Err(
                    "ReturnValue should be 0, and there should be as many offsets as lengths",
                );
            }
            let ranges = offsets.iter().zip(lengths);
            Ok(VirtualDiskChanges {
                processed_byte_length: answer.processed_byte_length,
                ranges: ranges.map(|(&offset, &length)| ByteRange { offset, length }).collect(),
                job: None,
                disk: answer.virtual_disk,
                warnings: answer.warnings,
            })
        }
    }
}
