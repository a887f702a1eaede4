//! Single files: tables that point anywhere, values out of all bounds.

use super::bounds::*;
use crate::common::image::Image;
use crate::common::memory::{Memory, Patched};
use std::path::Path;
use std::sync::Arc;
use vhdx_rct::source::Source;
use vhdx_rct::vhdx::{CheckReport, Vhdx};
use vhdx_rct::{ByteRange, ChangeQuery, Error, Limit, VirtualDisk};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{Block, HeaderPlan, MB, ParentLocator, VhdxBuilder, ids, put};

pub use crate::common::disks::{single as disk, single_allocated as allocated};

pub const DISK: &str = "/disks/disk.vhdx";

pub fn query(source: impl Source + 'static) -> ChangeQuery {
    let mut files = Memory::default();
    files.insert(DISK, Arc::new(source));
    ChangeQuery::new(DISK).since(Limit::Allocated).storage(Arc::new(files))
}

/// Every way in which a file of this machine can be read; the query's answer counts, the
/// others must only end. Reading content stays within the disk's first megabytes.
fn read_in_every_way(path: &Path) -> Result<Vec<ByteRange>, Error> {
    let ask = || ChangeQuery::new(path).since(Limit::Allocated);
    let answer = ask().run();
    let extents = ask().extents().and_then(|mut all| all.try_for_each(|one| one.map(drop)));
    let report = Vhdx::open(path).and_then(|file| file.check());
    let content = VirtualDisk::open(path).and_then(|disk| {
        let mut bytes = vec![0; disk.size().min(4 * MB) as usize];
        disk.read_at(&mut bytes, 0)
    });
    drop((extents, report, content));
    answer.map(|answer| answer.ranges)
}

type Damage = fn(&mut Image);

fn entry(image: &mut Image, block: u64, offset: u64) {
    image.block(block, offset | 6);
}

fn region(image: &mut Image, entry: u64, offset: u64, length: u64) {
    image.region_tables(16 + 32 * entry + 16, offset.to_le_bytes());
    image.region_tables(16 + 32 * entry + 24, (length as u32).to_le_bytes());
}

fn size(image: &mut Image, size: u64) {
    image.item(ids::VIRTUAL_DISK_SIZE, 0, size.to_le_bytes());
}

fn block_size(image: &mut Image, size: u32) {
    image.item(ids::FILE_PARAMETERS, 0, size.to_le_bytes());
}

fn item(image: &mut Image, offset: u32, length: u32) {
    image.item_entry(ids::VIRTUAL_DISK_ID, 16, offset.to_le_bytes());
    image.item_entry(ids::VIRTUAL_DISK_ID, 20, length.to_le_bytes());
}

const TOP: u64 = 0_u64.wrapping_sub(MB);

