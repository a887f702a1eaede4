//! VHD Sets: the `.vhds` file, its snapshots, and which chain and which limit a question about
//! them means.

mod catalogue;
mod file;
mod inspect;
mod layout;
mod probe;
mod resolve;
mod verify;

pub use catalogue::{Snapshot, SnapshotCatalogue};
pub use file::VhdSet;
pub use inspect::inspect;
pub use layout::FACTS;
pub(crate) use probe::probe;
pub(crate) use resolve::{SetLimit, SetReader, Snapshots};
