//! A regular file of this machine: opened if no other program is writing to it, and compared
//! with itself after it was read.

use super::{Version, os};
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

/// How far apart two writes may be that a kernel gives the same time: before Linux 6.13 a file's
/// times come from a clock that is advanced 100 to 1000 times per second.
const COARSE_TIME: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct RegularFile {
    pub file: File,
    /// The absolute path that it was opened with; None if the caller opened it.
    path: Option<PathBuf>,
    /// How often the path led to something else.
    misses: AtomicU64,
}

impl RegularFile {
    /// Opens a regular file and nothing else: the name is looked at before it is opened, since
    /// opening a device or a pipe can already do harm, and again after, since it may have been
    /// exchanged in between.
    pub fn open(path: &Path) -> io::Result<Self> {
        verify_regular(&path.metadata()?)?;
        let mut options = OpenOptions::new();
        options.read(true);
        os::prepare(&mut options);
        let file = options.open(path)?;
        verify_regular(&file.metadata()?)?;
        verify_no_flock(&file)?;
        os::verify_no_write_lock(&file)?;
        verify_settled(&file)?;
        Ok(RegularFile { path: Some(std::path::absolute(path)?), ..Self::from_file(file) })
    }

    pub fn from_file(file: File) -> Self {
        RegularFile { file, path: None, misses: AtomicU64::new(0) }
    }

    /// What the open file's metadata say, and whether its path still leads to it: a rename over
    /// an open file changes nothing that the open file shows.
    pub fn version(&self) -> io::Result<Version> {
        let own = self.file.metadata()?;
        let mut version = os::state(&own);
        let leads_here = |path: &PathBuf| path.metadata().is_ok_and(|m| os::is_same_file(&m, &own));
        if !self.path.as_ref().is_none_or(leads_here) {
            // Equal to no other version: the path may have been lost before the first one.
            let miss = self.misses.fetch_add(1, Ordering::Relaxed);
            version.extend(miss.to_le_bytes());
        }
        Ok(Version(version))
    }
}

/// The error for a file that another program uses.
pub(super) fn in_use(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, message)
}

fn verify_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let kind = if metadata.is_dir() { "a folder" } else { "a device, pipe or socket" };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{kind} is no disk image file")))
}

/// A `flock` (Windows: `LockFileEx`) can only be probed by taking it. It is released at once, so
/// that it is not in the way of a virtual machine that starts while the file is read.
fn verify_no_flock(file: &File) -> io::Result<()> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock(),
        Err(TryLockError::WouldBlock) => Err(in_use(
            "another program holds an exclusive lock on the whole file (flock); try again when it is closed, or read \
             it from a snapshot"
                .into(),
        )),
        // A file system without locks (some network mounts) answers with an error: read on.
        Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// Sees to it that any write from now on gives the file another time. Where the last one is so
/// recent that the next could get the same, it waits before anything is read: a pause at the
/// end would come too late for a write that followed the opening at once. It looks once more
/// after the pause, and no more often: a file that has changed by then is being written to.
fn verify_settled(file: &File) -> io::Result<()> {
    let before = file.metadata()?;
    let Some(written) = os::last_write(&before) else { return Ok(()) };
    // A time in the future, from another machine's clock, counts as now.
    let age = SystemTime::now().duration_since(written).unwrap_or_default();
    let Some(rest) = COARSE_TIME.checked_sub(age) else { return Ok(()) };
    thread::sleep(rest + Duration::from_millis(1));
    if os::state(&file.metadata()?) == os::state(&before) {
        return Ok(());
    }
    Err(in_use(format!(
        "it changed within {} ms of being opened, so another program is writing to it; read it from a snapshot, or \
         when it is closed",
        COARSE_TIME.as_millis()
    )))
}
