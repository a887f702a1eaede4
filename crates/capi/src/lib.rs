//! The C interface: the method for backup tools that are not written in Rust, in the style of
//! Windows' `QueryChangesVirtualDisk`, with buffers that the caller owns.
//!
//! The header is `include/vhdx_rct.h`, `examples/changes.c` a program. A static and a shared
//! library to link with, and a program that does:
//!
//! ```text
//! cargo build --release -p vhdx-rct-capi
//! cc -Icrates/capi/include program.c target/release/libvhdx_rct_capi.a -lpthread -ldl -lm
//! ```
//!
//! The last line is for Linux; `cargo rustc --release -p vhdx-rct-capi -- --print
//! native-static-libs` prints what a program has to be linked with elsewhere. C is told ranges;
//! it has no reader of a disk's content.
//!
//! `examples/c.sh` builds and runs the program. Text is NUL-terminated. Paths are bytes as the
//! operating system has them; on Windows, and everywhere for ids, UTF-8. No function keeps a
//! pointer, allocates what the caller would have to free, or lets a panic through.
#![warn(missing_docs)]

use std::cell::RefCell;
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::slice;
use vhdx_rct::{ByteRange, ChangeQuery, DiskIdentity, Error, ErrorKind, Limit, ReturnValue};

/// Trust the tracking table of a disk that was not closed cleanly, which may miss what was
/// written last.
pub const VHDX_RCT_ALLOW_UNCLEAN: u32 = 1;

/// How many bytes an RCT id has as text, with the NUL.
pub const VHDX_RCT_ID_SIZE: usize = 51;

/// A changed range of the virtual disk, in bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first byte.
    pub byte_offset: u64,
    /// How many bytes; never 0.
    pub byte_length: u64,
}

/// Which disk an answer is about.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// The virtual disk's id: a GUID, its bytes in the order in which its text has them.
    pub virtual_disk_id: [u8; 16],
    /// The disk's size in bytes.
    pub virtual_size: u64,
    /// 512 or 4096 bytes.
    pub logical_sector_size: u32,
    /// The smallest change that the answer can tell, in bytes.
    pub granularity: u32,
}

struct Failure {
    text: String,
    /// Windows' own code, or 0.
    code: u32,
    needs_full_backup: bool,
}

thread_local! {
    /// The last failure of this thread.
    static LAST: RefCell<Failure> = const {
        RefCell::new(Failure { text: String::new(), code: 0, needs_full_backup: false })
    };
}

/// Which byte ranges of a virtual disk changed since `limit_id`?
///
/// - `path`: a `.vhdx`, `.avhdx` or `.vhds` file;
/// - `limit_id`: `rctX:...`, a snapshot's GUID, `file:PATH` or `*`;
/// - `target_snapshot_id`: a snapshot of a VHD Set, or NULL for the present state;
/// - `byte_offset`, `byte_length`: the region, inside the disk; a length of 0 is valid and only
///   tells which disk it is;
/// - `flags`: 0 or `VHDX_RCT_ALLOW_UNCLEAN`;
/// - `ranges`, `range_count`: a buffer, and how many ranges it has room for, at least 1 even
///   for a region of no bytes; on return, how many were written: sorted, not touching, inside the region;
/// - `processed_byte_length`: how much of the region was dealt with. Less than `byte_length`
///   only where the buffer was full: ask again at `byte_offset + processed_byte_length`, and
///   nothing is lost or told twice;
/// - `disk`: which disk it is; may be NULL.
///
/// Gives 0, or the method's return value for the failure; then `range_count` and
/// `processed_byte_length` are 0 and `vhdx_rct_last_error` has the text. What is in `ranges`
/// then means nothing.
///
/// # Safety
/// Each pointer is valid for what it stands for, or NULL, which is an invalid parameter where
/// it is not allowed.
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
    // SAFETY: the caller says that these are NULL or may be written to.
    let (count, processed) = unsafe { (range_count.as_mut(), processed_byte_length.as_mut()) };
    let (Some(count), Some(processed)) = (count, processed) else {
        return guarded(|| Err(null("range_count or processed_byte_length")));
    };
    let room = std::mem::take(count);
    *processed = 0;
    guarded(|| {
        // SAFETY: the caller says that texts are NULL or end in NUL.
        let (path, limit, target) =
            unsafe { (text(path), text(limit_id), text(target_snapshot_id)) };
        let end = byte_offset.saturating_add(byte_length);
        let query = query(path, flags)?.since(parse_limit(limit)?).region(byte_offset..end);
        let query = match target {
            Some(target) => query.target_id(utf8(target)?)?,
            None => query,
        };
        if ranges.is_null() {
            return Err(null("ranges"));
        }
        let mut changes = query.max_ranges(room).stream()?;
        let mut told = 0;
        for range in changes.by_ref() {
            let ByteRange { offset, length } = range?;
            // SAFETY: there are at most `room` ranges, for which the caller has a buffer; it
            // need not have been written to before.
            unsafe { ranges.add(told).write(Range { byte_offset: offset, byte_length: length }) };
            told += 1;
        }
        (*count, *processed) = (told, changes.processed_byte_length());
        // SAFETY: the caller says that it is NULL or may be written to.
        if let Some(disk) = unsafe { disk.as_mut() } {
            *disk = changes.disk().into();
        }
        Ok(())
    })
}

