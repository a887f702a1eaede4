//! One error type for the whole crate, with the method's return value and, if there is one, the
//! finer code of Windows' own API.

mod kind;
mod return_value;

pub use kind::ErrorKind;
pub use return_value::ReturnValue;

use std::fmt::{self, Write};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result type of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The thing that an error is about: the request or one of the files; returned by
/// [`Error::subject`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// The question or its limits, not a file.
    Request,
    /// The disk that was opened.
    Disk,
    /// A parent in the disk's chain.
    Parent,
    /// A tracking table (`.rct`).
    TrackingTable,
    /// A VHD Set (`.vhds`).
    VhdSet,
    /// A snapshot catalog.
    Catalog,
}

/// The reason why a disk was not opened or a question was not answered.
///
/// The text that `Display` writes is a sentence with the file, what was expected, what was found
/// and, if the user can do something about it, what to do next. [`std::error::Error::source`] is
/// the cause: an [`io::Error`], the error of the format, or the error of the parent.
///
/// ```
/// use vhdx_rct::{ErrorKind, ReturnValue, Subject};
///
/// let error = vhdx_rct::get_virtual_disk_changes("no such disk.vhdx", "*", None, 0, 0).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::FileNotFound);
/// assert_eq!(error.subject(), Subject::Disk);
/// assert_eq!(error.return_value(), ReturnValue::FileNotFound);
/// assert!(!error.needs_full_backup());
/// ```
///
/// The `Debug` form is the same sentence followed by the kind and the code, because that is what
/// a `main` that returns the error prints.
#[derive(Clone)]
pub struct Error(Arc<Details>);

#[derive(Clone)]
struct Details {
    kind: ErrorKind,
    return_value: ReturnValue,
    subject: Subject,
    message: String,
    path: Option<PathBuf>,
    cause: Option<Cause>,
}

/// Converts the private error of a format, which has its sentence and a method `kind`.
macro_rules! impl_from_format {
    ($format:ty) => {
        impl From<$format> for crate::error::Error {
            fn from(error: $format) -> Self {
                crate::error::Error::format(error.kind(), error)
            }
        }
    };
}
pub(crate) use impl_from_format;

#[derive(Clone)]
enum Cause {
    Io(Arc<io::Error>),
    Format(Arc<dyn std::error::Error + Send + Sync>),
    /// The error of another file.
    File(Error),
}

