//! Disks that many tests use.

use super::ranges;
use std::path::Path;
use uuid::Uuid;
use vhdx_rct::ByteRange;
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{
    Block, DirtyLog, HeaderPlan, LogPlan, MB, ParentLocator, VhdxBuilder,
};

/// A disk of 4 MB without a parent: data, zeros, data, nothing.
pub fn single() -> VhdxBuilder {
    VhdxBuilder::new(4 * MB)
        .seed(1)
        .headers(HeaderPlan::Identical)
        .block(0, Block::Full(Fill(1)))
        .block(1, Block::Zero { anchor: None })
        .block(2, Block::Full(Fill(2)))
}

/// The ranges of [`single`] that may hold data.
pub fn single_allocated() -> Vec<ByteRange> {
    ranges(&[0..MB, 2 * MB..3 * MB])
}

/// Writes a parent and its child, each with its file name; returns their DataWriteGuids.
pub fn write_pair(
    directory: &Path,
    (parent_name, parent): (&str, VhdxBuilder),
    (child_name, child): (&str, VhdxBuilder),
) -> [Uuid; 2] {
    let guid = parent.write(&directory.join(parent_name)).unwrap().data_write_guid;
    let locator = ParentLocator::new(guid).relative(&format!(r".\{parent_name}"));
    let child = child.parent(locator).write(&directory.join(child_name)).unwrap();
    [guid, child.data_write_guid]
}

/// The same disk with a log that is in use.
pub fn dirty(disk: VhdxBuilder) -> VhdxBuilder {
    disk.log(LogPlan::Dirty(DirtyLog::default()))
}

/// A block of a child that holds these sectors.
pub fn held(sectors: std::ops::Range<u64>, fill: u64) -> Block {
    Block::Partial { sectors: vec![sectors], fill: Fill(fill) }
}
