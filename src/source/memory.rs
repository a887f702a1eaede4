//! Bytes and files in memory.

use super::{Source, Storage};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Bytes in memory: a `Vec<u8>`, an `Arc<[u8]>`, or anything else that lends a slice.
#[derive(Debug, Clone)]
pub struct SliceSource<B>(pub B);

impl<B: AsRef<[u8]> + Send + Sync> Source for SliceSource<B> {
    fn size(&self) -> io::Result<u64> {
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

/// A storage of files in memory, for tests and for images that a program holds as bytes.
/// Directories follow from the paths of the files.
///
/// ```
/// use std::sync::Arc;
/// use vhdx_rct::source::{MemoryStorage, SliceSource};
///
/// let mut storage = MemoryStorage::new();
/// storage.insert("disks/base.vhdx", Arc::new(SliceSource(b"not a disk")));
/// let mut options = vhdx_rct::OpenOptions::new();
/// let error = options.storage(Arc::new(storage)).open("disks/base.vhdx").unwrap_err();
/// assert_eq!(error.kind(), vhdx_rct::ErrorKind::NotVirtualDisk);
/// ```
#[derive(Clone, Default)]
pub struct MemoryStorage {
    files: BTreeMap<PathBuf, Arc<dyn Source>>,
}

impl MemoryStorage {
    /// Creates an empty storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file to the storage, or replaces the one with this path.
    pub fn insert(&mut self, path: impl Into<PathBuf>, source: Arc<dyn Source>) {
        self.files.insert(path.into(), source);
    }
}

impl_debug!(MemoryStorage, |storage| files: storage.files.keys());

impl Storage for MemoryStorage {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        let source = self.files.get(&without_dots(path));
        source.cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        let plain = without_dots(path);
        let known = self.files.keys().any(|file| file.starts_with(&plain));
        known.then_some(plain).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let directory = without_dots(directory);
        let inside = self.files.keys().filter(|path| path.parent() == Some(&directory));
        Ok(inside.filter_map(|path| path.file_name()).map(OsString::from).collect())
    }
}

/// Returns the path without `.` and `..`.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}
