//! Reports the byte ranges of a Hyper-V virtual disk that changed since a point in time.
//!
//! A running Hyper-V host reports them with `Msvm_ImageManagementService.GetVirtualDiskChanges`,
//! "the method" in this documentation. This crate finds them in the files alone, on any operating
//! system: `.vhdx` and `.avhdx` disks, the `.rct` tracking tables beside them, and `.vhds` sets. It
//! never writes to an image. Start with [`Disk`]; the [terms](#terms) are explained below.
//!
//! ```
//! # if !std::path::Path::new("testdata").exists() { return Ok(()); } // not in the packaged crate
//! use vhdx_rct::{Baseline, Disk, RctId};
//!
//! let disk = Disk::open("testdata/child.avhdx")?;
//!
//! // The ranges written after a change tracking id was created.
//! let id: RctId = "rctX:e6fd24a8:8ef8:4a21:9394:f28867b17470:00000001".parse()?;
//! let changes = disk.changes(id).collect()?;
//! assert_eq!(changes.changed_byte_offsets(), [1032192, 2097152]);
//!
//! // The ranges in which this file may differ from its parent.
//! for range in disk.changes(Baseline::Parent).ranges()? {
//!     let range = range?;
//!     println!("{} bytes at {}", range.length, range.offset);
//! }
//! # Ok::<(), vhdx_rct::Error>(())
//! ```
//!
//! # Terms
//!
//! | term | meaning |
//! | --- | --- |
//! | chain | the files of a disk: the *leaf* that was opened, its parents in order, and last the *root*, which has no parent; a child lies *above* its parent |
//! | block, BAT | a file stores the disk in blocks of 1 to 256 MiB; its block allocation table has the place of each |
//! | log | the part of a file that holds updates of its metadata until they are in place; in use until the file is closed |
//! | frozen | no longer written to, because a checkpoint created a child that receives all writes |
//! | tracking table | the `.rct` file beside a disk file: a sequence number for each *unit* of 16 KiB of the disk |
//! | RCT id | a point in the history of a tracked disk: a *branch* of the history (a GUID) and a sequence number |
//! | DataWriteGuid | a GUID in a file's header that changes before the content does |
//! | VHD Set | a disk that several machines share: a `.vhds` file that names the active disk file, and snapshots |
//! | baseline | the earlier state that a question compares the disk with: a [`Baseline`] |
//!
//! # How a question is answered
//!
//! ```text
//! get_virtual_disk_changes(path, limit_id, target, offset, length)
//!         │  a thin function over the next two
//!         ▼
//! OpenOptions::open ──► Disk            every file and table, opened once
//!         │                             (header, log overlay, region tables, metadata)
//!         ▼
//! Disk::changes(baseline) ──► ChangeQuery ──► Changes       one question with its own limits
//!         │  which layers answer?
//!         ▼
//! leaf.avhdx      its blocks            BAT, and sector bitmaps of partially present blocks
//! middle.avhdx    its blocks            …
//! base.vhdx       its tracking table    units with a number greater than the id's
//! ```
//!
//! For an RCT id, the file nearest the root whose table resolves the id answers from that table,
//! and the files above it, which were created later, add everything that they hold. For the other
//! baselines, only blocks are used.
//!
//! # The states of a file
//!
//! | state | log | possible questions |
//! | --- | --- | --- |
//! | open: a program writes to it | in use, or not | refused ([`ErrorKind::InUse`]); read a snapshot of the storage |
//! | copied while it was open | in use: replayed in memory | everything, except since an id of its own table if it has no parent |
//! | closed cleanly | empty | everything |
//! | frozen: it has a child | empty | everything; a question about the child can use its ids |
//! | a merge into it is running | in use | refused ([`ErrorKind::ParentNotFrozen`]) |
//!
//! [`OpenOptions::allow_unclean`] accepts the risk in the second and the last case.
//!
//! # Backing up
//!
//! 1. Open a disk that no program writes to, such as a file frozen by a checkpoint, and take
//!    [`Disk::next_baselines`]: the baselines for the next backup.
//! 2. Query the changes since the baseline that the last backup kept or, if there is none or the
//!    refusal [needs a full backup](Error::needs_full_backup), since [`Baseline::Allocated`].
//! 3. Read the ranges with [`Disk::read_exact_at`], or from the host offsets of
//!    [extents](ChangeQuery::extents).
//! 4. Call [`Disk::verify_unchanged`]. Only then keep the new baseline. If it is not
//!    [exact](NextBaseline::exact), also keep the ranges that a question since it returns now, and
//!    read them again the next time.
//!
//! # Guarantees
//!
//! - Never less: a range that may have changed is reported, or the question is refused with an
//!   [`Error`]. Every answer is sorted, coalesced, non-empty and inside the region.
//! - Every answer names [the disk it is about](DiskIdentity). An [`Error`] has the method's
//!   [`ReturnValue`] and Windows' own code, and cannot be mistaken for an empty answer.
//! - A file that changes during a question causes [`ErrorKind::Changed`].
//! - For any input, there is no panic, no endless loop, and no unbounded memory use.
//!
//! # Formats
//!
//! VHDX is read as [MS-VHDX] specifies it. Microsoft documents neither `.rct` nor `.vhds`:
//! [`rct::FACTS`] and [`vhd_set::FACTS`] list what is known of them and with what confidence, and
//! [`rct::inspect`] and [`vhd_set::inspect`] show what a file holds.
//!
//! # Features
//!
//! - `serde` (off by default): implements `Serialize` for the types of answers, reports and facts,
//!   and `Deserialize` for those that a program may store.
//!
//! [MS-VHDX]: https://learn.microsoft.com/openspecs/windows_protocols/ms-vhdx
#![deny(unsafe_code)]
#![warn(missing_debug_implementations, missing_docs, unreachable_pub)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]
#![warn(clippy::must_use_candidate, clippy::too_many_lines, clippy::undocumented_unsafe_blocks)]

/// Implements `Debug` with some of a type's values.
macro_rules! impl_debug {
    ($type:ident, |$this:ident| $($name:ident: $value:expr),+) => {
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let $this = self;
                let mut fields = f.debug_struct(stringify!($type));
                $(fields.field(stringify!($name), &$value);)+
                fields.finish_non_exhaustive()
            }
        }
    };
}

mod baseline;
mod chain;
mod changes;
mod disk;
mod error;
mod facts;
mod inspect;
mod layer;
mod limits;
mod query;
mod range;
pub mod rct;
mod size;
pub mod source;
pub mod vhd_set;
pub mod vhdx;
mod warning;
mod wire;

pub use baseline::{Baseline, NextBaseline, SnapshotId};
pub use chain::{DiskFile, Extent, ExtentKind, FileIdentity, MAX_CHAIN_FILES, Tracking};
pub use changes::{
    ChangeQuery, ChangedExtents, Changes, Job, JobHandle, JobState, VirtualDiskChanges,
    get_virtual_disk_changes,
};
pub use disk::{CheckReport, Disk, DiskIdentity, DiskReader, OpenOptions};
pub use error::{Error, ErrorKind, Result, ReturnValue, Subject};
pub use inspect::{Field, Inspection};
pub use limits::CancelToken;
pub use query::TableEvidence;
pub use range::ByteRange;
pub use rct::{KnownIds, RctId};
/// The GUID type of this crate's ids.
pub use uuid::Uuid;
pub use vhd_set::{Snapshot, SnapshotCatalog};
pub use warning::Warning;

/// The README's code is tested as it stands.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
