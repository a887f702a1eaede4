//! Single files: tables and blocks at their limits, and shared blocks.

use super::bounds::*;
use vhdx_rct::CheckReport;

pub const DISK: &str = "/disks/disk.vhdx";

pub fn query(source: impl Source + 'static) -> Question {
    let mut files = MemoryStorage::new();
    files.insert(DISK, Arc::new(source));
    Question::within(files, DISK, Baseline::Allocated)
}

fn check(image: Image) -> CheckReport {
    check_source(Patched::new(&Arc::new(image.bytes)), MEMORY).unwrap()
}

pub fn check_source(source: Patched, memory: usize) -> Result<CheckReport, Error> {
    let question = query(source);
    bounded("a check", memory, move || question.open()?.check())
}

#[test]
fn check_reports_invalid_copies_of_header_and_region_table() {
    let mut image = Image::new(&single().headers(HeaderPlan::SecondOnly));
    image.put(image.at.region_table_offsets[1], [0; 4]);
    let report = check(image);
    let [header, table] = &report.findings[..] else { panic!("{report:?}") };
    assert!(header.contains("header copy 1") && header.contains("BadChecksum"), "{header}");
    assert!(table.contains("region table copy 2") && table.contains("NoSignature"), "{table}");
}

/// Only a check compares all entries with one another.
#[test]
fn check_reports_two_entries_for_one_block() {
    let mut image = Image::new(&single());
    assert_eq!(check(image.clone()).findings, [""; 0]);
    image.block(2, image.at.payload[&0] | 6);
    let answer = query(Patched::new(&Arc::new(image.bytes.clone()))).ask();
    assert_eq!(answer.unwrap().ranges, single_allocated());
    let report = check(image);
    assert!(report.total == 1 && report.findings[0].contains("block 2"), "{report:?}");
}

#[test]
fn check_reports_a_block_that_overlaps_half_of_another() {
    let disk = single().block_size(2 * MB).block(2, Block::NotPresent { anchor: None });
    let mut image = Image::new(&disk);
    let place = image.at.payload[&0];
    image.bytes.resize(image.bytes.len() + MB as usize, 0);
    image.block(1, (place + MB) | 6);
    let report = check(image);
    assert!(report.total == 1 && report.findings[0].contains("shares"), "{report:?}");
}

#[test]
fn check_bounds_the_number_of_findings() {
    let mut image = Image::new(&VhdxBuilder::new(4096 * MB));
    let bat = image.at.bat_offset;
    image.put(bat, 5_u64.to_le_bytes().repeat(4096));
    let report = check(image);
    assert_eq!((report.total, report.findings.len()), (4096, 100));
}

#[test]
fn accepts_tables_with_the_maximum_number_of_entries() {
    let mut image = Image::new(&single());
    let entries = |count, fields: &dyn Fn(u64) -> (u64, u64)| -> Vec<u8> {
        let entry = |i: u64| {
            let ((a, b), mut entry) = (fields(i), [0; 32]);
            put(&mut entry, 0, (i + 1).to_le_bytes());
            put(&mut entry, 16, a.to_le_bytes());
            put(&mut entry, 24, b.to_le_bytes());
            entry
        };
        (0..count).flat_map(entry).collect()
    };
    image.region_tables(16 + 64, entries(2045, &|i| ((i + 64) * MB, MB)));
    image.region_tables(8, 2047_u32.to_le_bytes());
    let table = image.at.metadata_offset;
    // The offset is the lower half, and the length, 1, the upper.
    image.put(table + 32 + 5 * 32, entries(2042, &|i| (1 << 32 | (128 * 1024 + i), 0)));
    image.put(table + 10, 2047_u16.to_le_bytes());
    let source = Patched::new(&Arc::new(image.bytes));
    let answer = query(source).bounded("full tables", MEMORY);
    assert_eq!(answer.unwrap().ranges, single_allocated());
}

/// A check would need a bit for each mebibyte of 2^64 - 1 bytes.
#[test]
fn accepts_a_file_of_maximum_length() {
    let source = Patched::new(&Arc::new(Image::new(&single()).bytes)).long(u64::MAX);
    let answer = query(source.clone()).bounded("a query", MEMORY);
    assert_eq!(answer.unwrap().ranges, single_allocated());
    must_fail("a check", check_source(source, MEMORY), OUT_OF_MEMORY);
}

/// The BAT has half a gibibyte, all zeros.
#[test]
fn accepts_the_largest_disk_in_the_smallest_blocks() {
    let mut image = Image::new(&single());
    let place = image.bytes.len() as u64;
    image.region_tables(16 + 16, place.to_le_bytes());
    image.region_tables(16 + 24, (513_u32 << 20).to_le_bytes());
    image.item(ids::VIRTUAL_DISK_SIZE, 0, (64_u64 << 40).to_le_bytes());
    let source = Patched::new(&Arc::new(image.bytes)).long(place + 600 * MB);
    let answer = query(source).bounded("the largest disk", MEMORY).unwrap();
    assert_eq!((answer.processed_byte_length, answer.ranges.len()), (64 << 40, 0));
}

/// Every other sector is in the child, and all blocks share one place: a small file with two
/// million ranges. The list of them is bounded, ranges one by one need no list.
#[test]
fn bounds_the_memory_of_a_list_of_ranges() {
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
    // The memory of a question is available to the next one.
    for _ in 0..3 {
        let since = question.since.clone();
        let ranges = disk.changes(since).ranges().unwrap();
        let count = move || ranges.map(Result::unwrap).count();
        assert_eq!(bounded("ranges one by one", MEMORY, count), 2 << 20);
    }
}
