//! The C interface: `GetVirtualDiskChanges` for backup tools that are not written in Rust, in the
//! style of Windows' `QueryChangesVirtualDisk`, with buffers that the caller owns.
//!
//! The header is `include/vhdx_rct.h`; `examples/changes.c` is a program that uses it. To build
//! the static and the shared library, and to link a program with the former:
//!
//! ```text
//! cargo build --release -p vhdx-rct-capi
//! cc -Icrates/capi/include program.c target/release/libvhdx_rct_capi.a -lpthread -ldl -lm
//! ```
//!
//! The last line is for Linux; `cargo rustc --release -p vhdx-rct-capi -- --print
//! native-static-libs` prints the libraries that other systems need. The interface returns
//! ranges; it does not read a disk's content.
//!
//! `examples/c.sh` builds and runs the program. Text is NUL-terminated. Paths are bytes as the
//! operating system has them; on Windows they are UTF-8, as ids are everywhere. No function keeps a
//! pointer, allocates memory that the caller would have to free, or lets a panic through.
#![warn(missing_docs)]

use std::cell::RefCell;
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use vhdx_rct::{Baseline, ByteRange, Changes, Error, ErrorKind, OpenOptions, ReturnValue};

/// Accepts files that were not closed cleanly; an answer may then lack what was written last.
pub const VHDX_RCT_ALLOW_UNCLEAN: u32 = 1;

/// The size in bytes of an RCT id as text, including the NUL.
pub const VHDX_RCT_ID_SIZE: usize = 51;

/// A changed range of the virtual disk, in bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first byte.
    pub byte_offset: u64,
    /// The length; never 0.
    pub byte_length: u64,
}

/// The disk that an answer is about.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// The virtual disk's id: a GUID, its bytes in the order of its text.
    pub virtual_disk_id: [u8; 16],
    /// The virtual disk's size in bytes.
    pub virtual_size: u64,
    /// The logical sector size in bytes: 512 or 4096.
    pub logical_sector_size: u32,
    /// The smallest change that the answer can show, in bytes.
    pub granularity: u32,
}

/// Why a call failed: an error of the library, or one of this interface.
struct Failure {
    return_value: ReturnValue,
    text: String,
    /// Windows' own code, or 0.
    win32_code: u32,
    needs_full_backup: bool,
}

impl Failure {
    const NONE: Failure = Failure {
        return_value: ReturnValue::Completed,
        text: String::new(),
        win32_code: 0,
        needs_full_backup: false,
    };

    fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        let return_value = kind.return_value();
        Failure { return_value, text: text.into(), ..Failure::NONE }
    }

    fn invalid(text: String) -> Self {
        Failure::new(ErrorKind::InvalidParameter, text)
    }

    fn null(name: &str) -> Self {
        Failure::invalid(format!("expected {name} to be a pointer, found NULL"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure {
            return_value: error.return_value(),
            text: error.to_string(),
            win32_code: error.win32_code().unwrap_or_default(),
            needs_full_backup: error.needs_full_backup(),
        }
    }
}

thread_local! {
    /// The last failure of this thread.
    static LAST: RefCell<Failure> = const { RefCell::new(Failure::NONE) };
}

/// Lists the byte ranges of a virtual disk that changed since a baseline.
///
/// - `path`: a `.vhdx`, `.avhdx` or `.vhds` file.
/// - `limit_id`: the baseline: `rctX:...`, a snapshot's GUID, `file:PATH`, `dwg:GUID`, `parent`
///   or `*`.
/// - `target_snapshot_id`: a snapshot of a VHD Set, or NULL for the active state.
/// - `byte_offset`, `byte_length`: the region, which lies inside the disk. A length of 0 is
///   valid and fills in only `disk`.
/// - `flags`: 0 or `VHDX_RCT_ALLOW_UNCLEAN`.
/// - `ranges`, `range_count`: a buffer, and its capacity in ranges: at least 1, even for a region
///   of length 0. On return, `range_count` is the number of ranges written. They are sorted, do
///   not touch each other, and lie inside the region.
/// - `processed_byte_length`: the length of the processed part of the region, in bytes from its
///   start. Less than `byte_length` only if the buffer is full: ask again from `byte_offset +
///   processed_byte_length` on, and nothing is lost or repeated.
/// - `disk`: the disk that the answer is about; may be NULL.
///
/// Returns 0, or the return value of the method for the failure. After a failure `range_count`
/// and `processed_byte_length` are 0, the content of `ranges` is meaningless, and
/// `vhdx_rct_last_error` returns the text.
///
/// # Safety
/// Each pointer is valid for its purpose, or NULL. NULL is an invalid parameter except where it is
/// allowed above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vhdx_rct_get_virtual_disk_changes(
    path: *const c_char,
    limit_id: *const c_char,
    target_snapshot_id: *const c_char,
    byte_offset: u64,
    byte_length: u64,
    flags: u32,
    ranges: *mut Range,
    range_count: *mut usize,
    processed_byte_length: *mut u64,
    disk: *mut Disk,
) -> ReturnValue {
    // SAFETY: the caller guarantees that these are NULL or may be written to.
    let (count, processed) = unsafe { (range_count.as_mut(), processed_byte_length.as_mut()) };
    let (Some(count), Some(processed)) = (count, processed) else {
        return guarded(|| Err(Failure::null("range_count and processed_byte_length")));
    };
    let capacity = std::mem::take(count);
    *processed = 0;
    guarded(|| {
        // SAFETY: the caller guarantees that texts are NULL or end in NUL.
        let (path, limit, target) =
            unsafe { (text(path), text(limit_id), text(target_snapshot_id)) };
        let (path, mut options) = opening(path, flags)?;
        let since = baseline(limit)?;
        if let Some(target) = target {
            options.target(utf8(target)?.parse()?);
        }
        if ranges.is_null() {
            return Err(Failure::null("ranges"));
        }
        let region = byte_offset..byte_offset.saturating_add(byte_length);
        let question = options.open(path)?.changes(since).region(region);
        let mut changes = question.max_ranges(capacity).ranges()?;
        let mut written = 0;
        for range in changes.by_ref() {
            let ByteRange { offset, length } = range?;
            let range = Range { byte_offset: offset, byte_length: length };
            // SAFETY: there are at most `capacity` ranges, which the caller's buffer holds; it need
            // not be initialized.
            unsafe { ranges.add(written).write(range) };
            written += 1;
        }
        (*count, *processed) = (written, changes.processed_byte_length());
        // SAFETY: the caller guarantees that it is NULL or may be written to.
        if let Some(disk) = unsafe { disk.as_mut() } {
            *disk = Disk::of(&changes);
        }
        Ok(())
    })
}

/// Writes the newest RCT id of a disk, to be kept for the next question, as text to `id`. The
/// text is empty if the disk is not tracked, if its tracking table cannot be used, or if the
/// table may lag behind what was written and `flags` (0 or `VHDX_RCT_ALLOW_UNCLEAN`) do not
/// accept that.
///
/// Returns 0 or a return value, as `vhdx_rct_get_virtual_disk_changes` does.
///
/// # Safety
/// `path` is text or NULL; `id` is a buffer of `VHDX_RCT_ID_SIZE` bytes or NULL. NULL is an invalid
/// parameter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vhdx_rct_newest_id(
    path: *const c_char,
    flags: u32,
    id: *mut c_char,
) -> ReturnValue {
    guarded(|| {
        if id.is_null() {
            return Err(Failure::null("id"));
        }
        // SAFETY: the caller guarantees that `id` has this size.
        unsafe { put("", id, VHDX_RCT_ID_SIZE) };
        // SAFETY: the caller guarantees that it is NULL or ends in NUL.
        let (path, options) = opening(unsafe { text(path) }, flags)?;
        let newest = options.open(path)?.newest_id();
        let newest = newest.map(|newest| newest.to_string()).unwrap_or_default();
        // SAFETY: as above.
        unsafe { put(&newest, id, VHDX_RCT_ID_SIZE) };
        Ok(())
    })
}

/// Writes the text of the calling thread's last failure: what was expected, what was found, and
/// what to do next. Writes as much as fits into `size` bytes, followed by a NUL, and returns the
/// length of the whole text in bytes, without the NUL. `buffer` may be NULL if `size` is 0.
///
/// # Safety
/// `buffer` is a buffer of at least `size` bytes, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vhdx_rct_last_error(buffer: *mut c_char, size: usize) -> usize {
    LAST.with_borrow(|Failure { text, .. }| {
        if !buffer.is_null() {
            // SAFETY: the caller guarantees that `buffer` has this size.
            unsafe { put(text, buffer, size) };
        }
        text.len()
    })
}

