//! What existing writers do beside the format, and what follows from the question alone: read,
//! with the right answer and the right content, and told by a check where it is a defect.

use super::support::*;
use crate::common::image::Image;
use crate::common::memory::Memory;
use crate::common::seeds;
use std::sync::Arc;
use uuid::Uuid;
use vhdx_rct::source::SliceSource;
use vhdx_rct::vhdx::Vhdx;
use vhdx_rct::{ByteRange, Limit};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::ranges::{clip, coalesce};
use vhdx_rct_fixtures::record::Stack;
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::vhdx::{Block, MB, VhdxBuilder, ids};

const FULL: u64 = 6;
const PARTIAL: u64 = 7;

fn file(image: &Image) -> Vhdx {
    Vhdx::from_source(Arc::new(SliceSource(image.bytes.clone())), DISK).unwrap()
}

fn findings(image: &Image) -> Vec<String> {
    file(image).check().unwrap().findings
}

/// The content of a disk without a parent.
fn content(image: &Image) -> Vec<u8> {
    let files = Memory::default().with(DISK, image.bytes.clone());
    let disk = query(files, DISK, Limit::Allocated).disk().unwrap();
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(&mut bytes, 0).unwrap();
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

/// As in the fixed disks of QEMU, which end with the disk. A byte less is missing.
#[test]
fn accepts_a_last_block_cut_behind_the_end_of_the_disk() {
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
            assert!(content(&image) == record(&disk, size), "{what}");
            assert_eq!(findings(&image), [""; 0], "{what}");
            assert!(file(&image).metadata_parts().unwrap().iter().all(|p| p.end() <= place));
            assert_eq!(ask_single(image).unwrap().ranges, changes(&[0..size]), "{what}");
        }
        let block = format!("block {last}, ");
        must_refuse(ask_single(cut(&image, end - 1)), BAT_CORRUPT, DISK, &[&block]);
    }
}

/// The disk's last block uses 1 MB of 4, and the bitmap begins where that ends.
#[test]
fn accepts_what_lies_right_behind_the_used_part_of_the_last_block() {
    let disk = |seed| VhdxBuilder::new(5 * MB).seed(seed).disk_id(Uuid::from_u128(1));
    let parent = Image::new(&disk(1));
    let partial = Block::Partial { sectors: vec![3..9, 2000..2048], fill: Fill(4) };
    let child = disk(2).parent(locator(&parent.at)).block_size(4 * MB).block(1, partial);
    let mut image = Image::new(&child);
    let behind = image.at.payload[&1] + MB;
    let bitmap = image.bytes[image.at.bitmap[&0] as usize..][..MB as usize].to_vec();
    image.put(behind, bitmap);
    image.bitmap(0, behind | FULL);
    let image = cut(&image, behind + MB);
    assert_eq!(findings(&image), [""; 0]);
    let parts = file(&image).metadata_parts().unwrap();
    assert_eq!(parts.last(), Some(&ByteRange { offset: behind, length: MB }));
    let sector = |sector: u64| 4 * MB + sector * 512;
    let expected = changes(&[sector(3)..sector(9), sector(2000)..5 * MB]);
    assert_eq!(ask_pair(&parent, image.clone()).unwrap().ranges, expected);
    let mut shared = image;
    shared.block(1, behind | PARTIAL);
    let [finding] = &findings(&shared)[..] else { panic!("{:?}", findings(&shared)) };
    assert!(finding.contains("shares"), "{finding}");
}

/// A block is partially present in a file without a parent: all of it is in the file.
#[test]
fn reads_partial_blocks_without_a_parent_as_full_and_reports_them() {
    let disk = single();
    let mut image = Image::new(&disk);
    image.block(2, image.at.payload[&2] | PARTIAL);
    assert!(content(&image) == record(&disk, 4 * MB));
    let [finding] = &findings(&image)[..] else { panic!("{:?}", findings(&image)) };
    assert!(finding.contains("block 2") && finding.contains("no parent"), "{finding}");
    assert_eq!(ask_single(image).unwrap().ranges, single_allocated());
}

