//! The `.rct` file of Hyper-V's resilient change tracking (RCT), which holds a sequence number for
//! each 16 KiB unit of a disk: the units written since an id have greater numbers than the id.
//!
//! Most programs need only [`RctId`] and [`KnownIds`]; [`Disk`](crate::Disk) reads the tables. The
//! rest is for programs that show or check the format.
//!
//! Microsoft does not document it. This is what is known, and with what confidence: `published` was
//! read in a published analysis of the Windows driver, `derived` follows from numbers in such an
//! analysis or from the sizes of real files, `assumed` is chosen so that a wrong assumption causes
//! a refusal, not a wrong answer. [`FACTS`] has the same list as a value, and names in parentheses,
//! such as (header-units), refer to it.
//!
#![doc = include_str!("facts.md")]

mod changed_units;
mod checksum;
mod error;
mod header;
mod history;
mod id;
mod inspect;
mod known_ids;
mod layout;
pub mod raw;
mod table;
mod visited_pages;

pub use crate::facts::{Confidence, Fact};
pub(crate) use changed_units::ChangedUnits;
pub use checksum::Checksum;
pub use header::{Branch, TableHeader};
pub use id::RctId;
pub use inspect::inspect;
pub use known_ids::KnownIds;
pub use layout::FACTS;
pub(crate) use layout::UNIT_BYTES as UNIT;
pub use table::TrackingTable;
