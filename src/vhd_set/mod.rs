//! VHD Sets: the `.vhds` file, its snapshots, and the chain and baseline for a snapshot.

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
pub(crate) use resolve::{SnapshotResolver, Snapshots};
