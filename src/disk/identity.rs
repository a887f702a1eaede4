//! The identity of the disk that an answer is about.

use uuid::Uuid;

/// The identity of the disk that an answer is about. Every answer contains it, so that disks are
/// not confused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct DiskIdentity {
    /// The virtual disk's id, which a guest sees too (SCSI page 83). Usually all files of a chain
    /// have the same id, and copies of a disk's files always do.
    pub virtual_disk_id: Uuid,
    /// The virtual disk's size in bytes.
    pub virtual_size: u64,
    /// The logical sector size in bytes: 512 or 4096.
    pub logical_sector_size: u32,
}
