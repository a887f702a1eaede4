//! The bytes of files: on this machine, in memory, or in a storage of your own.
//!
//! [`Source`] is one file's bytes; [`Storage`] opens sources by path and finds their
//! neighbors. To read disks from somewhere other than files, such as an object store or an archive,
//! implement both and pass the storage to [`OpenOptions::storage`](crate::OpenOptions::storage).
//! [`MemoryStorage`] holds files in memory.

mod file;
#[allow(unsafe_code)]
mod map;
mod memory;
#[cfg(unix)]
#[allow(unsafe_code)]
mod os_unix;
#[cfg(windows)]
mod os_windows;
mod overlay;
mod reader;
mod regular;
mod window;

#[cfg(unix)]
use os_unix as os;
#[cfg(windows)]
use os_windows as os;

pub use file::{FileSource, LocalStorage};
pub use map::MapSource;
pub use memory::{MemoryStorage, SliceSource};

pub(crate) use overlay::{Overlay, OverlayEntry};
pub(crate) use reader::{FileView, Reader};
pub(crate) use window::Window;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The bytes of one file, read by offset. Any number of threads may read at once.
pub trait Source: Send + Sync {
    /// Returns the current length of the source in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on, or fails; a short read is an error.
    /// [`io::ErrorKind::UnexpectedEof`] if the bytes end before the buffer is full.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Returns a value that differs once the bytes may have changed: device, inode, size and
    /// times of a file, an object's ETag. A question takes it before it reads anything and
    /// compares it at its end. The default never differs; changes are then noticed by the
    /// files' headers alone.
    fn version(&self) -> io::Result<Version> {
        Ok(Version::default())
    }

    /// Returns the file that has the bytes of this source from its start on; None unless
    /// overridden.
    fn as_file(&self) -> Option<&File> {
        None
    }
}

/// A value that stands for the state of a source's bytes: if two differ, the bytes may have
/// changed. This crate only compares them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version(pub Vec<u8>);

impl<T: Source + ?Sized> Source for Arc<T> {
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }

    fn version(&self) -> io::Result<Version> {
        (**self).version()
    }

    fn as_file(&self) -> Option<&File> {
        (**self).as_file()
    }
}

/// Opens files by path. The crate looks up parents, tracking tables and set members
/// through it, and opens nothing else.
///
/// Paths are what the caller gave, and what [`Path::join`] and [`Path::parent`] make of them
/// and of file names: keys such as `disks/base.vhdx` are suitable, and bare names too (their
/// directory is the empty path). A file is opened once for each disk.
///
/// Errors are distinguished by their [`io::ErrorKind`]: after `NotFound`, the search continues
/// elsewhere; `PermissionDenied`, `WouldBlock` and `ResourceBusy` become "access denied" and "in
/// use"; any other is a failure.
pub trait Storage: Send + Sync {
    /// Opens a file for reading. Anything but a regular file is an error of kind
    /// [`io::ErrorKind::InvalidInput`]; the implementation must not wait for a pipe's writer.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>>;

    /// Returns one name for a file, the same for every path that leads to it. Also called for
    /// directories, if an opening is confined to some.
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf>;

    /// Returns the file names in a directory, for lookups that ignore letter case.
    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>>;
}
