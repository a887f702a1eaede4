//! One error type for the whole crate, with the method's return value and, where Windows
//! has a finer code, that code.

use std::fmt::{self, Write};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The return values of `GetVirtualDiskChanges`, with Microsoft's numbers.
///
/// | code | name | when this crate gives it |
/// | --- | --- | --- |
/// | 0 | [`Completed`](Self::Completed) | the query succeeded |
/// | 4096 | [`JobStarted`](Self::JobStarted) | the parameters were checked and a job runs |
/// | 32768 | [`Failed`](Self::Failed) | I/O error; corrupt or hostile file |
/// | 32769 | [`AccessDenied`](Self::AccessDenied) | the operating system refuses to open or read |
/// | 32770 | [`NotSupported`](Self::NotSupported) | another format, an unknown version, region, item or record |
/// | 32771 | [`StatusUnknown`](Self::StatusUnknown) | a job's worker vanished without a result |
/// | 32772 | [`Timeout`](Self::Timeout) | the request's deadline passed |
/// | 32773 | [`InvalidParameter`](Self::InvalidParameter) | malformed id, region outside the disk, range limit 0, unrelated snapshots |
/// | 32774 | [`InUse`](Self::InUse) | sharing violation or lock; the file changed while it was read; creation unfinished |
/// | 32775 | [`InvalidState`](Self::InvalidState) | tracking off, id unknown, table of another size or not closed cleanly, parent changed |
/// | 32776 | [`IncorrectDataType`](Self::IncorrectDataType) | a snapshot id where only an RCT id can be, or the reverse |
/// | 32777 | [`NotAvailable`](Self::NotAvailable) | a parent, or a set's active or snapshot file, cannot be found |
/// | 32778 | [`OutOfMemory`](Self::OutOfMemory) | the request's memory budget would be exceeded |
/// | 32779 | [`FileNotFound`](Self::FileNotFound) | the path does not exist |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum ReturnValue {
    /// Completed with No Error.
    Completed = 0,
    /// Method Parameters Checked - Job Started.
    JobStarted = 4096,
    /// Failed.
    Failed = 32768,
    /// Access Denied.
    AccessDenied = 32769,
    /// Not Supported.
    NotSupported = 32770,
    /// Status is unknown.
    StatusUnknown = 32771,
    /// Timeout.
    Timeout = 32772,
    /// Invalid parameter.
    InvalidParameter = 32773,
    /// System is in use.
    InUse = 32774,
    /// Invalid state for this operation.
    InvalidState = 32775,
    /// Incorrect data type.
    IncorrectDataType = 32776,
    /// System is not available.
    NotAvailable = 32777,
    /// Out of memory.
    OutOfMemory = 32778,
    /// File not found.
    FileNotFound = 32779,
}

impl ReturnValue {
    /// The number that the WMI method returns.
    pub fn code(self) -> u32 {
        self as u32
    }
}

/// What went wrong, one situation each; [`Error::kind`] tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system or the source could not read.
    Io,
    /// A structure that has no finer kind here contradicts its format.
    Corrupt,
    /// The log is marked as holding updates, yet they cannot be replayed.
    LogCorrupt,
    /// A block allocation table entry contradicts the format or the file.
    BatCorrupt,
    /// The metadata region cannot be read.
    MetadataCorrupt,
    /// The file ends before a structure that it names.
    Truncated,
    /// The chain of parents comes back to a file that is already in it.
    Cycle,
    /// The chain of parents is longer than this crate follows.
    ChainTooDeep,
    /// A parent could not be opened; the message says why.
    ParentUnusable,
    /// The operating system refuses to open or read the file.
    AccessDenied,
    /// The operating system refuses to open or read a parent.
    ParentAccessDenied,
    /// A virtual disk, but not of a format that this crate reads (VHD, for one).
    UnknownFormat,
    /// Not a virtual disk at all.
    NotVirtualDisk,
    /// A version of the format that this crate does not know.
    UnsupportedVersion,
    /// A region, metadata item, locator or record that must be understood, and is not.
    UnknownRequired,
    /// A job's worker ended without leaving a result.
    WorkerVanished,
    /// The deadline passed.
    TimedOut,
    /// A parameter is outside what the method allows.
    InvalidParameter,
    /// An id's text is malformed.
    MalformedId,
    /// Somebody holds the file.
    InUse,
    /// The file changed while it was read.
    Changed,
    /// The file's creation was never finished.
    Incomplete,
    /// The job was cancelled.
    Cancelled,
    /// Change tracking is off for the chain.
    TrackingDisabled,
    /// No file of the chain can answer for this id.
    UnknownId,
    /// The tracking table cannot be trusted: not closed cleanly, damaged, or of another disk.
    UntrustedTracking,
    /// A snapshot catalogue contradicts the files.
    CatalogueMismatch,
    /// The parent is not the one that the child was made from, or changed since.
    ParentMismatch,
    /// The parent's log is in use, so the parent was not frozen when its child was made.
    ParentNotFrozen,
    /// An id of the wrong kind for this kind of file.
    WrongIdKind,
    /// A parent, or a file that a set names, cannot be found.
    ParentNotFound,
    /// The memory budget would be exceeded.
    OutOfMemory,
    /// The path does not exist.
    FileNotFound,
}

