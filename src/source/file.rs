//! Files of this machine, read by position.

use super::{MapSource, Source, Storage};
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file, read by position: no shared cursor, and a file that shrinks gives an error.
#[derive(Debug)]
pub struct FileSource(File);

impl FileSource {
    /// Opens a regular file for reading, under a shared lock: a writer that holds the file
    /// (Windows: has it open for writing; elsewhere: holds an exclusive advisory lock) makes
    /// it an error of kind [`io::ErrorKind::WouldBlock`] or a sharing violation.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        open_regular(path.as_ref()).map(FileSource)
    }

    /// Takes a file that is open already; no lock is asked for.
    pub fn from_file(file: File) -> Self {
        FileSource(file)
    }
}

impl Source for FileSource {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, buffer, offset)
    }

    #[cfg(windows)]
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.0, buffer, offset) {
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

/// The files of this machine; what every query uses unless told otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalStorage {
    mapped: bool,
}

impl LocalStorage {
    /// Reads by position. Another process that truncates a file causes an error, no more.
    pub fn new() -> Self {
        Self::default()
    }

    /// Maps files into memory instead: fewer system calls on large tables.
    ///
    /// # Safety
    /// No process may truncate or change a file while it is mapped: see [`MapSource::open`].
    #[allow(unsafe_code)]
    pub unsafe fn memory_mapped() -> Self {
        LocalStorage { mapped: true }
    }
}

impl Storage for LocalStorage {
    #[allow(unsafe_code)]
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        if self.mapped {
            // SAFETY: whoever asked for `memory_mapped` promised that files stay as they are.
            return Ok(Arc::new(unsafe { MapSource::open(path)? }));
        }
        Ok(Arc::new(FileSource::open(path)?))
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        path.canonicalize()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        folder.read_dir()?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    }
}

/// Opens a regular file and nothing else: the name is looked at before it is opened, since
/// opening a device or a pipe can already do harm, and again after, since it may have been
/// exchanged in between.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    must_be_regular(&path.metadata()?)?;
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 1); // FILE_SHARE_READ
    let file = options.open(path)?;
    must_be_regular(&file.metadata()?)?;
    // A file system without locks (some network mounts) answers with an error: read on.
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::WouldBlock,
            "another process holds an exclusive lock on it; try again when it is closed",
        )),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

fn must_be_regular(metadata: &std::fs::Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let kind = if metadata.is_dir() { "a folder" } else { "a device, pipe or socket" };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{kind} is no disk image file")))
}
