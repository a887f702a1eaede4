//! Which byte ranges of a Hyper-V virtual disk changed since X?
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod chain;
mod changes;
mod error;
mod extent;
mod inspect;
mod query;
mod range;
pub mod rct;
pub mod source;
pub mod vhd_set;
pub mod vhdx;

pub use chain::{Chain, Content, DiskExtent, MAX_CHAIN_FILES, VirtualDisk};
pub use changes::{
    ChangeQuery, ChangedExtents, Changes, DiskIdentity, Job, JobState, Limit, VirtualDiskChanges,
    get_virtual_disk_changes,
};
pub use error::{Error, ErrorKind, ReturnValue};
pub use inspect::{Field, Inspection};
pub use range::ByteRange;
pub use rct::{KnownIds, RctId};
pub use vhd_set::{Snapshot, SnapshotCatalogue};
