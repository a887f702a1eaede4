//! The kinds of errors, and their codes.

use super::ReturnValue;

/// The kind of an error: the reason of a failure, for programs to match; returned by
/// [`Error::kind`](super::Error::kind).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system or the source failed to read.
    Io,
    /// A structure contradicts its format, and no other kind is more specific.
    Corrupt,
    /// The log of a VHDX file is in use, but its updates cannot be replayed.
    LogCorrupt,
    /// An entry of the block allocation table (BAT) contradicts the format or the file.
    BatCorrupt,
    /// The metadata region cannot be read.
    MetadataCorrupt,
    /// The file ends before the end of one of its structures.
    Truncated,
    /// The chain of parents contains a file twice.
    Cycle,
    /// The chain has more than [`MAX_CHAIN_FILES`](crate::MAX_CHAIN_FILES) files.
    ChainTooDeep,
    /// A parent could not be opened; the message has the reason.
    ParentUnusable,
    /// The operating system refuses to open or read the file.
    AccessDenied,
    /// The operating system refuses to open or read a parent.
    ParentAccessDenied,
    /// The file is a virtual disk in a format that this crate does not read, such as VHD.
    UnknownFormat,
    /// The file is not a virtual disk.
    NotVirtualDisk,
    /// The file has a version of its format that this crate does not support.
    UnsupportedVersion,
    /// The file contains an unknown region, metadata item, locator or record that a reader must
    /// support.
    UnknownRequired,
    /// A job's worker ended without a result.
    WorkerLost,
    /// The deadline of the opening or of the question passed.
    TimedOut,
    /// A parameter is invalid: a region outside the disk, or a baseline that the disk cannot have.
    InvalidParameter,
    /// An id's text is malformed.
    MalformedId,
    /// Another program has the file open.
    InUse,
    /// The file changed while it was read.
    Changed,
    /// The file's creation was never finished.
    Incomplete,
    /// The opening, question or job was cancelled.
    Cancelled,
    /// Change tracking is off: no file of the chain has a tracking table beside it.
    TrackingDisabled,
    /// No tracking table of the chain can answer for this id.
    UnknownId,
    /// The tracking table cannot be trusted: not closed cleanly, damaged, or of another disk.
    UntrustedTracking,
    /// A snapshot catalog contradicts the files.
    CatalogMismatch,
    /// The parent is not the one that the child was made from, or changed since.
    ParentMismatch,
    /// The parent's log is in use, so the parent was not frozen when its child was made.
    ParentNotFrozen,
    /// The id is of the wrong kind: a snapshot id for a disk that is not a VHD Set, or an RCT id in
    /// place of a snapshot id.
    WrongIdKind,
    /// A parent, or a file that a set names, cannot be found.
    ParentNotFound,
    /// The memory budget would be exceeded.
    OutOfMemory,
    /// The path does not exist.
    FileNotFound,
}

impl ErrorKind {
    /// Returns the value that the WMI method returns in this situation.
    #[must_use]
    pub fn return_value(self) -> ReturnValue {
        use ErrorKind as K;
        use ReturnValue as R;
        match self {
            K::Io | K::Corrupt | K::LogCorrupt | K::BatCorrupt | K::MetadataCorrupt => R::Failed,
            K::Truncated | K::Cycle | K::ChainTooDeep | K::ParentUnusable => R::Failed,
            K::Cancelled => R::Failed,
            K::AccessDenied | K::ParentAccessDenied => R::AccessDenied,
            K::UnknownFormat | K::NotVirtualDisk => R::NotSupported,
            K::UnsupportedVersion | K::UnknownRequired => R::NotSupported,
            K::WorkerLost => R::StatusUnknown,
            K::TimedOut => R::Timeout,
            K::InvalidParameter | K::MalformedId => R::InvalidParameter,
            K::InUse | K::Changed | K::Incomplete => R::InUse,
            K::TrackingDisabled | K::UnknownId => R::InvalidState,
            K::UntrustedTracking | K::ParentMismatch | K::CatalogMismatch => R::InvalidState,
            K::ParentNotFrozen => R::InvalidState,
            K::WrongIdKind => R::IncorrectDataType,
            K::ParentNotFound => R::NotAvailable,
            K::OutOfMemory => R::OutOfMemory,
            K::FileNotFound => R::FileNotFound,
        }
    }

    /// Returns the more specific code of Windows' virtual disk API, such as
    /// `ERROR_VHD_PARENT_VHD_NOT_FOUND` (0xC03A000D), if there is one.
    #[must_use]
    pub fn win32_code(self) -> Option<u32> {
        use ErrorKind as K;
        Some(match self {
            K::UnknownFormat => 0xC03A_0004,
            K::UnsupportedVersion => 0xC03A_0005,
            K::BatCorrupt => 0xC03A_000A,
            K::ParentNotFound => 0xC03A_000D,
            K::ParentMismatch => 0xC03A_000E,
            K::MetadataCorrupt => 0xC03A_0010,
            K::Truncated => 0xC03A_0013,
            K::NotVirtualDisk => 0xC03A_0015,
            K::ParentAccessDenied => 0xC03A_0016,
            K::Cycle => 0xC03A_0018,
            K::ParentUnusable => 0xC03A_0019,
            K::UntrustedTracking | K::ParentNotFrozen => 0xC03A_001C,
            K::MalformedId => 0xC03A_0029,
            K::TrackingDisabled => 0xC03A_002A,
            K::UnknownId => 0xC03A_0030,
            _ => return None,
        })
    }
}
