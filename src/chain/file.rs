//! One file of an opened disk.

use crate::error::Error;
use crate::rct::{RctId, TrackingTable};
use crate::source::Source;
use crate::vhdx::{CopyState, Header, Metadata, Region, Vhdx};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// The state of the tracking table (`.rct`) beside a disk file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Tracking {
    /// There is no table: the file is not tracked.
    Off,
    /// The table can be used.
    #[non_exhaustive]
    Usable {
        /// The newest id that was created in the file.
        newest: RctId,
        /// The table.
        table: Arc<TrackingTable>,
    },
    /// There is a table, but it cannot be used, for this reason.
    Unusable(Error),
}

/// The values that identify the state of a file: the ids in its header, and its length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct FileIdentity {
    /// The id of the content: changes once per opening, before the first guest-visible change.
    pub data_write_guid: Uuid,
    /// The id of the file: changes with every opening for writing.
    pub file_write_guid: Uuid,
    /// The header's sequence number, which increases with every update of the header.
    pub sequence_number: u64,
    /// The file's length in bytes.
    pub length: u64,
}

/// One file of an opened disk: the leaf, or a parent; returned by
/// [`Disk::files`](crate::Disk::files).
#[derive(Clone)]
pub struct DiskFile {
    pub(crate) vhdx: Arc<Vhdx>,
    /// Its canonical name.
    pub(crate) name: PathBuf,
    identity: FileIdentity,
    tracking: Tracking,
}

impl_debug!(DiskFile, |file| path: file.path(), identity: file.identity, tracking: file.tracking);

impl DiskFile {
    pub(super) fn new(vhdx: Vhdx, name: PathBuf, tracking: Tracking) -> Self {
        let header = &vhdx.header;
        let identity = FileIdentity {
            data_write_guid: header.data_write_guid,
            file_write_guid: header.file_write_guid,
            sequence_number: header.sequence_number,
            length: vhdx.file.stored_length,
        };
        DiskFile { vhdx: Arc::new(vhdx), name, identity, tracking }
    }

    /// Returns the path that the file was opened with.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.vhdx.file.path
    }

    /// Returns the values that identify the file's state.
    #[must_use]
    pub fn identity(&self) -> &FileIdentity {
        &self.identity
    }

    /// Returns whether the program that wrote the file closed it. If not, the file's log is in
    /// use, and the tracking table beside it may be out of date.
    #[must_use]
    pub fn closed_cleanly(&self) -> bool {
        self.vhdx.closed_cleanly()
    }

    /// Returns the state of the tracking table beside the file.
    #[must_use]
    pub fn tracking(&self) -> &Tracking {
        &self.tracking
    }

    /// Returns the tracking table beside the file, if it can be used.
    #[must_use]
    pub fn table(&self) -> Option<&Arc<TrackingTable>> {
        match &self.tracking {
            Tracking::Usable { table, .. } => Some(table),
            _ => None,
        }
    }

    /// Returns the file's bytes as they are stored, without the updates of its log.
    #[must_use]
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.vhdx.file.source
    }

    /// Returns the current header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.vhdx.header
    }

    /// Returns the virtual disk's metadata as this file has it.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.vhdx.metadata
    }

    /// Returns the name of the program that wrote the file; diagnostic only.
    #[must_use]
    pub fn creator(&self) -> &str {
        &self.vhdx.creator
    }

    /// Returns the state of both header copies.
    #[must_use]
    pub fn header_copies(&self) -> [CopyState; 2] {
        self.vhdx.header_copies
    }

    /// Returns the places of the log (with a nil id) and of the regions, in order of their offsets.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.vhdx.regions.all
    }

    /// Returns the number of log entries that were replayed in memory; None if the log was empty.
    #[must_use]
    pub fn replayed_log_entries(&self) -> Option<usize> {
        self.vhdx.replayed
    }
}
