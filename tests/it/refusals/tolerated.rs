//! Deviations from the format that existing writers make, or that do not matter to the question:
//! read with the right answer and the right content, and reported by a check if they are defects.

use super::support::*;
use crate::common::seeds;
use vhdx_rct_fixtures::ranges::{clip, coalesce};
use vhdx_rct_fixtures::record::Stack;

const FULL: u64 = 6;
const PARTIAL: u64 = 7;

fn open_child(parent: &Image, child: &Image) -> Disk {
    open(files(parent, child), DISK).unwrap()
}

fn findings(disk: &Disk) -> Vec<String> {
    let report = disk.check().unwrap();
    assert_eq!(report.total, report.findings.len() as u64);
    report.findings
}

/// Asserts that a check has one finding, with these parts.
#[track_caller]
fn assert_one_finding(disk: &Disk, parts: &[&str]) {
    let found = findings(disk);
    let right = |finding: &String| parts.iter().all(|part| finding.contains(part));
    assert!(found.len() == 1 && right(&found[0]), "expected {parts:?}, found {found:?}");
}

/// The content of a disk without a parent.
fn content(disk: &Disk) -> Vec<u8> {
    let mut bytes = vec![0; disk.identity().virtual_size as usize];
    disk.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn record(disk: &VhdxBuilder, size: u64) -> Vec<u8> {
    Stack(vec![disk.layer()]).read(0, size as usize)
}

fn cut(image: &Image, length: u64) -> Image {
    let mut image = image.clone();
    image.bytes.truncate(length as usize);
    image
}

/// The fixed disks of QEMU end with the disk. A byte less is an error.
#[test]
fn accepts_a_last_block_cut_after_the_end_of_the_disk() {
    for seed in seeds(10, 150) {
        let mut rng = Rng::new(seed);
        let (block, sector) = (rng.pick(&[1, 2, 4, 8]) * MB, rng.pick(&[512, 4096]));
        let size = rng.range(1..10 * MB / sector) * sector;
        let disk = VhdxBuilder::new(size).seed(seed).block_size(block);
        let disk = disk.logical_sector_size(sector as u32).fixed(true).all_blocks_full(Fill(7));
        let image = Image::new(&disk);
        let last = (size - 1) / block;
        let (place, used) = (image.at.payload[&last], size - last * block);
        let end = place + used;
        for length in [end, end.next_multiple_of(MB), rng.range(end..place + block + 1)] {
            let what = format!("seed {seed}, {length} bytes");
            let image = cut(&image, length);
            let opened = open_single(&image).unwrap();
            assert!(content(&opened) == record(&disk, size), "{what}");
            assert_eq!(findings(&opened), [""; 0], "{what}");
            assert!(opened.metadata_parts(0).unwrap().iter().all(|p| p.end() <= place), "{what}");
            assert_eq!(ask_single(image).unwrap().ranges, changes(&[0..size]), "{what}");
        }
        let block = format!("block {last}, ");
        must_refuse(ask_single(cut(&image, end - 1)), BAT_CORRUPT, THE_DISK, &block);
    }
}

/// The disk's last block uses 1 MiB of 4, and the bitmap begins right after it.
#[test]
fn accepts_data_directly_after_the_used_part_of_the_last_block() {
    let disk = |seed| VhdxBuilder::new(5 * MB).seed(seed).disk_id(Uuid::from_u128(1));
    let parent = Image::new(&disk(1));
    let partial = Block::Partial { sectors: vec![3..9, 2000..2048], fill: Fill(4) };
    let child = disk(2).parent(locator(&parent.at)).block_size(4 * MB).block(1, partial);
    let mut image = Image::new(&child);
    let after = image.at.payload[&1] + MB;
    let bitmap = image.bytes[image.at.bitmap[&0] as usize..][..MB as usize].to_vec();
    image.put(after, bitmap);
    image.bitmap(0, after | FULL);
    let image = cut(&image, after + MB);
    let disk = open_child(&parent, &image);
    assert_eq!(findings(&disk), [""; 0]);
    let parts = disk.metadata_parts(0).unwrap();
    assert_eq!(parts.last(), Some(&ByteRange { offset: after, length: MB }));
    let sector = |sector: u64| 4 * MB + sector * 512;
    let expected = changes(&[sector(3)..sector(9), sector(2000)..5 * MB]);
    assert_eq!(ask_pair(&parent, image.clone()).unwrap().ranges, expected);
    let mut shared = image;
    shared.block(1, after | PARTIAL);
    assert_one_finding(&open_child(&parent, &shared), &["shares"]);
}

/// A block is partially present in a file without a parent: all of it is in the file.
#[test]
fn reads_partial_blocks_without_a_parent_as_full_and_reports_them() {
    let disk = single();
    let mut image = Image::new(&disk);
    image.block(2, image.at.payload[&2] | PARTIAL);
    assert!(content(&open_single(&image).unwrap()) == record(&disk, 4 * MB));
    assert_one_finding(&open_single(&image).unwrap(), &["block 2", "no parent"]);
    assert_eq!(ask_single(image).unwrap().ranges, single_allocated());
}

/// Blocks of every state, the last one cut, and random regions.
#[test]
fn reads_any_mix_of_states_without_a_parent() {
    for seed in seeds(20, 400) {
        let mut rng = Rng::new(seed);
        let blocks = rng.range(60..300);
        let size = blocks * MB - rng.range(1..2048) * 512;
        let last = blocks - 1;
        let disk = VhdxBuilder::new(size).seed(seed);
        let disk = disk.block(0, Block::Full(Fill(1))).block(last, Block::Full(Fill(2)));
        let mut image = Image::new(&disk);
        let places = [image.at.payload[&0], image.at.payload[&last]];
        // Runs of one state, as most disks have them, and single blocks.
        let (longest, mut states) = (rng.pick(&[1, 9, 90]), Vec::new());
        while states.len() < last as usize {
            let state = rng.pick(&[0, 2, 3, places[0] | FULL, places[0] | PARTIAL]);
            states.resize((states.len() as u64 + rng.range(1..longest + 1)) as usize, state);
        }
        states.truncate(last as usize);
        states.push(places[1] | rng.pick(&[FULL, PARTIAL]));
        for (block, state) in (0..).zip(&states) {
            image.block(block, *state);
        }
        let image = cut(&image, places[1] + size - last * MB);
        let held = (0..).zip(&states).filter(|(_, state)| **state & 7 >= FULL);
        let held = held.map(|(block, _): (u64, _)| block * MB..((block + 1) * MB).min(size));
        let held = coalesce(held.collect());
        let disk = open_single(&image).unwrap();
        for _ in 0..10 {
            let start = rng.below(size);
            let region = start..rng.range(start..size + 1);
            let expected = coalesce(held.iter().map(|range| clip(range, &region)).collect());
            let answer = disk.changes(Baseline::Allocated).region(region.clone()).collect();
            assert_eq!(answer.unwrap().ranges, changes(&expected), "seed {seed}, {region:?}");
        }
    }
}

#[test]
fn reads_bitmap_state_7_as_present() {
    let (parent, mut child) = pair();
    let place = child.at.bitmap[&0];
    child.bitmap(0, place | 7);
    let disk = open_child(&parent, &child);
    assert_eq!(findings(&disk), [""; 0]);
    let bitmap = ByteRange { offset: place, length: MB };
    assert!(disk.metadata_parts(0).unwrap().contains(&bitmap));
    assert_eq!(ask_pair(&parent, child).unwrap().ranges, child_changes());
}

/// The state of a sector bitmap matters only to partially present blocks.
#[test]
fn rejects_invalid_bitmap_states_only_if_a_block_needs_the_bitmap() {
    let (parent, child) = pair();
    for state in 1..6 {
        let mut child = child.clone();
        child.bitmap(0, child.at.bitmap[&0] | state);
        let (name, answer) = (format!("state {state}"), ask_pair(&parent, child.clone()));
        must_refuse_case(&name, answer, BAT_CORRUPT, THE_DISK, "bitmap 0");
        let disk = open_child(&parent, &child);
        assert!(disk.metadata_parts(0).is_err(), "state {state}");
        assert_one_finding(&disk, &["sector bitmap 0"]);
        // Without the block that needs it:
        child.block(0, 2);
        let disk = open_child(&parent, &child);
        assert_eq!(findings(&disk), [""; 0], "state {state}");
        let parts = disk.metadata_parts(0).unwrap();
        assert!(parts.iter().all(|part| part.offset != child.at.bitmap[&0]), "state {state}");
        let answer = ask_pair(&parent, child).unwrap().ranges;
        assert_eq!(answer, changes(&[0..MB, 2 * MB..3 * MB]), "state {state}");
    }
}

/// A bitmap that is present according to its entry but cannot be: a finding, and no error as long
/// as no block needs it.
#[test]
fn reports_a_present_bitmap_without_an_offset() {
    let (parent, mut child) = pair();
    child.block(0, 2);
    child.bitmap(0, (99 * MB) | FULL);
    let disk = open_child(&parent, &child);
    assert_one_finding(&disk, &["sector bitmap 0"]);
    assert!(disk.metadata_parts(0).is_ok());
    let answer = ask_pair(&parent, child).unwrap().ranges;
    assert_eq!(answer, changes(&[0..MB, 2 * MB..3 * MB]));
}

/// A user's items may have any names, also those of system items, and come in any order.
#[test]
fn ignores_user_items_with_system_names() {
    let names = [
        ids::FILE_PARAMETERS,
        ids::VIRTUAL_DISK_SIZE,
        ids::VIRTUAL_DISK_ID,
        ids::LOGICAL_SECTOR_SIZE,
        ids::PHYSICAL_SECTOR_SIZE,
        ids::PARENT_LOCATOR,
        ids::INCOMPLETE_FILE,
        ids::CHS_PARAMETERS,
    ];
    let disk = names.iter().fold(single(), |disk, name| disk.extra_metadata(*name, &[0xEE; 24], 1));
    let mut image = Image::new(&disk);
    assert_eq!(ask_single(image.clone()).unwrap().ranges, single_allocated());
    let table = image.at.metadata_offset + 32;
    let count = 5 + names.len();
    let entries = image.bytes[table as usize..][..32 * count].to_vec();
    image.put(table, entries.chunks(32).rev().collect::<Vec<_>>().concat());
    assert_eq!(open_single(&image).unwrap().identity().virtual_size, 4 * MB);
    assert_eq!(ask_single(image).unwrap().ranges, single_allocated());
}

/// `qemu-img create` can create an empty disk.
#[test]
fn empty_disk_has_no_ranges() {
    let disk = || VhdxBuilder::new(0).disk_id(Uuid::from_u128(0xD15C));
    let image = Image::new(&disk());
    assert_eq!(findings(&open_single(&image).unwrap()), [""; 0]);
    assert!(content(&open_single(&image).unwrap()).is_empty());
    let answer = ask_single(image.clone()).unwrap();
    assert_eq!((answer.processed_byte_length, answer.ranges.len()), (0, 0));
    // Under a child, and above a parent.
    let child = Image::new(&child_of(&image.at));
    assert_eq!(ask_pair(&image, child).unwrap().ranges, child_changes());
    let parent = Image::new(&parent());
    let empty = Image::new(&disk().parent(locator(&parent.at)));
    assert_eq!(findings(&open_child(&parent, &empty)), [""; 0]);
    assert!(ask_pair(&parent, empty).unwrap().ranges.is_empty());
}
