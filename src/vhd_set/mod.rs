//! VHD Sets: disks that several virtual machines share, as a `.vhds` file that names the active
//! disk file, and the snapshots of such a set.
//!
//! To query a set, open the `.vhds` file as a [`Disk`](crate::Disk). This crate cannot read the
//! snapshots from the `.vhds` file, whose format Microsoft does not document. They come from a
//! [`SnapshotCatalog`], which PowerShell writes. [`FACTS`] lists what is known of the format; names
//! in parentheses, such as (active-name), refer to it.

mod catalog;
mod error;
mod file;
mod inspect;
mod layout;
pub mod raw;
mod resolve;
mod verify;

pub use catalog::{Snapshot, SnapshotCatalog};
pub use file::VhdSet;
pub use inspect::inspect;
pub use layout::FACTS;
pub(crate) use resolve::{OpenSet, SnapshotResolver};
