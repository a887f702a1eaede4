//! Files of this machine, read by position.

use super::{MapSource, Source, Storage, Version, os, regular};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file of this machine that is read by position. If the file shrinks, reads return an error.
#[derive(Debug)]
pub struct FileSource {
    pub(super) file: File,
    /// The absolute path that the file was opened with; None if the caller opened it.
    path: Option<PathBuf>,
    /// The number of times that the path led to another file.
    misses: AtomicU64,
}

impl FileSource {
    /// Opens a regular file for reading, if no other program writes to it.
    ///
    /// On Windows, the file cannot be written to, renamed or deleted while the source exists.
    /// Elsewhere no lock is held; [`version`](Source::version) differs after the file was written
    /// to, or after its path stops leading to it. A file that was written to within the last 10 ms
    /// is opened after a pause of the same length, since its times may be too coarse to show the
    /// next write.
    ///
    /// # Errors
    /// An error of kind [`io::ErrorKind::WouldBlock`], or a sharing violation on Windows, if
    /// another program is detected to have the file open for writing: it holds an exclusive
    /// `flock`, a write lock on any byte, or (on Linux) the locks that QEMU holds on an image that
    /// it writes to; or if the file changes while it is opened.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = regular::open(path.as_ref())?;
        Ok(FileSource { path: Some(std::path::absolute(path)?), ..Self::from_file(file) })
    }

    /// Wraps an open file. It is not checked for locks or recent writes, and its version does not
    /// depend on any path.
    #[must_use]
    pub fn from_file(file: File) -> Self {
        FileSource { file, path: None, misses: AtomicU64::new(0) }
    }
}

impl Source for FileSource {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Returns the open file's metadata, and whether its path still leads to it: a rename over an
    /// open file changes nothing in the metadata of the open file.
    fn version(&self) -> io::Result<Version> {
        let own = self.file.metadata()?;
        let mut version = os::state(&own);
        let leads_here = |path: &PathBuf| path.metadata().is_ok_and(|m| os::is_same_file(&m, &own));
        if !self.path.as_ref().is_none_or(leads_here) {
            // Equal to no other version: the path may have been lost before the first one.
            let miss = self.misses.fetch_add(1, Ordering::Relaxed);
            version.extend(miss.to_le_bytes());
        }
        Ok(Version(version))
    }

    fn as_file(&self) -> Option<&File> {
        Some(&self.file)
    }

    #[cfg(unix)]
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
    }

    #[cfg(windows)]
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.file, buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    buffer = &mut buffer[count..];
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The files of this machine: the default storage.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalStorage {
    mapped: bool,
}

impl LocalStorage {
    /// Creates a storage that reads files by position. If another process truncates a file, reads
    /// return an error.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a storage that maps files into memory, which needs fewer system calls on large
    /// tables.
    ///
    /// # Safety
    /// No process may truncate or change a file while it is mapped: see [`MapSource::open`].
    #[allow(unsafe_code)]
    #[must_use]
    pub unsafe fn memory_mapped() -> Self {
        LocalStorage { mapped: true }
    }
}

impl Storage for LocalStorage {
    #[allow(unsafe_code)]
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        if self.mapped {
            // SAFETY: the caller of `memory_mapped` promised that files stay as they are.
            return Ok(Arc::new(unsafe { MapSource::open(path)? }));
        }
        Ok(Arc::new(FileSource::open(path)?))
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        path.canonicalize()
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        directory.read_dir()?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    }
}
