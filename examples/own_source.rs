//! Reads disks through a `Storage` and a `Source` of your own: here, both count what is read.
//!
//! The bytes are in a [`MemoryStorage`], which also finds them by path. A storage of remote objects
//! has the same methods, with a request in place of each call to the inner storage or source. The
//! answer must be the same as that from the files.

use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vhdx_rct::source::{MemoryStorage, SliceSource, Source, Storage, Version};
use vhdx_rct::{Baseline, Disk, OpenOptions};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");

/// Disks by path. The paths have no meaning to the operating system.
struct CountingStorage {
    disks: MemoryStorage,
    bytes_read: Arc<AtomicU64>,
}

impl Storage for CountingStorage {
    /// Opens a disk. After an error of kind `NotFound`, the crate searches elsewhere or continues
    /// without the file.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        let (disk, bytes_read) = (self.disks.open(path)?, self.bytes_read.clone());
        Ok(Arc::new(CountingSource { disk, bytes_read }))
    }

    /// Returns one name for each disk, so that a cycle in a chain is detected. Directories too:
    /// `OpenOptions::confine_to` compares them.
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.disks.canonicalize(path)
    }

    /// Lets the crate find a parent whose name is written in another letter case.
    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        self.disks.list(directory)
    }
}

/// The bytes of one disk.
struct CountingSource {
    disk: Arc<dyn Source>,
    /// The number of bytes read from all disks.
    bytes_read: Arc<AtomicU64>,
}

impl Source for CountingSource {
    fn size(&self) -> io::Result<u64> {
        self.disk.size()
    }

    /// Fills the whole buffer or fails. The offset may come from a damaged disk, so it may have any
    /// value.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.read_exact_at(buffer, offset)?;
        self.bytes_read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Returns a constant for bytes in memory, which never change. An object store would return the
    /// object's ETag: if it differs from the one at the opening, questions are refused.
    fn version(&self) -> io::Result<Version> {
        self.disk.version()
    }
}

fn main() {
    if let Err(error) = compare() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn compare() -> Result<(), Box<dyn Error>> {
    let (mut disks, mut total) = (MemoryStorage::new(), 0);
    for name in ["base.vhdx", "child.avhdx"] {
        let bytes = std::fs::read(Path::new(SAMPLES).join(name))?;
        total += bytes.len();
        disks.insert(Path::new("/disks").join(name), Arc::new(SliceSource(bytes)));
    }
    let bytes_read = Arc::new(AtomicU64::new(0));
    let storage = CountingStorage { disks, bytes_read: bytes_read.clone() };

    let disk = OpenOptions::new().storage(Arc::new(storage)).open("/disks/child.avhdx")?;
    // The crate finds the parent by the locator in the child, through the storage.
    let parent = match (disk.files().get(1), disk.missing_parent()) {
        (Some(parent), _) => parent.path().to_owned(),
        (None, Some(error)) => return Err(error.clone().into()),
        (None, None) => return Err("expected a disk with a parent".into()),
    };
    let changes = disk.changes(Baseline::File(parent.clone())).collect()?;

    println!("changed since {}:", parent.display());
    for range in &changes.ranges {
        println!("{:>10} bytes at {}", range.length, range.offset);
    }
    println!("{} of {total} bytes read", bytes_read.load(Ordering::Relaxed));

    let samples = Path::new(SAMPLES);
    let files = Disk::open(samples.join("child.avhdx"))?;
    let since = Baseline::File(samples.join("base.vhdx"));
    if files.changes(since).collect()?.ranges != changes.ranges {
        return Err("expected the same answer from the files and from memory".into());
    }
    Ok(())
}
