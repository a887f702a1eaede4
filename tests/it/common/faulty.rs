//! A storage that fails when it is told to: each call is counted, and one of them, or all from
//! one on, give an error.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vhdx_rct::source::{Source, Storage, Version};

/// What a storage is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Open,
    Canonicalize,
    List,
    Length,
    Read,
    Version,
}

/// Which calls fail, and how.
#[derive(Clone)]
pub struct Fault {
    pub kind: io::ErrorKind,
    /// The first call that fails, counted from 0 among those that `hits`.
    pub at: u64,
    /// Do all later ones fail too?
    pub stays: bool,
    pub hits: fn(Call, &Path) -> bool,
}

impl Fault {
    /// Never happens, only counts.
    pub fn none(hits: fn(Call, &Path) -> bool) -> Self {
        Fault { kind: io::ErrorKind::Other, at: u64::MAX, stays: false, hits }
    }
}

struct Counter {
    fault: Fault,
    calls: AtomicU64,
}

impl Counter {
    fn call(&self, call: Call, path: &Path) -> io::Result<()> {
        if !(self.fault.hits)(call, path) {
            return Ok(());
        }
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let fails = number == self.fault.at || self.fault.stays && number > self.fault.at;
        if fails { Err(io::Error::new(self.fault.kind, "injected")) } else { Ok(()) }
    }
}

/// A storage with a fault.
#[derive(Clone)]
pub struct Faulty {
    inner: Arc<dyn Storage>,
    counter: Arc<Counter>,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Storage>, fault: Fault) -> Self {
        Faulty { inner, counter: Arc::new(Counter { fault, calls: AtomicU64::new(0) }) }
    }

    /// How many calls could have failed so far.
    pub fn calls(&self) -> u64 {
        self.counter.calls.load(Ordering::Relaxed)
    }
}

impl Storage for Faulty {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        self.counter.call(Call::Open, path)?;
        let (inner, counter) = (self.inner.open(path)?, self.counter.clone());
        Ok(Arc::new(FaultySource { inner, counter, path: path.to_owned() }))
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.counter.call(Call::Canonicalize, path)?;
        self.inner.canonicalize(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        self.counter.call(Call::List, folder)?;
        self.inner.list(folder)
    }
}

struct FaultySource {
    inner: Arc<dyn Source>,
    counter: Arc<Counter>,
    path: PathBuf,
}

impl Source for FaultySource {
    fn len(&self) -> io::Result<u64> {
        self.counter.call(Call::Length, &self.path)?;
        self.inner.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.counter.call(Call::Read, &self.path)?;
        self.inner.read_exact_at(buffer, offset)
    }

    fn version(&self) -> io::Result<Version> {
        self.counter.call(Call::Version, &self.path)?;
        self.inner.version()
    }
}
