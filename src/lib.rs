//! **Which byte ranges of this virtual disk changed since X?**
//!
//! A running Hyper-V host answers that with `Msvm_ImageManagementService.GetVirtualDiskChanges`.
//! This crate answers it from the files alone, on any operating system: `.vhdx` and `.avhdx`
//! disks, the `.rct` tracking tables beside them, and `.vhds` sets.
//!
//! ```
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/");
//! # if !std::path::Path::new(folder).exists() { return Ok(()); } // not in the packaged crate
//! # std::env::set_current_dir(folder)?;
//! // What was written to the child after the tracking id was sealed?
//! let id = "rctX:e6fd24a8:8ef8:4a21:9394:f28867b17470:00000001";
//! let changes = vhdx_rct::get_virtual_disk_changes("child.avhdx", id, None, 0, 4 << 20)?;
//!
//! for range in &changes.ranges {
//!     println!("{} bytes at {}", range.length, range.offset);
//! }
//! assert_eq!(changes.processed_byte_length, 4 << 20);
//! # assert_eq!(changes.changed_byte_offsets(), [1032192, 2097152]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Asking
//!
//! [`get_virtual_disk_changes`] takes and gives what the WMI method does. [`ChangeQuery`] is the
//! same engine with everything else that can be set: a limit on the number of ranges, a
//! deadline, a memory budget, folders in which to look for parents, files that are not files.
//! It has three forms:
//!
//! - [`run`](ChangeQuery::run) collects the answer;
//! - [`stream`](ChangeQuery::stream) gives it range by range, in constant memory whatever the
//!   disk's size;
//! - [`start`](ChangeQuery::start) works in the background and gives a [`Job`].
//!
//! # Since what
//!
//! | [`Limit`] | text | what changed since |
//! | --- | --- | --- |
//! | [`Rct`](Limit::Rct) | `rctX:…` | a change tracking id was sealed; whole units of 16 KB |
//! | [`Snapshot`](Limit::Snapshot) | a GUID | a snapshot of a VHD Set was taken |
//! | [`File`](Limit::File) | `file:PATH` | the child of this file of the chain was made; exact to the sector |
//! | [`Allocated`](Limit::Allocated) | `*` | ever: everything that does not certainly read as zeros |
//!
//! [`ChangeQuery::known_ids`] lists the tracking ids that a disk can answer for.
//!
//! # Backing up
//!
//! 1. Take [`ChangeQuery::newest_id`], the id to ask since the next time; none means that the
//!    next backup is a full one.
//! 2. Ask since the id that the last backup kept, or, where there is none or the refusal
//!    [needs a full backup](Error::needs_full_backup), since [`Limit::Allocated`].
//! 3. Read the ranges through [`ChangeQuery::disk`], then make sure with
//!    [`VirtualDisk::must_be_unchanged`] that nobody wrote in the meantime.
//! 4. Only then keep the new id.
//!
//! An answer since an id may name more bytes than a full one: also those that now read as zeros.
//! After a checkpoint was applied, what the discarded file had is in no answer: make a full
//! backup then, as the command line's `sync` does where it must.
//!
//! # What is promised
//!
//! - Never less: a range that may have changed is reported, or the question is refused with an
//!   [`Error`]. Every answer is sorted, coalesced, non-empty and inside the region.
//! - No image is ever written to. A log that holds updates is replayed in memory.
//! - Every answer says [which disk it is about](DiskIdentity); an [`Error`] has the method's
//!   [`ReturnValue`] and Windows' own code, and cannot be mistaken for an empty answer.
//! - A file that changes during a query gives [`ErrorKind::Changed`]; of a stream, behind the last
//!   range, which none of them then can be trusted.
//! - Whatever the bytes: no panic, no endless loop, no memory without bound.
//!
//! # Reading what changed
//!
//! [`VirtualDisk`] reads the disk's content through its chain; [`ChangeQuery::extents`] tells
//! data from zeros within what changed.
//!
//! # Formats
//!
//! VHDX is read as [MS-VHDX] specifies it. Microsoft describes neither `.rct` nor `.vhds`:
//! [`rct::FACTS`] and [`vhd_set::FACTS`] list what is known of them and how surely,
//! [`rct::inspect`] and [`vhd_set::inspect`] show what a file really holds, and [`field`] holds
//! the facts against samples of real hosts.
//!
//! # Features
//!
//! - `serde`: `Serialize` and `Deserialize` on the types of an answer.
//!
//! The command-line tool is the package `vhdx-rct-cli`, the C interface `vhdx-rct-capi`.
//!
//! [MS-VHDX]: https://learn.microsoft.com/openspecs/windows_protocols/ms-vhdx
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod bytes;
mod chain;
mod changes;
mod error;
mod extent;
mod fact;
pub mod field;
mod inspect;
mod mask;
mod query;
mod range;
pub mod rct;
pub mod source;
pub mod vhd_set;
pub mod vhdx;
mod warning;

pub use chain::{Chain, Content, DiskExtent, DiskReader, Extents, MAX_CHAIN_FILES, VirtualDisk};
pub use changes::{
    ChangeQuery, ChangedExtents, Changes, DiskIdentity, Job, JobControl, JobState, Limit,
    VirtualDiskChanges, get_virtual_disk_changes,
};
pub use error::{Error, ErrorKind, ReturnValue};
pub use inspect::{Field, Inspection};
pub use query::TableEvidence;
pub use range::ByteRange;
pub use rct::{KnownIds, RctId};
/// The GUIDs of this crate's types.
pub use uuid::Uuid;
pub use vhd_set::{Snapshot, SnapshotCatalogue};
pub use warning::Warning;

/// The README's code is tested as it stands.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
