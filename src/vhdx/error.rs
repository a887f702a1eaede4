//! Every sentence about a defect of a VHDX file.

use super::bat::BatEntry;
use super::header::CopyState;
use crate::error::{ErrorKind, impl_from_format};
use std::fmt::Display;
use uuid::Uuid;

/// The reason why a file is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum VhdxError {
    #[error("the file {format}: expected it to start with \"vhdxfile\", found \"{found}\"")]
    Signature { format: OtherFormat, found: String },
    #[error(
        "expected a {what} at offset {offset:#x}, but the file ends at {end:#x}; it was truncated"
    )]
    Truncated { what: &'static str, offset: u64, end: u64 },
    #[error(
        "no {what} is valid: expected the copies at {} KiB and {} KiB to be signed \"{signature}\" \
         and to match their CRC-32C, found {:?} and {:?}",
        .offsets[0] >> 10, .offsets[1] >> 10, .states[0], .states[1]
    )]
    NoValidCopy {
        what: &'static str,
        signature: &'static str,
        offsets: [u64; 2],
        states: [CopyState; 2],
    },
    #[error(
        "both headers have sequence number {0} and they differ, so neither is known to be current; \
         repair the file with its owner's tools first"
    )]
    HeadersDiffer(u64),
    #[error("expected {structure} version {expected}, found {found}")]
    Version { structure: &'static str, expected: u16, found: u16 },
    #[error(
        "expected {what} to have an offset and a length that are multiples of 1 MiB, the offset at \
         least 1 MiB, found {length:#x} bytes at {offset:#x}"
    )]
    Place { what: String, offset: u64, length: u64 },
    #[error(
        "the file changed while it was read, so no range is certain; read it from a snapshot of \
         the storage, or when no program writes to it"
    )]
    Changed,

    #[error("expected the region table to have at most 2047 entries, found {0}")]
    RegionCount(u32),
    #[error("the region table lists no {0} region")]
    RegionMissing(&'static str),
    #[error("the region table lists region {0} twice")]
    RegionTwice(Uuid),
    #[error(
        "two structures overlap in the file: one at {start:#x} to {end:#x}, one from {next:#x} on \
         (the log counts as one)"
    )]
    RegionOverlap { start: u64, end: u64, next: u64 },
    #[error(
        "{what} {id} is marked as required, but this version does not support it; a newer reader \
         is needed"
    )]
    UnknownRequired { what: &'static str, id: Uuid },

    #[error(
        "a disk of {size} bytes in blocks of {block_size} bytes needs {needed} BAT entries, but \
         the BAT region holds {found}"
    )]
    BatLength { size: u64, block_size: u32, needed: u64, found: u64 },
    #[error("the BAT entry of {what} {index}, {entry}, {defect} (the file ends at {end:#x})")]
    BatEntry { what: &'static str, index: u64, entry: BatEntry, defect: EntryDefect, end: u64 },

    #[error("the file's creation is not finished; wait for it, or create the file again")]
    Incomplete,
    #[error(
        "expected the metadata table at {offset:#x} to be signed \"metadata\" and to have at most \
         2047 entries, found the signature \"{signature}\" and {count} entries"
    )]
    MetadataTable { offset: u64, signature: String, count: u16 },
    #[error("the metadata table lists item {0} twice")]
    ItemTwice(Uuid),
    #[error("the metadata items {0} and {1} overlap")]
    ItemOverlap(Uuid, Uuid),
    #[error(
        "expected metadata item {id} to have at most 1 MiB, begin after the 64 KiB of the table \
         and end within the region's {region:#x} bytes, or be empty at 0, found {length} bytes at \
         {offset:#x} of the region"
    )]
    ItemPlace { id: Uuid, offset: u32, length: u32, region: u64 },
    #[error("the metadata has no {0} item")]
    ItemMissing(&'static str),
    #[error("expected the metadata item {name} to have {expected} bytes, found {found}")]
    ItemLength { name: &'static str, expected: u32, found: u32 },
    #[error("expected the {which} sector size to be 512 or 4096, found {found}")]
    SectorSize { which: &'static str, found: u32 },
    #[error("expected the block size to be a power of two from 1 MiB to 256 MiB, found {0} bytes")]
    BlockSize(u32),
    #[error(
        "expected the virtual disk size to be a multiple of {sector} bytes and at most 64 TiB, \
         found {found} bytes"
    )]
    VirtualSize { sector: u32, found: u64 },

    #[error(
        "expected the parent locator's type to be that of VHDX, {expected}, found {found}, which \
         this version does not support"
    )]
    LocatorType { expected: Uuid, found: Uuid },
    #[error("expected the parent locator to have {count} entries, found only {length} bytes")]
    LocatorCount { count: u16, length: usize },
    #[error(
        "expected the texts of the parent locator to be whole UTF-16 units inside its {locator} \
         bytes, found {length} bytes at {offset:#x}"
    )]
    LocatorText { offset: u32, length: u16, locator: usize },
    #[error("the parent locator has a text that is not UTF-16: {0}")]
    LocatorEncoding(std::char::DecodeUtf16Error),
    #[error("the parent locator has {0} twice")]
    LocatorKeyTwice(String),
    #[error("the parent locator has no parent_linkage, so no parent can be identified")]
    LocatorLinkage,
    #[error("expected the parent locator's linkage to be a GUID, found \"{0}\"")]
    LocatorGuid(String),

    #[error("the log's entries overlap one another, which no writer causes")]
    LogOverlap,
    #[error(
        "the header indicates that the log holds updates, but none of its {valid} valid entries \
         ends a complete sequence{}; without them the content is unknown, so use an older copy of \
         the file",
        optional(.broken.as_ref().map(|(at, rule)| {
            format!("; the entry at {at:#x} was written whole and breaks a rule: {rule}")
        }))
    )]
    LogSequence { valid: usize, broken: Option<(u64, BrokenRule)> },
    #[error(
        "the log entry with sequence number {sequence} at {at:#x} was written whole but continues \
         no complete sequence, because it breaks a rule: {rule}; to replay only the entries from \
         {tail} to {head} could lose blocks, so use an older copy of the file"
    )]
    LogContradiction { sequence: u64, at: u64, rule: BrokenRule, tail: u64, head: u64 },
    #[error(
        "the log was written when the file had {flushed:#x} bytes, but now it ends at {end:#x}; it \
         was truncated"
    )]
    LogFileLength { flushed: u64, end: u64 },
    #[error(
        "a log entry updates {length:#x} bytes at {offset:#x}, but the file ends at {end:#x} after \
         replay"
    )]
    LogUpdate { offset: u64, length: u64, end: u64 },
    #[error("a log entry changed while it was replayed; another program writes to the file")]
    LogChanged,
}

