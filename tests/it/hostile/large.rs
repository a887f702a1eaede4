//! The largest disks that there can be, from files: memory does not follow their size.

use super::bounds::*;
use crate::common::image::Image;
use std::path::Path;
use vhdx_rct::{ChangeQuery, Limit, RctId};
use vhdx_rct_fixtures::bulk::{Chunk, Table};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::PageOrder;
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::vhdx::{Block, MB, ParentLocator, VhdxBuilder};

/// What a question may use over what there was before.
const LARGE: usize = 32 << 20;
const SIZE: u64 = 64 << 40;

/// Asks for the list, the stream and the extents; gives the number of ranges and their bytes.
fn ask(name: &str, query: ChangeQuery) -> (u64, u64) {
    let (list, stream, extents) = (query.clone(), query.clone(), query);
    let streamed = bounded(name, LARGE, || {
        let ranges = stream.stream().unwrap().map(Result::unwrap);
        ranges.fold((0, 0), |(count, bytes), range| (count + 1, bytes + range.length))
    });
    let listed = bounded(name, LARGE, || list.run()).unwrap();
    assert_eq!(listed.processed_byte_length, SIZE, "{name}");
    let bytes: u64 = listed.ranges.iter().map(|range| range.length).sum();
    assert_eq!((listed.ranges.len() as u64, bytes), streamed, "{name}");
    let whole = move || extents.extents()?.try_for_each(|extent| extent.map(drop));
    bounded(name, LARGE, whole).unwrap();
    streamed
}

/// A BAT of half a gigabyte, with blocks here and there.
#[test]
fn a_dynamic_disk_of_64_terabytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhdx");
    let mut rng = Rng::new(1);
    let blocks = (0..2000).map(|_| 2 * rng.below(SIZE / MB / 2));
    let empty = VhdxBuilder::new(SIZE).block(0, Block::Full(Fill::ZEROS));
    let disk = blocks.fold(empty, |disk, block| disk.block(block, Block::Full(Fill::ZEROS)));
    disk.write(&path).unwrap();
    let count = disk.blocks().len() as u64;
    assert!(count > 1900);
    let query = ChangeQuery::new(&path).since(Limit::Allocated);
    assert_eq!(ask("a dynamic disk", query), (count, count * MB));
}

/// So many of the disk's chunks have blocks, one in 64.
const RAGGED: u64 = (SIZE >> 32) / 64;

/// All blocks of these chunks are partly there, and each chunk's sectors look the same: one
/// bitmap block and one payload block serve all.
fn ragged(folder: &Path, runs: u64) -> ChangeQuery {
    const BLOCK: u64 = 256 * MB;
    let disk = || VhdxBuilder::new(SIZE).block_size(BLOCK).seed(4);
    let base = folder.join("base.vhdx");
    let linkage = disk().write(&base).unwrap().data_write_guid;
    let partial = Block::Partial { sectors: Vec::new(), fill: Fill(1) };
    let locator = ParentLocator::new(linkage).relative("base.vhdx");
    let mut child = Image::new(&disk().parent(locator).block(0, partial));
    let chunk = [
        (child.at.payload[&0] | 7).to_le_bytes().repeat(child.at.chunk_ratio as usize),
        (child.at.bitmap[&0] | 6).to_le_bytes().to_vec(),
    ]
    .concat();
    for ragged in 0..RAGGED {
        child.put(child.at.bat_offset + ragged * 64 * chunk.len() as u64, &chunk);
    }
    for run in 0..runs {
        child.put(child.at.bitmap[&0] + run * (MB / runs), [0xF0; 1]);
    }
    let path = folder.join("child.avhdx");
    child.save(&path);
    ChangeQuery::new(path).since(Limit::File(base))
}

#[test]
fn a_ragged_differencing_disk_of_64_terabytes() {
    let folder = tempfile::tempdir().unwrap();
    let count = RAGGED * 32;
    assert_eq!(ask("a ragged disk", ragged(folder.path(), 32)), (count, count * 2048));
}

/// A table of four million chunks, some of them ragged, their pages in no order.
#[test]
fn a_tracked_disk_of_64_terabytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhdx");
    VhdxBuilder::new(SIZE).block_size(256 * MB).write(&path).unwrap();
    let table = Table { size: SIZE, seed: 3, longest_run: 40, order: PageOrder::Shuffled(3) };
    let state = |chunk| match chunk % 1000 {
        0 => Chunk::Ragged,
        7 | 8 | 500 => Chunk::Newer,
        _ => Chunk::Older,
    };
    let written = table.write(&folder.path().join("disk.vhdx.rct"), state).unwrap();
    let (branch, number) = table.limit();
    let query = ChangeQuery::new(path).since(Limit::Rct(RctId::new(branch, number)));
    assert_eq!(ask("a tracked disk", query), (written.answer.ranges, written.answer.bytes));
}

/// The bound bounds: what a list of so many ranges takes is over it.
#[test]
fn a_list_that_needs_more_is_over_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let query = ragged(folder.path(), 16384);
    let tight = query.clone().memory_budget(LARGE as u64);
    must_fail("a long list", bounded("a long list", 2 * LARGE, || tight.run()), OUT_OF_MEMORY);
    let over = || bounded("a long list", LARGE, || query.run());
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(over)).is_err());
}
