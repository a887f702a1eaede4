//! The collected answer: the method's out parameters.

use crate::disk::DiskIdentity;
use crate::range::ByteRange;
use crate::warning::Warning;

/// The collected answer to a question: the changed ranges, and the disk that they belong to.
///
/// The fields correspond to the method's out parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "json::Answer", try_from = "json::Answer"))]
#[non_exhaustive]
pub struct VirtualDiskChanges {
    /// The length of the processed part of the region, in bytes from its start. Less than the
    /// region's length only if the limit on the number of ranges was hit: query again from `offset
    /// + processed_byte_length` on, and nothing is lost or repeated.
    pub processed_byte_length: u64,
    /// The changed ranges: sorted, coalesced, non-empty, inside the region.
    pub ranges: Vec<ByteRange>,
    /// The identity of the disk that the answer is about.
    pub disk: DiskIdentity,
    /// The granularity of the answer in bytes: a sector if it comes from blocks alone, a unit of
    /// 16 KiB if it comes from a tracking table.
    pub granularity: u32,
    /// Warnings about the files; the answer is complete nevertheless.
    pub warnings: Vec<Warning>,
}

impl VirtualDiskChanges {
    /// Returns the offsets of the ranges in bytes: the method's `ChangedByteOffsets`.
    #[must_use]
    pub fn changed_byte_offsets(&self) -> Vec<u64> {
        self.ranges.iter().map(|range| range.offset).collect()
    }

    /// Returns the lengths of the ranges in bytes, in the same order as the offsets: the method's
    /// `ChangedByteLengths`.
    #[must_use]
    pub fn changed_byte_lengths(&self) -> Vec<u64> {
        self.ranges.iter().map(|range| range.length).collect()
    }
}

/// The answer as an object with the method's own names.
#[cfg(feature = "serde")]
mod json {
    use super::{ByteRange, DiskIdentity, VirtualDiskChanges, Warning};
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    pub struct Answer {
        return_value: u32,
        processed_byte_length: u64,
        changed_byte_offsets: Vec<u64>,
        changed_byte_lengths: Vec<u64>,
        job: Option<String>,
        virtual_disk: VirtualDisk,
        warnings: Vec<Warning>,
    }

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct VirtualDisk {
        #[serde(flatten)]
        identity: DiskIdentity,
        granularity: u32,
    }

    impl From<VirtualDiskChanges> for Answer {
        fn from(changes: VirtualDiskChanges) -> Self {
            let VirtualDiskChanges { disk: identity, granularity, .. } = changes;
            Answer {
                return_value: 0,
                processed_byte_length: changes.processed_byte_length,
                changed_byte_offsets: changes.changed_byte_offsets(),
                changed_byte_lengths: changes.changed_byte_lengths(),
                job: None,
                virtual_disk: VirtualDisk { identity, granularity },
                warnings: changes.warnings,
            }
        }
    }

    impl TryFrom<Answer> for VirtualDiskChanges {
        type Error = &'static str;

        fn try_from(answer: Answer) -> Result<Self, &'static str> {
            let (offsets, lengths) = (&answer.changed_byte_offsets, &answer.changed_byte_lengths);
            if answer.return_value != 0 || offsets.len() != lengths.len() {
                return Err("expected ReturnValue 0 and as many offsets as lengths");
            }
            let ranges = offsets.iter().zip(lengths);
            Ok(VirtualDiskChanges {
                processed_byte_length: answer.processed_byte_length,
                ranges: ranges.map(|(&offset, &length)| ByteRange { offset, length }).collect(),
                disk: answer.virtual_disk.identity,
                granularity: answer.virtual_disk.granularity,
                warnings: answer.warnings,
            })
        }
    }
}
