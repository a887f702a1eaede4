//! Questions about what changed, and their answers.

mod answer;
mod extents;
mod job;
mod next_baselines;
mod query;
mod ranges;

pub use answer::VirtualDiskChanges;
pub use extents::ChangedExtents;
pub use job::{Job, JobHandle, JobState};
pub use query::ChangeQuery;
pub use ranges::Changes;

use crate::baseline::Baseline;
use crate::disk::OpenOptions;
use crate::error::{Error, ErrorKind, Result};
use std::path::Path;

/// Returns the changed ranges of a virtual disk, like
/// `Msvm_ImageManagementService.GetVirtualDiskChanges` and with the same parameters.
///
/// Opens the disk for one question. To ask several, or to read the data, open a
/// [`Disk`](crate::Disk).
///
/// - `path`: the virtual hard disk file;
/// - `limit_id`: the baseline, in the text form of [`Baseline`];
/// - `target_snapshot_id`: the VHD Set snapshot to compare with the baseline; only for VHD Sets;
/// - `byte_offset`, `byte_length`: the requested region of the virtual disk, in bytes.
///   `byte_offset + byte_length` may be as large as the disk, and a length of 0 is valid.
///
/// ```
/// # if !std::path::Path::new("testdata").exists() { return Ok(()); } // not in the packaged crate
/// let id = "rctX:e6fd24a8:8ef8:4a21:9394:f28867b17470:00000001";
/// let disk = "testdata/child.avhdx";
/// let changes = vhdx_rct::get_virtual_disk_changes(disk, id, None, 0, 4 << 20)?;
/// assert_eq!(changes.processed_byte_length, 4 << 20);
/// assert_eq!(changes.changed_byte_offsets(), [1032192, 2097152]);
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
///
/// # Errors
/// Any [`ErrorKind`]; the table of [`ReturnValue`](crate::ReturnValue) lists the situations.
pub fn get_virtual_disk_changes(
    path: impl AsRef<Path>,
    limit_id: &str,
    target_snapshot_id: Option<&str>,
    byte_offset: u64,
    byte_length: u64,
) -> Result<VirtualDiskChanges> {
    let since: Baseline = limit_id.parse()?;
    let mut options = OpenOptions::new();
    if let Some(id) = target_snapshot_id {
        options.target(id.parse()?);
    }
    let end = byte_offset.checked_add(byte_length).ok_or_else(|| {
        let message = format!(
            "a region of {byte_length} bytes at offset {byte_offset} is longer than any disk"
        );
        Error::new(ErrorKind::InvalidParameter, message)
    })?;
    options.open(path)?.changes(since).region(byte_offset..end).collect()
}
