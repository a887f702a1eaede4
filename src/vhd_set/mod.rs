//! VHD Sets: the `.vhds` file, its snapshots, and which chain and which limit a question about
//! them means.

mod catalogue;
mod file;
mod inspect;
mod layout;
mod resolve;

pub use catalogue::{Snapshot, SnapshotCatalogue};
pub use file::VhdSet;
pub use inspect::inspect;
pub(crate) use resolve::{SetLimit, SetReader, Snapshots};