#[test]
fn the_gallery() {
    let cases: [(&str, Damage, Code); 29] = [
        ("region at the top", |i| region(i, 0, TOP, MB), CORRUPT),
        ("region over the top", |i| region(i, 1, TOP, 2 * MB), CORRUPT),
        ("region at 2^63", |i| region(i, 1, 1 << 63, MB), CUT_SHORT),
        ("region of 4 GB", |i| region(i, 1, 64 * MB, (4 << 30) - MB), CUT_SHORT),
        ("BAT at 2^62", |i| region(i, 0, 1 << 62, MB), CUT_SHORT),
        ("BAT in the metadata", |i| region(i, 0, 2 * MB, MB), CORRUPT),
        ("regions without end", |i| i.region_tables(8, [0xFF; 4]), CORRUPT),
        ("items without end", |i| i.put(i.at.metadata_offset + 10, [0xFF; 2]), METADATA_CORRUPT),
        ("item at 2^32", |i| item(i, u32::MAX, 1), METADATA_CORRUPT),
        ("item of 2^32", |i| item(i, 1 << 16, u32::MAX), METADATA_CORRUPT),
        ("item that wraps to 0", |i| item(i, 1 << 31, 1 << 31), METADATA_CORRUPT),
        ("item on another", |i| item(i, 1 << 16, 16), METADATA_CORRUPT),
        ("item on the table", |i| item(i, 32, 16), METADATA_CORRUPT),
        ("block in the headers", |i| entry(i, 0, MB / 16), BAT_CORRUPT),
        ("block at 0", |i| entry(i, 0, 0), BAT_CORRUPT),
        ("block behind the end", |i| entry(i, 0, 4096 * MB), BAT_CORRUPT),
        ("block at the top", |i| entry(i, 0, TOP), BAT_CORRUPT),
        ("block in the log", |i| entry(i, 0, MB), BAT_CORRUPT),
        ("block in the BAT", |i| entry(i, 0, 3 * MB), BAT_CORRUPT),
        ("size 2^63", |i| size(i, 1 << 63), METADATA_CORRUPT),
        ("size 2^64 - 512", |i| size(i, 0_u64.wrapping_sub(512)), METADATA_CORRUPT),
        ("the largest size", |i| size(i, 64 << 40), BAT_CORRUPT),
        ("block size 0", |i| block_size(i, 0), METADATA_CORRUPT),
        ("block size 3", |i| block_size(i, 3), METADATA_CORRUPT),
        ("block size 2^31", |i| block_size(i, 1 << 31), METADATA_CORRUPT),
        ("block size 2^32 - 1", |i| block_size(i, u32::MAX), METADATA_CORRUPT),
        ("sector size 1", |i| i.item(ids::LOGICAL_SECTOR_SIZE, 0, [1, 0]), METADATA_CORRUPT),
        ("sector size 0", |i| i.item(ids::LOGICAL_SECTOR_SIZE, 0, [0, 0]), METADATA_CORRUPT),
        (
            "sector size 2^31",
            |i| i.item(ids::LOGICAL_SECTOR_SIZE, 0, [0, 0, 0, 0x80]),
            METADATA_CORRUPT,
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let right = Image::new(&disk());
    for (name, damage, code) in cases {
        let mut image = right.clone();
        damage(&mut image);
        let path = folder.path().join("disk.vhdx");
        image.save(&path);
        let answer = bounded(name, MEMORY, move || read_in_every_way(&path));
        must_fail(name, answer, code);
    }
}

#[test]
fn texts_that_are_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhdx");
    for text in [vec![0x00, 0xD8], vec![0xFF; 512], [0x00, 0xDC].repeat(256), vec![0x0A; 512]] {
        let mut image = Image::new(&disk());
        image.put(8, &text);
        image.save(&path);
        let path = path.clone();
        let answer = bounded("a creator", MEMORY, move || read_in_every_way(&path));
        assert_eq!(answer.unwrap(), allocated());
    }
}

fn check(image: Image) -> CheckReport {
    let source = Arc::new(Patched::new(&Arc::new(image.bytes)));
    bounded("a check", MEMORY, || Vhdx::from_source(source, DISK).unwrap().check().unwrap())
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
    let answer = query(Patched::new(&Arc::new(image.bytes.clone()))).run();
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
fn a_check_of_nothing_but_damage() {
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
    let answer = bounded("full tables", MEMORY, || query(source).run());
    assert_eq!(answer.unwrap().ranges, allocated());
}

/// A file that says to have 2^64 - 1 bytes; a check would need a bit for each megabyte.
#[test]
fn a_file_without_end() {
    let source = Patched::new(&Arc::new(Image::new(&disk()).bytes)).long(u64::MAX);
    let answer = bounded("a query", MEMORY, {
        let source = source.clone();
        || query(source).run()
    });
    assert_eq!(answer.unwrap().ranges, allocated());
    let checked = bounded("a check", MEMORY, || Vhdx::from_source(Arc::new(source), DISK)?.check());
    must_fail("a check", checked, OUT_OF_MEMORY);
}

/// The largest disk in the smallest blocks: a BAT of half a gigabyte, all zeros.
#[test]
fn the_largest_disk() {
    let mut image = Image::new(&disk());
    let place = image.bytes.len() as u64;
    region(&mut image, 0, place, 513 * MB);
    size(&mut image, 64 << 40);
    let source = Patched::new(&Arc::new(image.bytes)).long(place + 600 * MB);
    let answer = bounded("the largest disk", MEMORY, || query(source).run()).unwrap();
    assert_eq!((answer.processed_byte_length, answer.ranges.len()), (64 << 40, 0));
}

/// Every other sector is in the child, and all blocks share one place: a small file with two
/// million ranges. The list of them is bounded, the stream needs no list.
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
    let files = Memory::default().with(BASE, parent.bytes).with(DISK, child.bytes);
    let ask = ChangeQuery::new(DISK).since(Limit::File(BASE.into())).storage(Arc::new(files));
    let (list, stream) = (ask.clone(), ask);
    let listed = bounded("a list", 2 * MEMORY, || list.memory_budget(MEMORY as u64).run());
    must_fail("a list", listed, OUT_OF_MEMORY);
    let count = || stream.stream().unwrap().map(Result::unwrap).count();
    assert_eq!(bounded("a stream", MEMORY, count), 2 << 20);
}
