//! Operating system differences for open files, on Windows.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::time::SystemTime;

/// `FILE_SHARE_READ`: while the file is open, nothing else may write, rename or delete it.
const SHARE_READ: u32 = 1;

/// Makes opening fail if another program has the file open for writing, and prevents later writers.
pub(super) fn prepare(options: &mut OpenOptions) {
    options.share_mode(SHARE_READ);
}

/// Returns true: a path keeps leading to a file that was opened without sharing deletion.
pub(super) fn is_same_file(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// Returns the metadata of which a write changes at least one value.
pub(super) fn state(metadata: &Metadata) -> Vec<u8> {
    [metadata.file_size(), metadata.last_write_time(), metadata.creation_time()]
        .map(u64::to_le_bytes)
        .concat()
}

/// Returns None: nothing can write to an open file, however recent the last write is.
pub(super) fn last_write(_: &Metadata) -> Option<SystemTime> {
    None
}

/// Succeeds always: the share mode has already detected any writer.
pub(super) fn verify_no_write_lock(_: &File) -> io::Result<()> {
    Ok(())
}
