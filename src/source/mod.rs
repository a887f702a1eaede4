//! Read-only bytes at an offset.
//!
//! [`Source`] is one file's bytes; [`Storage`] opens sources by path and finds their
//! neighbours. Whoever keeps disks elsewhere than in files (an object store, an archive, a
//! fault-injecting test) implements these two and hands the storage to
//! [`ChangeQuery::storage`](crate::ChangeQuery::storage).

mod file;
mod guard;
#[allow(unsafe_code)]
mod map;
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

pub(crate) use guard::{Control, Guard, Lease};
pub(crate) use overlay::{Overlay, Piece};
pub(crate) use reader::Reader;
pub(crate) use window::Window;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Read-only bytes at an offset. Implementations have no cursor: any number of threads may
/// read at once.
pub trait Source: Send + Sync {
    /// The length in bytes, as it is now.
    fn len(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on, or fails; there is no short read.
    /// [`io::ErrorKind::UnexpectedEof`] where the bytes end before the buffer is full.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Is there nothing to read?
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Returns a value that differs once the bytes may have changed: device, inode, size and
    /// times of a file, an object's ETag. A question takes it before it reads anything and
    /// compares it at its end. The default never differs; changes are then noticed by the
    /// files' headers alone.
    fn version(&self) -> io::Result<Version> {
        Ok(Version::default())
    }

    /// Returns the file that the bytes come from, if they are those of a file from its start on.
    fn as_file(&self) -> Option<&File> {
        None
    }
}

/// A state of a source's bytes, to be compared with a later one. What the bytes mean is the
/// source's own business.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version(pub Vec<u8>);

impl<T: Source + ?Sized> Source for Arc<T> {
    fn len(&self) -> io::Result<u64> {
        (**self).len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }

    fn is_empty(&self) -> io::Result<bool> {
        (**self).is_empty()
    }

    fn version(&self) -> io::Result<Version> {
        (**self).version()
    }

    fn as_file(&self) -> Option<&File> {
        (**self).as_file()
    }
}

/// Opens sources by path. The crate looks up parents, tracking tables and set members
/// through it, and opens nothing else.
///
/// Paths are what the caller gave, and what [`Path::join`] and [`Path::parent`] make of them
/// and of file names: keys such as `disks/base.vhdx` do, bare names too (their folder is the
/// empty path). A file may be opened more than once in a query; it must be the same each time.
///
/// Errors are told apart by their [`io::ErrorKind`]: `NotFound` means that there is no such
/// file, and the search goes on elsewhere; `PermissionDenied`, `WouldBlock` and `ResourceBusy`
/// become "access denied" and "in use"; any other is a failure.
///
/// ```
/// use std::{collections::HashMap, ffi::OsString, io, path::{Path, PathBuf}, sync::Arc};
/// use vhdx_rct::source::{SliceSource, Source, Storage};
///
/// /// Disks that are bytes in memory, all in one folder without a name.
/// struct Memory(HashMap<PathBuf, Arc<[u8]>>);
///
/// impl Storage for Memory {
///     fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
///         let bytes = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
///         Ok(Arc::new(SliceSource(bytes.clone())))
///     }
///
///     fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
///         let known = self.0.contains_key(path) || path == Path::new("");
///         known.then(|| path.to_owned()).ok_or(io::ErrorKind::NotFound.into())
///     }
///
///     fn list(&self, _folder: &Path) -> io::Result<Vec<OsString>> {
///         Ok(self.0.keys().map(|path| path.clone().into()).collect())
///     }
/// }
/// ```
pub trait Storage: Send + Sync {
    /// Opens for reading. Anything but a regular file is an error of kind
    /// [`io::ErrorKind::InvalidInput`]; the implementation must not wait for a pipe's writer.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>>;

    /// One name for a file however it is reached; two paths of a file give the same. Also asked
    /// for folders, where a request is confined to some.
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf>;

    /// The file names in a folder, for look-ups that ignore letter case.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;
}

/// Bytes in memory: a `Vec<u8>`, a `&[u8]`, anything that lends a slice.
#[derive(Debug, Clone)]
pub struct SliceSource<B>(pub B);

impl<B: AsRef<[u8]> + Send + Sync> Source for SliceSource<B> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.as_ref().len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = usize::try_from(offset).ok().and_then(|start| self.0.as_ref().get(start..));
        match bytes.and_then(|rest| rest.get(..buffer.len())) {
            Some(found) => {
                buffer.copy_from_slice(found);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