impl Error {
    /// Creates an error about the request.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Arc::new(Details {
            kind,
            return_value: kind.return_value(),
            subject: Subject::Request,
            message: message.into(),
            path: None,
            cause: None,
        }))
    }

    /// Creates an error with the error of a format as its source.
    pub(crate) fn format(
        kind: ErrorKind,
        cause: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        let mut error = Error::new(kind, cause.to_string());
        error.details().cause = Some(Cause::Format(Arc::new(cause)));
        error
    }

    /// Creates an error with the kind that matches an I/O error.
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
        error.details().cause = Some(Cause::Io(Arc::new(cause)));
        error
    }

    fn details(&mut self) -> &mut Details {
        Arc::make_mut(&mut self.0)
    }

    /// Adds the file's name and subject, unless that was done closer to the cause.
    pub(crate) fn in_file(mut self, subject: Subject, path: &Path) -> Self {
        if self.0.path.is_none() {
            let details = self.details();
            details.path = Some(path.to_owned());
            details.subject = subject;
        }
        self
    }

    /// Sets the error of another file that caused this one.
    pub(crate) fn caused_by(mut self, cause: Option<Error>) -> Self {
        self.details().cause = cause.map(Cause::File);
        self
    }

    /// Returns the same error about something other than the request.
    pub(crate) fn about(mut self, subject: Subject) -> Self {
        self.details().subject = subject;
        self
    }

    /// Returns the same failure from the point of view of a child's chain. Errors of the request
    /// are unchanged.
    pub(crate) fn in_parent(self) -> Self {
        if self.concerns_request() {
            return self;
        }
        let mut error = self.clone();
        let details = error.details();
        (details.kind, details.return_value) = match details.return_value {
            code @ ReturnValue::AccessDenied => (ErrorKind::ParentAccessDenied, code),
            ReturnValue::FileNotFound => (ErrorKind::ParentNotFound, ReturnValue::NotAvailable),
            code @ (ReturnValue::Failed | ReturnValue::NotSupported | ReturnValue::InUse) => {
                (ErrorKind::ParentUnusable, code)
            }
            code => (details.kind, code),
        };
        details.subject = Subject::Parent;
        error.caused_by(Some(self))
    }

    /// Returns the kind of the error, to match on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the subject of the error: the request, or one of the kinds of files.
    #[must_use]
    pub fn subject(&self) -> Subject {
        self.0.subject
    }

    /// Returns the file that the error is about, if it is about one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// Returns the kind of the underlying I/O error, if there is one, also if a parent could not be
    /// read.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        let mut error = self;
        loop {
            match &error.0.cause {
                Some(Cause::Io(cause)) => return Some(cause.kind()),
                Some(Cause::File(parent)) => error = parent,
                _ => return None,
            }
        }
    }

    /// Returns the value that the WMI method returns in this situation; never
    /// [`ReturnValue::Completed`].
    #[must_use]
    pub fn return_value(&self) -> ReturnValue {
        self.0.return_value
    }

    /// Returns the more specific code of Windows' virtual disk API, if there is one; see
    /// [`ErrorKind::win32_code`].
    #[must_use]
    pub fn win32_code(&self) -> Option<u32> {
        self.0.kind.win32_code()
    }

    /// Returns whether a full backup is the remedy, because the error concerns change tracking
    /// alone. The files in their current state cannot be queried since this id, but a full backup
    /// ([`Baseline::Allocated`]) is possible.
    ///
    /// This is so if tracking is off, the id is unknown, or a tracking table is damaged,
    /// truncated, another disk's, or not closed cleanly.
    ///
    /// [`Baseline::Allocated`]: crate::Baseline::Allocated
    #[must_use]
    pub fn needs_full_backup(&self) -> bool {
        use ErrorKind::{Corrupt, TrackingDisabled, Truncated, UnknownId, UntrustedTracking};
        match self.kind() {
            TrackingDisabled | UnknownId | UntrustedTracking => true,
            Corrupt | Truncated => self.subject() == Subject::TrackingTable,
            _ => false,
        }
    }

    /// Returns the sentence without the file's name.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns whether the error is about the request's own limits rather than about a file.
    pub(crate) fn concerns_request(&self) -> bool {
        matches!(self.kind(), ErrorKind::TimedOut | ErrorKind::Cancelled | ErrorKind::OutOfMemory)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.0.cause.as_ref()? {
            Cause::Io(cause) => Some(&**cause),
            Cause::Format(cause) => Some(&**cause),
            Cause::File(error) => Some(error),
        }
    }
}

/// Never of kind [`io::ErrorKind::Interrupted`], which [`io::Read::read_exact`] would retry
/// forever.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = error.io_kind().filter(|kind| *kind != io::ErrorKind::Interrupted);
        io::Error::new(kind.unwrap_or(io::ErrorKind::Other), error)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:?}, {})", self.kind(), self.return_value().code())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let out = &mut Escaped(f);
        match &self.0.path {
            Some(path) => write!(out, "{}: {}", path.display(), self.0.message),
            None => out.write_str(&self.0.message),
        }
    }
}

/// Escapes the control characters of a text: names in an image are part of messages and must not
/// reach a terminal unescaped.
struct Escaped<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c.is_control() {
            true => write!(self.0, "{}", c.escape_default()),
            false => self.0.write_char(c),
        })
    }
}

/// Windows reports a file that another process has open as ERROR_SHARING_VIOLATION (32) or
/// ERROR_LOCK_VIOLATION (33), for which the standard library has no kind.
fn is_sharing_violation(cause: &io::Error) -> bool {
    cfg!(windows) && matches!(cause.raw_os_error(), Some(32 | 33))
}