impl_from_format!(VhdxError);

impl VhdxError {
    fn kind(&self) -> ErrorKind {
        use ErrorKind as K;
        use VhdxError::*;
        match self {
            Signature { format: OtherFormat::Unknown, .. } => K::NotVirtualDisk,
            Signature { .. } => K::UnknownFormat,
            Truncated { .. } | LogFileLength { .. } => K::Truncated,
            NoValidCopy { .. } | HeadersDiffer(_) | Place { .. } | RegionCount(_) => K::Corrupt,
            RegionMissing(_) | RegionTwice(_) | RegionOverlap { .. } => K::Corrupt,
            Version { .. } => K::UnsupportedVersion,
            UnknownRequired { .. } | LocatorType { .. } => K::UnknownRequired,
            Changed | LogChanged => K::Changed,
            BatLength { .. } | BatEntry { .. } => K::BatCorrupt,
            Incomplete => K::Incomplete,
            MetadataTable { .. } | ItemTwice(_) | ItemOverlap(..) => K::MetadataCorrupt,
            ItemPlace { .. } | ItemMissing(_) | ItemLength { .. } => K::MetadataCorrupt,
            SectorSize { .. } | BlockSize(_) | VirtualSize { .. } => K::MetadataCorrupt,
            LocatorCount { .. } | LocatorText { .. } | LocatorEncoding(_) => K::MetadataCorrupt,
            LocatorKeyTwice(_) | LocatorLinkage | LocatorGuid(_) => K::MetadataCorrupt,
            LogOverlap | LogSequence { .. } => K::LogCorrupt,
            LogContradiction { .. } | LogUpdate { .. } => K::LogCorrupt,
        }
    }
}

