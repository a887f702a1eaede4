//! Disks in memory: files by name, and sources that differ from a file in a few bytes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vhdx_rct::source::{SliceSource, Source, Storage, Version};
use vhdx_rct_fixtures::paths::without_dots;

/// A storage of files in memory, and of folders that follow from their names.
#[derive(Clone, Default)]
pub struct Memory {
    files: BTreeMap<PathBuf, Arc<dyn Source>>,
}

impl Memory {
    pub fn with(mut self, path: impl AsRef<Path>, bytes: Vec<u8>) -> Self {
        self.insert(path, Arc::new(SliceSource(bytes)));
        self
    }

    pub fn insert(&mut self, path: impl AsRef<Path>, source: Arc<dyn Source>) {
        self.files.insert(path.as_ref().to_owned(), source);
    }
}

impl Storage for Memory {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        let plain = without_dots(path);
        let known = self.files.contains_key(&plain) || is_folder(&plain, self.files.keys());
        known.then_some(plain).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let inside = self.files.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.filter_map(|path| path.file_name()).map(OsString::from).collect())
    }
}

fn is_folder<'a>(path: &Path, mut files: impl Iterator<Item = &'a PathBuf>) -> bool {
    files.any(|file| file.starts_with(path))
}

/// A file in memory of which some bytes are others, and which may be longer than it is; costs
/// no copy of the file.
#[derive(Clone)]
pub struct Patched {
    base: Arc<Vec<u8>>,
    patches: Vec<(u64, Vec<u8>)>,
    length: u64,
}

impl Patched {
    pub fn new(base: &Arc<Vec<u8>>) -> Self {
        Patched { base: base.clone(), patches: Vec::new(), length: base.len() as u64 }
    }

    pub fn with(mut self, offset: u64, bytes: impl Into<Vec<u8>>) -> Self {
        self.patches.push((offset, bytes.into()));
        self
    }

    /// Zeros up to this length.
    pub fn long(mut self, length: u64) -> Self {
        self.length = length;
        self
    }
}

impl Source for Patched {
    fn len(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|&end| end <= self.length);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let rest = usize::try_from(offset).ok().and_then(|at| self.base.get(at..));
        let rest = rest.unwrap_or_default();
        let own = rest.len().min(buffer.len());
        buffer[..own].copy_from_slice(&rest[..own]);
        buffer[own..].fill(0);
        for (at, bytes) in &self.patches {
            let (from, until) = (offset.max(*at), end.min(at + bytes.len() as u64));
            if from < until {
                let patch = &bytes[(from - at) as usize..(until - at) as usize];
                buffer[(from - offset) as usize..(until - offset) as usize].copy_from_slice(patch);
            }
        }
        Ok(())
    }
}

/// A source of the same bytes whose version is another one each time.
pub struct Restless<S> {
    bytes: S,
    version: AtomicU64,
}

impl<S> Restless<S> {
    pub fn new(bytes: S) -> Self {
        Restless { bytes, version: AtomicU64::new(0) }
    }
}

impl<S: Source> Source for Restless<S> {
    fn len(&self) -> io::Result<u64> {
        self.bytes.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.bytes.read_exact_at(buffer, offset)
    }

    fn version(&self) -> io::Result<Version> {
        let version = self.version.fetch_add(1, Ordering::Relaxed);
        Ok(Version(version.to_le_bytes().into()))
    }
}
