//! Opens a regular file of this machine if no other program is writing to it.

use super::os;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

/// The maximum time between two writes to which a kernel may assign the same time: before Linux
/// 6.13 a file's times come from a clock that is advanced 100 to 1000 times per second.
const COARSE_TIME: Duration = Duration::from_millis(10);

/// Opens regular files only. The type is checked before opening, since opening a device or a pipe
/// can already do harm, and again after, since the file may have been replaced in between.
pub(super) fn open(path: &Path) -> io::Result<File> {
    verify_regular(&path.metadata()?)?;
    let mut options = OpenOptions::new();
    options.read(true);
    os::prepare(&mut options);
    let file = options.open(path)?;
    verify_regular(&file.metadata()?)?;
    verify_no_flock(&file)?;
    os::verify_no_write_lock(&file)?;
    verify_settled(&file)?;
    Ok(file)
}

/// Creates the error for a file that another program uses.
pub(super) fn in_use(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, message)
}

fn verify_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let kind = if metadata.is_dir() { "a directory" } else { "a device, pipe or socket" };
    let message = format!("expected a regular file, found {kind}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// Checks for a `flock` (Windows: `LockFileEx`), which can only be probed by taking it. It is
/// released at once, so that it does not block a virtual machine that starts while the file is
/// read.
fn verify_no_flock(file: &File) -> io::Result<()> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock(),
        Err(TryLockError::WouldBlock) => Err(in_use(
            "another program holds an exclusive lock on the whole file (flock); try again when it is closed, or read \
             it from a snapshot"
                .into(),
        )),
        // A file system without locks (some network mounts) returns an error: continue.
        Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// Ensures that any later write changes the file's time. If the last write is so recent that the
/// next one could get the same time, it waits before anything is read; a pause at the end of a
/// question would miss a write right after the opening. It then checks exactly once more: a file
/// that has changed by then is being written to.
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
