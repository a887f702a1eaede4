//! Operating system differences for open files, on Unix.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::time::{Duration, SystemTime};

/// Makes opening return at once instead of waiting for a pipe's writer.
pub(super) fn prepare(options: &mut OpenOptions) {
    options.custom_flags(libc::O_NONBLOCK);
}

pub(super) fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Returns the metadata of which a write changes at least one value.
pub(super) fn state(metadata: &Metadata) -> Vec<u8> {
    let identity = [metadata.dev(), metadata.ino(), metadata.size()];
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    [identity.map(u64::to_le_bytes).as_flattened(), times.map(i64::to_le_bytes).as_flattened()]
        .concat()
}

/// Returns the time of the last write: the later of mtime, which programs may set back, and ctime,
/// which some file systems do not keep.
pub(super) fn last_write(metadata: &Metadata) -> Option<SystemTime> {
    let times =
        [(metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec())];
    let (seconds, nanoseconds) = times.into_iter().max()?;
    let time = Duration::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?);
    SystemTime::UNIX_EPOCH.checked_add(time)
}

/// Fails if another program holds a lock that indicates writing. Takes no lock itself.
#[cfg(target_os = "linux")]
pub(super) fn verify_no_write_lock(file: &File) -> io::Result<()> {
    use super::regular::in_use;
    /// QEMU holds read locks on these bytes of an image that it may write to. They stand for the
    /// permissions to write and to resize; a QEMU process that only reads holds neither.
    const QEMU_WRITES: [libc::off_t; 2] = [101, 103];

    const NEXT_STEP: &str = "read it from a snapshot, or when it is closed";
    if is_locked_against(file, libc::F_RDLCK, 0, 0) {
        let message = format!("another program holds a write lock on bytes of it; {NEXT_STEP}");
        return Err(in_use(message));
    }
    for byte in QEMU_WRITES {
        if is_locked_against(file, libc::F_WRLCK, byte, 1) {
            return Err(in_use(format!(
                "another program holds a lock on byte {byte}, as QEMU does with an image that it has open for \
                 writing; {NEXT_STEP}"
            )));
        }
    }
    Ok(())
}

/// Succeeds always: on other systems, locks belong to processes, and a probe would miss those of
/// this process.
#[cfg(not(target_os = "linux"))]
pub(super) fn verify_no_write_lock(_: &File) -> io::Result<()> {
    Ok(())
}

/// Returns whether another open file description or process holds a lock that excludes one of this
/// kind. False if the file system has no locks.
#[allow(clippy::cast_possible_truncation, reason = "kinds of locks are 0 to 2")]
#[cfg(target_os = "linux")]
fn is_locked_against(file: &File, kind: libc::c_int, start: libc::off_t, len: libc::off_t) -> bool {
    // SAFETY: a `flock` consists of integers, for which zeros are valid.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    (lock.l_start, lock.l_len) = (start, len);
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(file);
    // SAFETY: the descriptor is open as long as `file` is borrowed; the kernel reads and writes
    // one `flock`, which outlives the call.
    let result = unsafe { libc::fcntl(descriptor, libc::F_OFD_GETLK, &raw mut lock) };
    result == 0 && lock.l_type != libc::F_UNLCK as libc::c_short
}
