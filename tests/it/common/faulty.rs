//! A storage that records its calls and injects one fault: the calls of some kind are counted, and
//! one of them, or all from one on, fail, panic or take long.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use vhdx_rct::source::{LocalStorage, Source, Storage, Version};

/// A call to a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Open,
    Canonicalize,
    List,
    Size,
    Read,
    Version,
}

/// The effect on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    Fail(io::ErrorKind),
    Panic,
    Delay(Duration),
}

/// Which calls are affected, and how.
#[derive(Clone, Copy)]
pub struct Fault {
    pub reaction: Reaction,
    /// The first affected call, counted from 0 among those that `hits`.
    pub at: u64,
    /// Whether all later ones are affected too.
    pub stays: bool,
    pub hits: fn(Call, &Path) -> bool,
}

impl Fault {
    /// Counts calls and affects none.
    pub fn none(hits: fn(Call, &Path) -> bool) -> Self {
        Fault::from(u64::MAX, Reaction::Fail(io::ErrorKind::Other), hits)
    }

    /// Affects every call from this one on.
    pub fn from(at: u64, reaction: Reaction, hits: fn(Call, &Path) -> bool) -> Self {
        Fault { reaction, at, stays: true, hits }
    }
}

/// The offset and length of each read, by the path of the opened file.
pub type Reads = BTreeMap<PathBuf, Vec<(u64, usize)>>;

struct Counter {
    fault: Fault,
    calls: AtomicU64,
    /// The reads so far, if they are recorded.
    reads: Option<Mutex<Reads>>,
}

impl Counter {
    fn call(&self, call: Call, path: &Path) -> io::Result<()> {
        if !(self.fault.hits)(call, path) {
            return Ok(());
        }
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        if number != self.fault.at && !(self.fault.stays && number > self.fault.at) {
            return Ok(());
        }
        match self.fault.reaction {
            Reaction::Fail(kind) => return Err(io::Error::new(kind, "injected")),
            Reaction::Panic => panic!("an injected panic, as the test wants"),
            Reaction::Delay(time) => std::thread::sleep(time),
        }
        Ok(())
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
        Faulty {
            inner,
            counter: Arc::new(Counter { fault, calls: AtomicU64::new(0), reads: None }),
        }
    }

    /// A storage without a fault that records every read, and panics if a file is opened twice.
    pub fn recording(inner: impl Storage + 'static) -> Self {
        let (fault, reads) = (Fault::none(|_, _| false), Some(Mutex::default()));
        let counter = Counter { fault, calls: AtomicU64::new(0), reads };
        Faulty { inner: Arc::new(inner), counter: Arc::new(counter) }
    }

    /// A fault in the files of this machine.
    pub fn local(fault: Fault) -> Arc<Self> {
        Arc::new(Faulty::new(Arc::new(LocalStorage::new()), fault))
    }

    /// The number of calls so far that `hits`.
    pub fn calls(&self) -> u64 {
        self.counter.calls.load(Ordering::Relaxed)
    }

    /// The number of files that were opened.
    pub fn opened(&self) -> usize {
        self.reads().len()
    }

    /// The reads since the last call.
    pub fn take_reads(&self) -> Reads {
        let mut reads = self.reads();
        reads.iter_mut().map(|(path, of)| (path.clone(), std::mem::take(of))).collect()
    }

    fn reads(&self) -> MutexGuard<'_, Reads> {
        self.counter.reads.as_ref().expect("a recording storage").lock().unwrap()
    }
}

impl Storage for Faulty {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        self.counter.call(Call::Open, path)?;
        let (inner, counter) = (self.inner.open(path)?, self.counter.clone());
        if let Some(reads) = &counter.reads {
            let earlier = reads.lock().unwrap().insert(path.to_owned(), Vec::new());
            assert_eq!(earlier, None, "{} is opened twice", path.display());
        }
        Ok(Arc::new(FaultySource { inner, counter, path: path.to_owned() }))
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.counter.call(Call::Canonicalize, path)?;
        self.inner.canonicalize(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        self.counter.call(Call::List, directory)?;
        self.inner.list(directory)
    }
}

struct FaultySource {
    inner: Arc<dyn Source>,
    counter: Arc<Counter>,
    path: PathBuf,
}

impl Source for FaultySource {
    fn size(&self) -> io::Result<u64> {
        self.counter.call(Call::Size, &self.path)?;
        self.inner.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.counter.call(Call::Read, &self.path)?;
        if let Some(reads) = &self.counter.reads {
            reads.lock().unwrap().get_mut(&self.path).unwrap().push((offset, buffer.len()));
        }
        self.inner.read_exact_at(buffer, offset)
    }

    fn version(&self) -> io::Result<Version> {
        self.counter.call(Call::Version, &self.path)?;
        self.inner.version()
    }
}
