//! The method's face: request, answer, return values.

mod answer;
mod content;
mod job;
mod limit;
mod request;
mod stream;
mod tracking;

pub use answer::{DiskIdentity, VirtualDiskChanges};
pub use content::ChangedExtents;
pub use job::{Job, JobControl, JobState};
pub use limit::Limit;
pub use request::ChangeQuery;
pub use stream::Changes;

use crate::error::{Error, ErrorKind};
use std::path::Path;

/// `Msvm_ImageManagementService.GetVirtualDiskChanges`, parameter for parameter.
///
/// - `path`: the virtual hard disk file;
/// - `limit_id`: the baseline, as [`Limit`]'s text;
/// - `target_snapshot_id`: the VHD Set snapshot to compare with the baseline; only for VHD Sets;
/// - `byte_offset`, `byte_length`: the region of the virtual disk asked about, in bytes.
///   `byte_offset + byte_length` may be as large as the disk, a length of 0 is valid.
///
/// # Errors
/// Every situation of [`ReturnValue`](crate::ReturnValue) but the first two.
pub fn get_virtual_disk_changes(
    path: impl AsRef<Path>,
    limit_id: &str,
    target_snapshot_id: Option<&str>,
    byte_offset: u64,
    byte_length: u64,
) -> std::result::Result<VirtualDiskChanges, Error> {
    let end = byte_offset.checked_add(byte_length).ok_or_else(|| {
        let message = format!(
            "a region of {byte_length} bytes at offset {byte_offset} is longer than any disk"
        );
        Error::new(ErrorKind::InvalidParameter, message)
    })?;
    let mut query = ChangeQuery::new(path).since(limit_id.parse()?).region(byte_offset..end);
    if let Some(id) = target_snapshot_id {
        query = query.target_id(id)?;
    }
    query.run()
}
