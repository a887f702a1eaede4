//! Disks in memory: files by name, and sources that differ from a file in a few bytes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
pub use vhdx_rct::source::MemoryStorage;
use vhdx_rct::source::{SliceSource, Source, Version};

/// A storage of files in memory, built in one expression.
pub trait WithFile {
    /// Adds a file with these bytes.
    fn with(self, path: impl Into<PathBuf>, bytes: Vec<u8>) -> Self;
}

impl WithFile for MemoryStorage {
    fn with(mut self, path: impl Into<PathBuf>, bytes: Vec<u8>) -> Self {
        self.insert(path, Arc::new(SliceSource(bytes)));
        self
    }
}

/// A file in memory with some bytes replaced, possibly longer than its base; costs no copy of
/// the file.
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

    /// Ends the file at this length; zeros follow the base.
    pub fn long(mut self, length: u64) -> Self {
        self.length = length;
        self
    }
}

impl Source for Patched {
    fn size(&self) -> io::Result<u64> {
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

/// A source of the same bytes whose version differs each time.
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
    fn size(&self) -> io::Result<u64> {
        self.bytes.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.bytes.read_exact_at(buffer, offset)
    }

    fn version(&self) -> io::Result<Version> {
        let version = self.version.fetch_add(1, Ordering::Relaxed);
        Ok(Version(version.to_le_bytes().into()))
    }
}