/// Blocks of every state side by side, with a last one that is cut, asked about anywhere.
#[test]
fn states_without_a_parent_are_read_alike_wherever_they_stand() {
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
        let files = Memory::default().with(DISK, image.bytes.clone());
        for _ in 0..10 {
            let start = rng.below(size);
            let region = start..rng.range(start..size + 1);
            let expected = coalesce(held.iter().map(|range| clip(range, &region)).collect());
            let answer = query(files.clone(), DISK, Limit::Allocated).region(region.clone()).run();
            let ranges = answer.unwrap().ranges;
            assert_eq!(ranges, changes(&expected), "seed {seed}, {region:?}");
        }
    }
}

#[test]
fn reads_bitmap_state_7_as_present() {
    let (parent, mut child) = pair();
    let place = child.at.bitmap[&0];
    child.bitmap(0, place | 7);
    assert_eq!(findings(&child), [""; 0]);
    assert!(
        file(&child).metadata_parts().unwrap().contains(&ByteRange { offset: place, length: MB })
    );
    assert_eq!(ask_pair(&parent, child).unwrap().ranges, child_changes());
}

/// What is said of a sector bitmap matters to partially present blocks alone.
#[test]
fn bitmap_states_that_do_not_exist_matter_where_a_block_needs_the_bitmap() {
    let (parent, child) = pair();
    for state in 1..6 {
        let mut child = child.clone();
        child.bitmap(0, child.at.bitmap[&0] | state);
        must_refuse(ask_pair(&parent, child.clone()), BAT_CORRUPT, DISK, &["bitmap 0"]);
        assert!(file(&child).metadata_parts().is_err(), "state {state}");
        let [finding] = &findings(&child)[..] else { panic!("{:?}", findings(&child)) };
        assert!(finding.contains("sector bitmap 0"), "{finding}");
        // Without the block that needs it:
        child.block(0, 2);
        assert_eq!(findings(&child), [""; 0], "state {state}");
        let parts = file(&child).metadata_parts().unwrap();
        assert!(parts.iter().all(|part| part.offset != child.at.bitmap[&0]), "state {state}");
        let answer = ask_pair(&parent, child).unwrap().ranges;
        assert_eq!(answer, changes(&[0..MB, 2 * MB..3 * MB]), "state {state}");
    }
}

/// A bitmap that is said to be there and cannot be is no hindrance where nobody needs it, but a
/// finding.
#[test]
fn a_present_bitmap_in_no_place_is_reported() {
    let (parent, mut child) = pair();
    child.block(0, 2);
    child.bitmap(0, (99 * MB) | FULL);
    let [finding] = &findings(&child)[..] else { panic!("{:?}", findings(&child)) };
    assert!(finding.contains("sector bitmap 0"), "{finding}");
    assert!(file(&child).metadata_parts().is_ok());
    let answer = ask_pair(&parent, child).unwrap().ranges;
    assert_eq!(answer, changes(&[0..MB, 2 * MB..3 * MB]));
}

/// A user's items may have any names, also those of system items, and come in any order.
#[test]
fn users_items_are_no_system_items() {
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
    assert_eq!(file(&image).metadata().virtual_size, 4 * MB);
    assert_eq!(ask_single(image).unwrap().ranges, single_allocated());
}

/// As `qemu-img create` makes it when told to.
#[test]
fn a_disk_of_no_bytes_has_no_ranges() {
    let disk = || VhdxBuilder::new(0).disk_id(Uuid::from_u128(0xD15C));
    let image = Image::new(&disk());
    assert_eq!(findings(&image), [""; 0]);
    assert!(content(&image).is_empty());
    let answer = ask_single(image.clone()).unwrap();
    assert_eq!((answer.processed_byte_length, answer.ranges.len()), (0, 0));
    // Under a child, and above a parent.
    let child = Image::new(&child_of(&image.at));
    assert_eq!(ask_pair(&image, child).unwrap().ranges, child_changes());
    let parent = Image::new(&parent());
    let empty = Image::new(&disk().parent(locator(&parent.at)));
    assert_eq!(findings(&empty), [""; 0]);
    assert!(ask_pair(&parent, empty).unwrap().ranges.is_empty());
}
