//! Single files: full tables, shared blocks, sizes without end.

use super::bounds::*;
use crate::common::image::Image;
use crate::common::memory::{MemoryStorage, Patched, WithFile};
use std::sync::Arc;
use vhdx_rct::source::Source;
use vhdx_rct::{Baseline, CheckReport, Error};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{Block, HeaderPlan, MB, ParentLocator, VhdxBuilder, ids, put};

pub use crate::common::disks::{single as disk, single_allocated as allocated};

pub const DISK: &str = "/disks/disk.vhdx";

pub fn query(source: impl Source + 'static) -> Question {
    let mut files = MemoryStorage::new();
    files.insert(DISK, Arc::new(source));
    Question::within(files, DISK, Baseline::Allocated)
}

fn region(image: &mut Image, entry: u64, offset: u64, length: u64) {
    image.region_tables(16 + 32 * entry + 16, offset.to_le_bytes());
    image.region_tables(16 + 32 * entry + 24, (length as u32).to_le_bytes());
}

fn size(image: &mut Image, size: u64) {
    image.item(ids::VIRTUAL_DISK_SIZE, 0, size.to_le_bytes());
}

fn check(image: Image) -> CheckReport {
    check_source(Patched::new(&Arc::new(image.bytes)), MEMORY).unwrap()
}

pub fn check_source(source: Patched, memory: usize) -> Result<CheckReport, Error> {
    let question = query(source);
    bounded("a check", memory, move || question.open()?.check())
}

/// A copy that is not valid is a finding, and no hindrance.
#[test]
fn one_copy_of_the_headers_and_of_the_region_tables() {
    let mut image = Image::new(&disk().headers(HeaderPlan::SecondOnly));
    image.put(image.at.region_table_offsets[1], [0; 4]);
    let report = check(image);
    let [header, table] = &report.findings[..] else { panic!("{report:?}") };
    assert!(header.contains("header copy 1") && header.contains("BadChecksum"), "{header}");
    assert!(table.contains("region table copy 2") && table.contains("NoSignature"), "{table}");
}

/// A query does not compare all entries with one another; a check does.
#[test]
fn two_entries_on_one_block() {
    let mut image = Image::new(&disk());
    assert_eq!(check(image.clone()).findings, [""; 0]);
    image.block(2, image.at.payload[&0] | 6);
    let answer = query(Patched::new(&Arc::new(image.bytes.clone()))).ask();
    assert_eq!(answer.unwrap().ranges, allocated());
    let report = check(image);
    assert!(report.total == 1 && report.findings[0].contains("block 2"), "{report:?}");
}

/// Half a block on another one, and a bitmap on a block.
#[test]
fn entries_that_share_a_part() {
    let mut image =
        Image::new(&disk().block_size(2 * MB).block(2, Block::NotPresent { anchor: None }));
    let place = image.at.payload[&0];
    image.bytes.resize(image.bytes.len() + MB as usize, 0);
    image.block(1, (place + MB) | 6);
    let report = check(image);
    assert!(report.total == 1 && report.findings[0].contains("shares"), "{report:?}");
}

/// As many findings as blocks: only some are kept.
#[test]
fn check_bounds_the_number_of_findings() {
    let mut image = Image::new(&VhdxBuilder::new(4096 * MB));
    let bat = image.at.bat_offset;
    image.put(bat, 5_u64.to_le_bytes().repeat(4096));
    let report = check(image);
    assert_eq!((report.total, report.findings.len()), (4096, 100));
}

/// 2047 of what may be there 2047 times.
#[test]
fn full_tables() {
    let mut image = Image::new(&disk());
    let (regions, items) = (2047_u32.to_le_bytes(), 2047_u16.to_le_bytes());
    let mut entries = vec![0; 2045 * 32];
    for (i, entry) in (0_u64..).zip(entries.chunks_exact_mut(32)) {
        put(entry, 0, u128::from(i + 1).to_le_bytes());
        put(entry, 16, ((i + 64) * MB).to_le_bytes());
        put(entry, 24, (MB as u32).to_le_bytes());
    }
    image.region_tables(16 + 64, &entries);
    image.region_tables(8, regions);
    let mut entries = vec![0; 2042 * 32];
    for (i, entry) in (0_u32..).zip(entries.chunks_exact_mut(32)) {
        put(entry, 0, u128::from(i + 1).to_le_bytes());
        put(entry, 16, (128 * 1024 + i).to_le_bytes());
        put(entry, 20, 1_u32.to_le_bytes());
    }
    let table = image.at.metadata_offset;
    image.put(table + 32 + 5 * 32, entries);
    image.put(table + 10, items);
    let source = Patched::new(&Arc::new(image.bytes));
    let answer = query(source).bounded("full tables", MEMORY);
    assert_eq!(answer.unwrap().ranges, allocated());
}

/// A file that claims to have 2^64 - 1 bytes; a check would need a bit for each megabyte.
#[test]
fn file_of_maximum_length() {
    let source = Patched::new(&Arc::new(Image::new(&disk()).bytes)).long(u64::MAX);
    let answer = query(source.clone()).bounded("a query", MEMORY);
    assert_eq!(answer.unwrap().ranges, allocated());
    must_fail("a check", check_source(source, MEMORY), OUT_OF_MEMORY);
}

/// The largest disk in the smallest blocks: a BAT of half a gigabyte, all zeros.
#[test]
fn the_largest_disk() {
    let mut image = Image::new(&disk());
    let place = image.bytes.len() as u64;
    region(&mut image, 0, place, 513 * MB);
    size(&mut image, 64 << 40);
    let source = Patched::new(&Arc::new(image.bytes)).long(place + 600 * MB);
    let answer = query(source).bounded("the largest disk", MEMORY).unwrap();
    assert_eq!((answer.processed_byte_length, answer.ranges.len()), (64 << 40, 0));
}

/// Every other sector is in the child, and all blocks share one place: a small file with two
/// million ranges. The list of them is bounded, ranges one by one need no list.
#[test]
fn more_ranges_than_fit() {
    const BASE: &str = "/disks/base.vhdx";
    let disk = || VhdxBuilder::new(2048 * MB).seed(4);
    let parent = Image::new(&disk());
    let locator = ParentLocator::new(parent.at.data_write_guid).relative("base.vhdx");
    let partial = Block::Partial { sectors: Vec::new(), fill: Fill(1) };
    let mut child = Image::new(&disk().parent(locator).block(0, partial));
    let entry = child.at.payload[&0] | 7;
    child.put(child.at.bat_offset, entry.to_le_bytes().repeat(2048));
    child.put(child.at.bitmap[&0], vec![0xAA; MB as usize]);
    let files = MemoryStorage::new().with(BASE, parent.bytes).with(DISK, child.bytes);
    let question = Question::within(files, DISK, Baseline::File(BASE.into()));
    let question = question.memory_budget(MEMORY);
    must_fail("a list", question.bounded("a list", 2 * MEMORY), OUT_OF_MEMORY);
    let disk = question.open().unwrap();
    // What a question used is there for the next one.
    for _ in 0..3 {
        let since = question.since.clone();
        let ranges = disk.changes(since).ranges().unwrap();
        let count = move || ranges.map(Result::unwrap).count();
        assert_eq!(bounded("ranges one by one", MEMORY, count), 2 << 20);
    }
}