/// Fails unless the condition holds.
pub(super) fn ensure<E>(condition: bool, error: E) -> Result<(), E> {
    if condition { Ok(()) } else { Err(error) }
}

/// The format of a file that is not VHDX.
#[derive(Debug, thiserror::Error)]
pub(super) enum OtherFormat {
    #[error("is a VHD Set (.vhds), but a single disk (.vhdx, .avhdx) is needed here")]
    VhdSet,
    #[error("is a VHD of the first version, which has no change tracking; convert it to VHDX")]
    Vhd,
    #[error(
        "is a fixed VHD of the first version, which has no change tracking; convert it to VHDX"
    )]
    FixedVhd,
    #[error("is not a virtual hard disk in VHDX format")]
    Unknown,
}

/// The reason why a BAT entry is refused.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(super) enum EntryDefect {
    #[error("has a state that does not exist")]
    State,
    #[error("has a state that sector bitmap blocks do not have")]
    BitmapState,
    #[error("is not present, though a block of its chunk is partially present")]
    NoBitmap,
    #[error("points into the header section")]
    HeaderSection,
    #[error("points past the end of the file")]
    PastEnd,
    #[error("points into the log, the BAT or another region")]
    Region,
    #[error("is partially present, but the file has no parent; it is read as fully present")]
    NoParent,
}

/// A broken rule of a log entry that was written completely.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(super) enum BrokenRule {
    #[error("expected its tail to be a multiple of 4 KiB inside the log, found {0:#x}")]
    Tail(u64),
    #[error("expected its sequence number to be above 0, found 0")]
    Sequence,
    #[error("expected its place and its tail to fit its number")]
    Place,
    #[error(
        "expected its descriptors and data sectors to fit into {length:#x} bytes, found {needed:#x}"
    )]
    Length { length: u64, needed: u64 },
    #[error("expected descriptor {index} to begin with \"zero\" or \"desc\", found {found:#010x}")]
    DescriptorSignature { index: u64, found: u32 },
    #[error(
        "expected descriptor {index} to update whole pages, found {length:#x} bytes at {offset:#x}"
    )]
    DescriptorPlace { index: u64, offset: u64, length: u64 },
    #[error("expected data sector {index} to begin with \"data\", found {found:#010x}")]
    DataSignature { index: u64, found: u32 },
    #[error("expected {part} {index} to carry the entry's sequence number, found {found}")]
    PartSequence { part: &'static str, index: u64, found: u64 },
}

/// A finding of a check, in a file that can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Finding {
    #[error("{what} copy {} is not valid ({state:?}); the other one is used", .index + 1)]
    Copy { what: &'static str, index: usize, state: CopyState },
    #[error("{what} {index} at {offset:#x} shares bytes with another block")]
    SharedBlock { what: &'static str, index: u64, offset: u64 },
    #[error(
        "a whole log entry with sequence number {sequence} at {at:#x} was ignored: an entry between \
         it and number {head}, which ends the log, is missing or torn{}",
        optional(.rule.map(|rule| format!("; it also breaks a rule: {rule}")))
    )]
    IgnoredEntry { sequence: u64, at: u64, head: u64, rule: Option<BrokenRule> },
}

fn optional(text: Option<impl Display>) -> String {
    text.map_or(String::new(), |text| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Subject;
    use crate::limits::Limits;
    use crate::source::{Reader, SliceSource};
    use crate::vhdx::Vhdx;
    use std::error::Error;
    use std::path::Path;
    use std::sync::Arc;

    #[test]
    fn is_the_source_of_the_error_of_a_damaged_file() {
        let source = Arc::new(SliceSource(b"conectix".repeat(64)));
        let file = Reader::new(Path::new("a.vhdx"), Subject::Parent, Ok(source)).unwrap();
        let limits = Limits::default();
        let error = Vhdx::open(file, &limits).err().unwrap();
        assert_eq!((error.kind(), error.subject()), (ErrorKind::UnknownFormat, Subject::Parent));
        let source = error.source().unwrap();
        assert_eq!(source.to_string(), error.message());
        let expected = VhdxError::Signature { format: OtherFormat::Vhd, found: "conectix".into() };
        assert_eq!(source.to_string(), expected.to_string());
        assert!(source.is::<VhdxError>() && source.source().is_none());
    }
}
