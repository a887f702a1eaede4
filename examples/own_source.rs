//! Disks that are not files: a caller with its own `Storage` and `Source`.
//!
//! Two sample disks become bytes in a map, and everything that is read goes through it. What
//! the child changed since its parent must be the same as the files themselves tell.

use std::collections::HashMap;
use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vhdx_rct::source::{Source, Storage, Version};
use vhdx_rct::{ChangeQuery, Limit};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");

/// Disks by path. The paths mean nothing to the operating system.
#[derive(Default)]
struct Disks {
    contents: HashMap<PathBuf, Arc<[u8]>>,
    bytes_read: Arc<AtomicU64>,
}

impl Storage for Disks {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        // NotFound is what makes the crate look elsewhere, or do without.
        let bytes = self.contents.get(&plain(path)).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Disk { bytes: bytes.clone(), bytes_read: self.bytes_read.clone() }))
    }

    /// One name for each disk, so that a chain that comes back to one is noticed. Folders too:
    /// ChangeQuery::confine_to compares them.
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        let path = plain(path);
        let known = self.contents.keys().any(|disk| disk.starts_with(&path));
        known.then_some(path).ok_or(io::ErrorKind::NotFound.into())
    }

    /// Lets the crate find a parent whose name is written in another letter case.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let folder = plain(folder);
        let inside = self.contents.keys().filter(|path| path.parent() == Some(&folder));
        Ok(inside.filter_map(|path| path.file_name()).map(OsString::from).collect())
    }
}

/// The path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
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

/// One disk's bytes, and how many of them were asked for.
struct Disk {
    bytes: Arc<[u8]>,
    bytes_read: Arc<AtomicU64>,
}

impl Source for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        // The offset may be what a damaged disk says, so it may be anything.
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let rest = self.bytes.get(start..).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(rest.get(..buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        self.bytes_read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// These bytes never change. An object store would return the object's ETag: a question
    /// during which it differs is refused.
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

    let query = ChangeQuery::new("/disks/child.avhdx").storage(Arc::new(disks));
    // The crate finds the parent by what the child says of it, through the storage.
    let (chain, missing) = query.chain()?;
    let parent = match chain.files().get(1) {
        Some(parent) => parent.path().to_owned(),
        None => return Err(missing.map_or("the disk has no parent".into(), Into::into)),
    };
    let changes = query.since(Limit::File(parent.clone())).run()?;

    println!("changed since {}:", parent.display());
    for range in &changes.ranges {
        println!("{:>10} bytes at {}", range.length, range.offset);
    }
    println!("{} of {total} bytes read", bytes_read.load(Ordering::Relaxed));

    let base = Path::new(SAMPLES).join("base.vhdx");
    let files = ChangeQuery::new(Path::new(SAMPLES).join("child.avhdx"));
    if files.since(Limit::File(base)).run()?.ranges != changes.ranges {
        return Err("the files tell something else than the bytes in memory".into());
    }
    Ok(())
}
