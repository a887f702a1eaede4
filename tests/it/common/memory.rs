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

/// A file with two states: the second from the given call on.
pub struct Changing {
    states: [Patched; 2],
    remaining: AtomicU64,
}

impl Changing {
    pub fn new(states: &[Patched; 2], calls: u64) -> Arc<Self> {
        Arc::new(Changing { states: states.clone(), remaining: AtomicU64::new(calls) })
    }

    /// The number of further calls that see the first state.
    pub fn remaining(&self) -> u64 {
        self.remaining.load(Ordering::Relaxed)
    }

    /// Changes the file after each number of calls in turn, up to the number that `ask` makes.
    pub fn after_each_call(states: [Vec<u8>; 2], mut ask: impl FnMut(u64, Arc<Self>)) {
        let states = states.map(|bytes| Patched::new(&Arc::new(bytes)));
        for calls in 0..100 {
            let file = Changing::new(&states, calls);
            ask(calls, file.clone());
            if file.remaining() > 0 {
                return;
            }
        }
        panic!("a question of more than 100 calls");
    }

    fn current(&self) -> &Patched {
        let one_less = |calls: u64| calls.checked_sub(1);
        let first = self.remaining.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        &self.states[usize::from(first.is_err())]
    }
}

impl Source for Changing {
    fn size(&self) -> io::Result<u64> {
        self.current().size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.current().read_exact_at(buffer, offset)
    }
}
