//! The names that most tests of files need.

pub use super::codes::*;
pub use super::disks::{single, single_allocated};
pub use super::image::Image;
pub use super::memory::{MemoryStorage, Patched, WithFile};
pub use super::ranges;
pub use std::io;
pub use std::ops::Range;
pub use std::path::{Path, PathBuf};
pub use std::sync::Arc;
pub use uuid::Uuid;
pub use vhdx_rct::source::{SliceSource, Source, Storage};
pub use vhdx_rct::{
    Baseline, ByteRange, Disk, Error, ErrorKind, OpenOptions, RctId, Subject, VirtualDiskChanges,
};
pub use vhdx_rct_fixtures::pattern::Fill;
pub use vhdx_rct_fixtures::rng::Rng;
pub use vhdx_rct_fixtures::vhdx::{
    Block, DirtyLog, HeaderPlan, KB, LogPlan, MB, ParentLocator, VhdxBuilder, ids, put, store_crc,
};
