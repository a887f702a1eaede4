//! The largest possible disks, from files: the memory does not depend on their size.

use super::bounds::*;
use vhdx_rct_fixtures::bulk::{Chunk, Table};
use vhdx_rct_fixtures::rct::PageOrder;

/// The memory that a query may use beyond the initial amount.
const LARGE: usize = 32 << 20;
const SIZE: u64 = 64 << 40;

/// Asks for the list, the ranges one by one and the extents, and returns the number of ranges
/// and their bytes.
fn ask(name: &str, question: Question) -> (u64, u64) {
    let (single, extents) = (question.clone(), question.clone());
    let streamed = bounded(name, LARGE, move || {
        let ranges = single.open().unwrap().changes(single.since).ranges().unwrap();
        ranges
            .map(Result::unwrap)
            .fold((0, 0), |(count, bytes), range| (count + 1, bytes + range.length))
    });
    let listed = question.bounded(name, LARGE).unwrap();
    assert_eq!(listed.processed_byte_length, SIZE, "{name}");
    let bytes: u64 = listed.ranges.iter().map(|range| range.length).sum();
    assert_eq!((listed.ranges.len() as u64, bytes), streamed, "{name}");
    bounded(name, LARGE, move || extents.ask_extents()).unwrap();
    streamed
}

/// A BAT of half a gibibyte, with scattered blocks.
#[test]
fn bounds_the_memory_of_a_dynamic_disk_of_64_tebibytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.vhdx");
    let mut rng = Rng::new(1);
    let blocks = (0..2000).map(|_| 2 * rng.below(SIZE / MB / 2));
    let empty = VhdxBuilder::new(SIZE).block(0, Block::Full(Fill::ZEROS));
    let disk = blocks.fold(empty, |disk, block| disk.block(block, Block::Full(Fill::ZEROS)));
    disk.write(&path).unwrap();
    let count = disk.blocks().len() as u64;
    assert!(count > 1900);
    let question = Question::new(&path, Baseline::Allocated);
    assert_eq!(ask("a dynamic disk", question), (count, count * MB));
}

/// The number of the disk's chunks with blocks, one in 64.
const RAGGED: u64 = (SIZE >> 32) / 64;

/// All blocks of these chunks are partially present, with the same sectors: they share one bitmap
/// block and one payload block.
fn ragged(directory: &Path, runs: u64) -> Question {
    const BLOCK: u64 = 256 * MB;
    let disk = || VhdxBuilder::new(SIZE).block_size(BLOCK).seed(4);
    let base = directory.join("base.vhdx");
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
    let path = directory.join("child.avhdx");
    child.save(&path);
    Question::new(path, Baseline::File(base))
}

#[test]
fn bounds_the_memory_of_a_differencing_disk_of_64_tebibytes() {
    let directory = tempfile::tempdir().unwrap();
    let count = RAGGED * 32;
    assert_eq!(ask("a ragged disk", ragged(directory.path(), 32)), (count, count * 2048));
}

/// A table of four million chunks, some of them ragged, their pages in no order.
#[test]
fn bounds_the_memory_of_a_tracked_disk_of_64_tebibytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.vhdx");
    VhdxBuilder::new(SIZE).block_size(256 * MB).write(&path).unwrap();
    let table = Table { size: SIZE, seed: 3, longest_run: 40, order: PageOrder::Shuffled(3) };
    let state = |chunk| match chunk % 1000 {
        0 => Chunk::Ragged,
        7 | 8 | 500 => Chunk::Newer,
        _ => Chunk::Older,
    };
    let written = table.write(&directory.path().join("disk.vhdx.rct"), state).unwrap();
    let (branch, number) = table.limit();
    let question = Question::new(path, RctId::new(branch, number));
    assert_eq!(ask("a tracked disk", question), (written.answer.ranges, written.answer.bytes));
}

/// The bound is effective: a list of this many ranges exceeds it.
#[test]
fn list_of_many_ranges_exceeds_the_memory_bound() {
    let directory = tempfile::tempdir().unwrap();
    let question = ragged(directory.path(), 16384);
    let tight = question.clone().memory_budget(LARGE);
    must_fail("a long list", tight.bounded("a long list", 2 * LARGE), OUT_OF_MEMORY);
    let over = || question.bounded("a long list", LARGE);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(over)).is_err());
}