/// The newest RCT id of a disk, to be kept for the next question, as text in `id`; an empty
/// text where the disk is not tracked, or its table may lag behind what was written and
/// `flags` (0 or `VHDX_RCT_ALLOW_UNCLEAN`) do not accept that.
///
/// Gives 0 or a return value, as `vhdx_rct_get_virtual_disk_changes` does.
///
/// # Safety
/// `path` is text or NULL, `id` has room for `VHDX_RCT_ID_SIZE` bytes or is NULL, which is an
/// invalid parameter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vhdx_rct_newest_id(
    path: *const c_char,
    flags: u32,
    id: *mut c_char,
) -> ReturnValue {
    guarded(|| {
        if id.is_null() {
            return Err(null("id"));
        }
        // SAFETY: the caller says that there is so much room.
        unsafe { put("", id, VHDX_RCT_ID_SIZE) };
        // SAFETY: the caller says that it is NULL or ends in NUL.
        let newest = query(unsafe { text(path) }, flags)?.newest_id()?;
        let newest = newest.map(|newest| newest.to_string()).unwrap_or_default();
        // SAFETY: as above.
        unsafe { put(&newest, id, VHDX_RCT_ID_SIZE) };
        Ok(())
    })
}

/// The text of the calling thread's last failure, which says what was found where, and what to
/// do next. Writes as much as `size` bytes hold, with a NUL behind it, and gives how many bytes
/// the whole text has, without the NUL. `buffer` may be NULL if `size` is 0.
///
/// # Safety
/// `buffer` has room for `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vhdx_rct_last_error(buffer: *mut c_char, size: usize) -> usize {
    LAST.with_borrow(|Failure { text, .. }| {
        if !buffer.is_null() {
            // SAFETY: the caller says so.
            unsafe { put(text, buffer, size) };
        }
        text.len()
    })
}

/// The code that Windows' own API has for the calling thread's last failure (`0xC03A....`); 0
/// where there is none.
#[unsafe(no_mangle)]
pub extern "C" fn vhdx_rct_last_win32_code() -> u32 {
    LAST.with_borrow(|last| last.code)
}

/// Does the calling thread's last failure concern change tracking alone? Then it gives 1, these
/// files have no answer since that id, and a full backup (since `*`) is to be made; else 0.
#[unsafe(no_mangle)]
pub extern "C" fn vhdx_rct_needs_full_backup() -> u32 {
    LAST.with_borrow(|last| last.needs_full_backup.into())
}

/// Runs the work and keeps what went wrong.
fn guarded(work: impl FnOnce() -> Result<(), Error>) -> ReturnValue {
    // What a panic leaves behind is the caller's buffers, whose content then means nothing.
    let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let message = "the query panicked, so nothing is known; please report it";
        Err(Error::new(ErrorKind::WorkerVanished, message))
    });
    match result {
        Ok(()) => ReturnValue::Completed,
        Err(error) => {
            LAST.replace(Failure {
                text: error.to_string(),
                code: error.win32_code().unwrap_or_default(),
                needs_full_backup: error.needs_full_backup(),
            });
            error.return_value()
        }
    }
}

fn query(path: Option<&[u8]>, flags: u32) -> Result<ChangeQuery, Error> {
    let path = native(path.ok_or_else(|| null("path"))?)?;
    if flags & !VHDX_RCT_ALLOW_UNCLEAN != 0 {
        return Err(invalid(format!("flags should be 0 or 1 and are {flags:#x}")));
    }
    Ok(ChangeQuery::new(path).allow_unclean(flags & VHDX_RCT_ALLOW_UNCLEAN != 0))
}

fn parse_limit(text: Option<&[u8]>) -> Result<Limit, Error> {
    let text = text.ok_or_else(|| null("limit_id"))?;
    match text.strip_prefix(b"file:") {
        Some(path) => native(path).map(Limit::File),
        None => utf8(text)?.parse(),
    }
}

/// A path as the operating system has it.
#[cfg(unix)]
fn native(path: &[u8]) -> Result<PathBuf, Error> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::OsStr::from_bytes(path).into())
}

#[cfg(not(unix))]
fn native(path: &[u8]) -> Result<PathBuf, Error> {
    utf8(path).map(PathBuf::from)
}

fn utf8(text: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(text)
        .map_err(|_| invalid(format!("text should be UTF-8 and is \"{}\"", text.escape_ascii())))
}

/// # Safety
/// The pointer is NULL or stands for text that ends in NUL and outlives the call.
unsafe fn text<'a>(pointer: *const c_char) -> Option<&'a [u8]> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not NULL, and the caller says the rest.
    Some(unsafe { CStr::from_ptr(pointer) }.to_bytes())
}

/// Writes as much of the text as `size` bytes hold, with a NUL behind it.
///
/// # Safety
/// The buffer has room for `size` bytes.
unsafe fn put(text: &str, buffer: *mut c_char, size: usize) {
    let Some(most) = size.checked_sub(1) else { return };
    let whole = |end: &usize| text.is_char_boundary(*end);
    let length = (0..=most.min(text.len())).rev().find(whole).unwrap_or_default();
    // SAFETY: the caller says so; zeros make it a buffer that was written to.
    let buffer = unsafe {
        buffer.cast::<u8>().write_bytes(0, length + 1);
        slice::from_raw_parts_mut(buffer.cast::<u8>(), length)
    };
    buffer.copy_from_slice(&text.as_bytes()[..length]);
}

fn null(name: &str) -> Error {
    invalid(format!("{name} should not be NULL"))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidParameter, message)
}

impl From<DiskIdentity> for Disk {
    fn from(disk: DiskIdentity) -> Self {
        Disk {
            virtual_disk_id: disk.virtual_disk_id.into_bytes(),
            virtual_size: disk.virtual_size,
            logical_sector_size: disk.logical_sector_size,
            granularity: disk.granularity,
        }
    }
}
