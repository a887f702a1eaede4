//! Reads disks that are not files through a custom `Storage` and `Source`.
//!
//! Two sample disks are kept as bytes in a map, and all reads go through it. The answer must be the
//! same as that from the files. (For disks in memory, the crate already has `MemoryStorage`.)

use std::collections::HashMap;
use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vhdx_rct::source::{Source, Storage, Version};
use vhdx_rct::{Baseline, Disk, OpenOptions};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");

/// Disks by path. The paths have no meaning to the operating system.
#[derive(Default)]
struct Disks {
    contents: HashMap<PathBuf, Arc<[u8]>>,
    bytes_read: Arc<AtomicU64>,
}

impl Storage for Disks {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        // After NotFound, the crate searches elsewhere or continues without the file.
        let bytes = self.contents.get(&without_dots(path)).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Object { bytes: bytes.clone(), bytes_read: self.bytes_read.clone() }))
    }

    /// Returns one name for each disk, so that a cycle in a chain is detected. Directories too:
    /// OpenOptions::confine_to compares them.
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        let path = without_dots(path);
        let known = self.contents.keys().any(|disk| disk.starts_with(&path));
        known.then_some(path).ok_or(io::ErrorKind::NotFound.into())
    }

    /// Lets the crate find a parent whose name is written in another letter case.
    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let directory = without_dots(directory);
        let inside = self.contents.keys().filter(|path| path.parent() == Some(&directory));
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

/// The bytes of one file, and the number of bytes read from all files.
struct Object {
    bytes: Arc<[u8]>,
    bytes_read: Arc<AtomicU64>,
}

impl Source for Object {
    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        // The offset may come from a damaged disk, so it may have any value.
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let rest = self.bytes.get(start..).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(rest.get(..buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        self.bytes_read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Returns a constant, because these bytes never change. An object store would return the
    /// object's ETag: if it differs from the one at the opening, questions are refused.
    fn version(&self) -> io::Result<Version> {
        Ok(Version::default())
    }
}

fn main() {
    if let Err(error) = compare() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn compare() -> Result<(), Box<dyn Error>> {
    let mut disks = Disks::default();
    for name in ["base.vhdx", "child.avhdx"] {
        let bytes = std::fs::read(Path::new(SAMPLES).join(name))?;
        disks.contents.insert(Path::new("/disks").join(name), bytes.into());
    }
    let total: usize = disks.contents.values().map(|bytes| bytes.len()).sum();
    let bytes_read = disks.bytes_read.clone();

    let disk = OpenOptions::new().storage(Arc::new(disks)).open("/disks/child.avhdx")?;
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
