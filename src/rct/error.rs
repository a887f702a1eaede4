//! The reasons why a tracking table cannot be used.

use super::Checksum;
use super::layout::{MAX_BRANCHES, OFFSET_SIGNATURE};
use crate::error::{ErrorKind, impl_from_format};
use thiserror::Error;

/// The reason why a tracking table cannot be used. `begins` is the start of a structure in
/// hexadecimal, which users of a real host can report.
#[derive(Debug, Error)]
pub(super) enum RctError {
    #[error("expected a tracking table (.rct) or a VHD Set (.vhds), found an empty file")]
    Empty,
    #[error(
        "neither header of the tracking table is valid: expected a checksum by one of {probed} conventions, found \
         none that holds. The first begins {begins}; if Windows wrote this file, please report what `vhdx-rct \
         inspect` prints"
    )]
    HeaderChecksum { probed: usize, begins: String },
    #[error(
        "neither header of the tracking table is valid: its {checksum} holds, but expected its history to have 1 to \
         {MAX_BRANCHES} branches, found another count. The first begins {begins}; if Windows wrote this file, please \
         report what `vhdx-rct inspect` prints"
    )]
    BranchCount { checksum: Checksum, begins: String },
    #[error(
        "expected {expected} units of 16 KiB for a disk of {disk_size} bytes, found a table of {found}: the disk was \
         resized, or the table is another disk's; make a full backup"
    )]
    Units { expected: u64, disk_size: u64, found: u64 },
    #[error(
        "expected a table of {units} units to have at least {expected} bytes, found {found}: it was truncated; make a \
         full backup"
    )]
    Length { units: u64, expected: u64, found: u64 },
    #[error(
        "expected the offset page at {at:#x} to have the signature {OFFSET_SIGNATURE:#010x}, found {found:#010x}; \
         make a full backup"
    )]
    OffsetSignature { at: u64, found: u32 },
    #[error(
        "expected the offset page at {at:#x} to match its checksum, found another one; make a full backup"
    )]
    OffsetChecksum { at: u64 },
    #[error(
        "expected the offset page at {at:#x} to have index {expected}, found {found}; make a full backup"
    )]
    OffsetIndex { at: u64, expected: u64, found: u32 },
    #[error(
        "expected the sequence page of chunk {chunk} to lie after the offset table, from page {first} on, and before \
         the end of the file at page {end}, found page {page}; make a full backup"
    )]
    PageNumber { chunk: u64, page: u64, first: u64, end: u64 },
    #[error(
        "expected page {page} to belong to one chunk, found it named by chunk {chunk} and by an earlier one; make a \
         full backup"
    )]
    PageNamedTwice { chunk: u64, page: u64 },
    #[error(
        "the checksum of the sequence page at {at:#x} does not hold: expected {expected}; make a full backup. It \
         begins {begins}; if Windows wrote this file, please report what `vhdx-rct inspect` prints"
    )]
    SequenceChecksum { at: u64, expected: String, begins: String },
    #[error(
        "the tracking table changed while it was read, so no range is certain; read it from a snapshot of the \
         storage, or while no program writes to the disk"
    )]
    Changed,
}

impl_from_format!(RctError);

impl RctError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::HeaderChecksum { .. } | Self::BranchCount { .. } => ErrorKind::UntrustedTracking,
            Self::Units { .. } => ErrorKind::UntrustedTracking,
            Self::Empty | Self::Length { .. } => ErrorKind::Truncated,
            Self::Changed => ErrorKind::Changed,
            _ => ErrorKind::Corrupt,
        }
    }
}