impl ErrorKind {
    /// The method's return value for this situation.
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
            K::WorkerVanished => R::StatusUnknown,
            K::TimedOut => R::Timeout,
            K::InvalidParameter | K::MalformedId => R::InvalidParameter,
            K::InUse | K::Changed | K::Incomplete => R::InUse,
            K::TrackingDisabled | K::UnknownId => R::InvalidState,
            K::UntrustedTracking | K::ParentMismatch | K::CatalogueMismatch => R::InvalidState,
            K::ParentNotFrozen => R::InvalidState,
            K::WrongIdKind => R::IncorrectDataType,
            K::ParentNotFound => R::NotAvailable,
            K::OutOfMemory => R::OutOfMemory,
            K::FileNotFound => R::FileNotFound,
        }
    }

    /// The finer code that Windows' own API gives (`ERROR_VHD_…` as NTSTATUS value), where one exists.
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

/// Why a query was refused. Its text is a sentence with the place, what was expected, what
/// was found, and, where the user can do something about it, what to do next.
///
/// ```
/// use vhdx_rct::{ErrorKind, ReturnValue};
///
/// let error = vhdx_rct::get_virtual_disk_changes("no such disk.vhdx", "*", None, 0, 0).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::FileNotFound);
/// assert_eq!(error.return_value(), ReturnValue::FileNotFound);
/// assert!(!error.needs_full_backup());
/// ```
///
/// Its `Debug` form is the same sentence with the kind and the code behind it, since that is
/// what a `main` that returns it prints.
#[derive(Clone, thiserror::Error)]
pub struct Error(Box<Details>);

#[derive(Clone)]
struct Details {
    kind: ErrorKind,
    return_value: ReturnValue,
    message: String,
    path: Option<PathBuf>,
    source: Option<Arc<io::Error>>,
}

/// What every fallible part of this crate returns.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of this kind; [`Storage`](crate::source::Storage) implementations seldom need it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Details {
            kind,
            return_value: kind.return_value(),
            message: message.into(),
            path: None,
            source: None,
        }))
    }

    /// An I/O error, with the kind that its cause asks for.
    pub(crate) fn io(what: &str, cause: io::Error) -> Self {
        let kind = match cause.kind() {
            io::ErrorKind::PermissionDenied => ErrorKind::AccessDenied,
            io::ErrorKind::NotFound => ErrorKind::FileNotFound,
            io::ErrorKind::WouldBlock | io::ErrorKind::ResourceBusy => ErrorKind::InUse,
            io::ErrorKind::OutOfMemory => ErrorKind::OutOfMemory,
            _ if is_sharing_violation(&cause) => ErrorKind::InUse,
            _ => ErrorKind::Io,
        };
        let mut error = Error::new(kind, format!("{what}: {cause}"));
        error.0.source = Some(Arc::new(cause));
        error
    }

    /// Names the file, unless a deeper layer has done so.
    pub(crate) fn in_file(mut self, path: &Path) -> Self {
        self.0.path.get_or_insert_with(|| path.to_owned());
        self
    }

    /// The same failure, seen by the child whose parent could not be opened.
    pub(crate) fn in_parent(mut self) -> Self {
        let details = &mut self.0;
        details.kind = match details.return_value {
            ReturnValue::AccessDenied => ErrorKind::ParentAccessDenied,
            ReturnValue::FileNotFound => ErrorKind::ParentNotFound,
            ReturnValue::Failed if details.kind == ErrorKind::Cancelled => return self,
            ReturnValue::Failed | ReturnValue::NotSupported | ReturnValue::InUse => {
                ErrorKind::ParentUnusable
            }
            _ => return self,
        };
        if details.kind != ErrorKind::ParentUnusable {
            details.return_value = details.kind.return_value();
        }
        self
    }

    /// The sentence without the file's name.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// Is it about the request's own limits, rather than about a file?
    pub(crate) fn concerns_request(&self) -> bool {
        matches!(self.kind(), ErrorKind::TimedOut | ErrorKind::Cancelled | ErrorKind::OutOfMemory)
    }

    /// The situation.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The return value that the WMI method gives in this situation; never
    /// [`ReturnValue::Completed`].
    pub fn return_value(&self) -> ReturnValue {
        self.0.return_value
    }

    /// The finer code of Windows' own API, where one exists.
    pub fn win32_code(&self) -> Option<u32> {
        self.0.kind.win32_code()
    }

    /// Does the refusal concern change tracking alone? Then these files, as they are, have no
    /// answer since this id, and one for a full backup (since [`Limit::Allocated`]).
    ///
    /// True where tracking is off, the id is unknown, or a tracking table is damaged, cut short,
    /// of another disk or not closed cleanly.
    ///
    /// [`Limit::Allocated`]: crate::Limit::Allocated
    pub fn needs_full_backup(&self) -> bool {
        use ErrorKind::{Corrupt, TrackingDisabled, Truncated, UnknownId, UntrustedTracking};
        match self.kind() {
            TrackingDisabled | UnknownId | UntrustedTracking => true,
            Corrupt | Truncated => self.path().is_some_and(|path| {
                path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("rct"))
            }),
            _ => false,
        }
    }

    /// The file that the error is about, where it is about one.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:?}, {})", self.kind(), self.return_value().code())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let out = &mut Plain(f);
        match &self.0.path {
            Some(path) => write!(out, "{}: {}", path.display(), self.0.message),
            None => out.write_str(&self.0.message),
        }
    }
}

/// Text in which control characters are escaped: an image's own names are part of messages,
/// and must not reach a terminal as they are.
struct Plain<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Plain<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c.is_control() {
            true => write!(self.0, "{}", c.escape_default()),
            false => self.0.write_char(c),
        })
    }
}

/// Windows reports a file that another process holds as ERROR_SHARING_VIOLATION (32) or
/// ERROR_LOCK_VIOLATION (33), for which the standard library has no kind.
fn is_sharing_violation(cause: &io::Error) -> bool {
    cfg!(windows) && matches!(cause.raw_os_error(), Some(32 | 33))
}