/// Returns the code that Windows' own API has for the calling thread's last failure
/// (`0xC03A....`); 0 if there is none.
#[unsafe(no_mangle)]
pub extern "C" fn vhdx_rct_last_win32_code() -> u32 {
    LAST.with_borrow(|last| last.win32_code)
}

/// Returns 1 if the calling thread's last failure concerns only change tracking, else 0. If 1, the
/// files have no answer since that baseline, but a full backup (since `*`) is possible.
#[unsafe(no_mangle)]
pub extern "C" fn vhdx_rct_needs_full_backup() -> u32 {
    LAST.with_borrow(|last| last.needs_full_backup.into())
}

/// Runs the work, and keeps its failure for the calling thread.
fn guarded(work: impl FnOnce() -> Result<(), Failure>) -> ReturnValue {
    // After a panic the content of the caller's buffers is unspecified, as after any failure.
    let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let text = "the query panicked, so nothing is known; please report it";
        Err(Failure::new(ErrorKind::WorkerLost, text))
    });
    let Err(failure) = result else { return ReturnValue::Completed };
    let return_value = failure.return_value;
    LAST.replace(failure);
    return_value
}

/// Returns the disk's path, and the options to open it with.
fn opening(path: Option<&[u8]>, flags: u32) -> Result<(PathBuf, OpenOptions), Failure> {
    let path = native(path.ok_or_else(|| Failure::null("path"))?)?;
    if flags & !VHDX_RCT_ALLOW_UNCLEAN != 0 {
        return Err(Failure::invalid(format!("expected flags to be 0 or 1, found {flags:#x}")));
    }
    let mut options = OpenOptions::new();
    options.allow_unclean(flags & VHDX_RCT_ALLOW_UNCLEAN != 0);
    Ok((path, options))
}

fn baseline(text: Option<&[u8]>) -> Result<Baseline, Failure> {
    let text = text.ok_or_else(|| Failure::null("limit_id"))?;
    match text.strip_prefix(b"file:") {
        Some(path) => native(path).map(Baseline::File),
        None => Ok(utf8(text)?.parse()?),
    }
}

/// Returns a path as the operating system has it.
#[cfg(unix)]
fn native(path: &[u8]) -> Result<PathBuf, Failure> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::OsStr::from_bytes(path).into())
}

#[cfg(not(unix))]
fn native(path: &[u8]) -> Result<PathBuf, Failure> {
    utf8(path).map(PathBuf::from)
}

fn utf8(text: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(text).map_err(|_| {
        Failure::invalid(format!("expected text in UTF-8, found \"{}\"", text.escape_ascii()))
    })
}

/// # Safety
/// The pointer is NULL, or points to text that ends in NUL and outlives the call.
unsafe fn text<'a>(pointer: *const c_char) -> Option<&'a [u8]> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: it is not NULL, and the caller guarantees the rest.
    Some(unsafe { CStr::from_ptr(pointer) }.to_bytes())
}

/// Writes as much of the text as fits into `size` bytes, followed by a NUL.
///
/// # Safety
/// The buffer has `size` bytes.
unsafe fn put(text: &str, buffer: *mut c_char, size: usize) {
    let Some(most) = size.checked_sub(1) else { return };
    let is_boundary = |end: &usize| text.is_char_boundary(*end);
    let length = (0..=most.min(text.len())).rev().find(is_boundary).unwrap_or_default();
    let buffer = buffer.cast::<u8>();
    // SAFETY: `length` is less than `size`, which the caller guarantees, and at most the text's.
    unsafe {
        buffer.copy_from_nonoverlapping(text.as_ptr(), length);
        buffer.add(length).write(0);
    }
}

impl Disk {
    fn of(changes: &Changes) -> Self {
        let identity = changes.disk().identity();
        Disk {
            virtual_disk_id: identity.virtual_disk_id.into_bytes(),
            virtual_size: identity.virtual_size,
            logical_sector_size: identity.logical_sector_size,
            granularity: changes.granularity(),
        }
    }
}
