//! What looks odd and is right: each of these files must be read, with the right answer.

use super::support::*;
use crate::common::image::Image;
use crate::common::memory::{MemoryStorage, WithFile};
use uuid::Uuid;
use vhdx_rct::{Baseline, ByteRange};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{
    Block, DirtyLog, HeaderPlan, LogPlan, LogStart, MB, PAGE, ParentLocator, Target, VhdxBuilder,
    ids,
};

const ODD: Uuid = Uuid::from_u128(0x0DD);

fn must_read_each<const N: usize>(files: [(&str, Image); N]) {
    for (name, image) in files {
        match ask_single(image) {
            Ok(answer) => assert_eq!(answer.ranges, single_allocated(), "{name}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

fn edited(builder: VhdxBuilder, edit: fn(&mut Image)) -> Image {
    let mut image = Image::new(&builder);
    edit(&mut image);
    image
}

#[test]
fn headers_and_lengths() {
    let with = |headers| Image::new(&single().headers(headers));
    must_read_each([
        ("identical headers", with(HeaderPlan::Identical)),
        ("the first is newer", with(HeaderPlan::FirstCurrent)),
        ("the second is newer", with(HeaderPlan::SecondCurrent)),
        ("the first is the only one", with(HeaderPlan::FirstOnly)),
        ("the second is the only one", with(HeaderPlan::SecondOnly)),
        ("a byte more than whole megabytes", Image::new(&single().trailing(1))),
        ("half a megabyte more", Image::new(&single().trailing(MB / 2 + 1))),
        ("a log version without a log", edited(single(), |i| i.headers(64, [9, 0]))),
        ("no place for a log", edited(single(), |i| i.headers(68, [0; 12]))),
        ("a place for a log of no length", edited(single(), |i| i.headers(68, [0; 4]))),
        (
            "a creator that is no text",
            edited(single(), |i| i.put(8, [0x00, 0xD8, 0xFF, 0xFF, 0xFF])),
        ),
        ("a creator of halves", edited(single(), |i| i.put(8, [0x00, 0xDC].repeat(256)))),
        ("a creator of unknown characters", edited(single(), |i| i.put(8, [0xFF; 512]))),
        ("a creator of line breaks", edited(single(), |i| i.put(8, [0x0A; 512]))),
        ("no creator", edited(single(), |i| i.put(8, [0; 512]))),
    ]);
}

#[test]
fn regions() {
    let junk = |image: &mut Image, table: usize| {
        let offset = image.at.region_table_offsets[table];
        image.put(offset, [0xEE; 64 << 10]);
    };
    let without = |table: usize| {
        let mut image = Image::new(&single());
        junk(&mut image, table);
        image
    };
    must_read_each([
        ("one region table", without(0)),
        ("the other region table", without(1)),
        ("regions that are not marked as required", Image::new(&single().required_flags(false))),
        (
            "an unknown region that need not be known",
            Image::new(&single().extra_region(ODD, false)),
        ),
    ]);
}

#[test]
fn metadata_items() {
    let odd = |flags| Image::new(&single().extra_metadata(ODD, &[1; 9], flags));
    let geometry =
        |flags| Image::new(&single().extra_metadata(ids::CHS_PARAMETERS, &[9; 8], flags));
    must_read_each([
        ("an unknown item", odd(0)),
        ("a user's item", odd(1)),
        ("an item of the disk", odd(2)),
        ("a geometry", geometry(0)),
        ("a geometry of the disk that is required", geometry(2 | 4)),
        ("an empty item", Image::new(&single().extra_metadata(ODD, &[], 0))),
        ("a user's empty item", Image::new(&single().extra_metadata(ODD, &[], 1))),
        ("a label area", Image::new(&single().extra_metadata(ids::PMEM_LABEL_AREA, &[7; 99], 0))),
        ("a large item", Image::new(&single().extra_metadata(ODD, &vec![1; 1 << 20], 0))),
    ]);
}

#[test]
fn blocks() {
    let anchored = |anchor| {
        let anchor = Some(anchor);
        let unmapped = Block::Unmapped { anchor };
        single().block(1, Block::Zero { anchor }).block(3, unmapped)
    };
    must_read_each([
        ("anchors in the header section", Image::new(&anchored(0))),
        ("anchors in the log", Image::new(&anchored(1))),
        ("anchors on another block", Image::new(&anchored(4))),
        ("anchors behind the end", Image::new(&anchored(1 << 30))),
        (
            "an undefined block",
            Image::new(&single().block(3, Block::Undefined { anchor: Some(2) })),
        ),
        ("an absent block", Image::new(&single().block(3, Block::NotPresent { anchor: Some(3) }))),
        ("two blocks in one place", edited(single(), |i| i.block(2, i.at.payload[&0] | 6))),
        (
            "junk behind the last entry",
            edited(single(), |i| i.put(i.at.bat_entry_offset(4), [0xED; 800])),
        ),
    ]);
}

#[test]
fn a_disk_that_ends_inside_its_last_block() {
    let answer = ask_single(edited(single(), |image| {
        image.item(ids::VIRTUAL_DISK_SIZE, 0, (3 * MB - 512).to_le_bytes());
    }));
    assert_eq!(answer.unwrap().ranges, changes(&[0..MB, 2 * MB..3 * MB - 512]));
}

/// 5 GB in blocks of 1 MB have an entry between that belongs to a bitmap.
#[test]
fn bitmaps_of_a_disk_without_parent() {
    let disk = VhdxBuilder::new(5 << 30).force_bitmap(0).block(4095, Block::Full(Fill(1)));
    let mut image = Image::new(&disk.block(4096, Block::Full(Fill(2))));
    for entry in [image.at.bitmap[&0] | 6, 6, (999 * MB) | 6, 0] {
        image.bitmap(0, entry);
        let answer = ask_single(image.clone()).unwrap();
        assert_eq!(answer.ranges, changes(&[4095 * MB..4097 * MB]));
    }
}

#[test]
fn logs() {
    let dirty = |log: DirtyLog| Image::new(&single().log(LogPlan::Dirty(log)));
    let targets = vec![Target::RegionTables, Target::Metadata, Target::Bat, Target::Payload(0)];
    let all = || DirtyLog {
        targets: targets.clone(),
        entries: 3,
        stale_junk: true,
        ..DirtyLog::default()
    };
    must_read_each([
        ("entries in an empty log", Image::new(&single().log(LogPlan::Remains(all())))),
        ("everything through the log", dirty(all())),
        ("a log that wraps", dirty(DirtyLog { start: LogStart::Wrap(0), ..all() })),
        (
            "a log that begins in the last sector",
            dirty(DirtyLog { start: LogStart::At(MB - PAGE), ..all() }),
        ),
        ("a head without descriptors", dirty(DirtyLog { empty_head: true, ..all() })),
        ("pages written twice", dirty(DirtyLog { rewrites: true, ..all() })),
        (
            "older entries that claim a longer file",
            dirty(DirtyLog { early_flushed: true, ..all() }),
        ),
        ("an entry that was not finished", dirty(DirtyLog { torn: true, ..all() })),
        (
            "a whole entry after one that was not finished",
            dirty(DirtyLog { torn: true, after_torn: true, ..all() }),
        ),
        ("file offsets that are not rounded", dirty(DirtyLog { unrounded: true, ..all() })),
        (
            "a file that will be longer by no whole megabytes",
            dirty(DirtyLog { unrounded: true, cut_file: true, ..all() }),
        ),
        ("entries of another log", dirty(DirtyLog { foreign: true, ..all() })),
        ("an older sequence", dirty(DirtyLog { older: true, ..all() })),
        ("entries behind the tail", dirty(DirtyLog { retired: 2, ..all() })),
        ("a file shorter than it will be", dirty(DirtyLog { cut_file: true, ..all() })),
        (
            "a log of two megabytes",
            Image::new(&single().log_length(2 * MB).log(LogPlan::Dirty(all()))),
        ),
    ]);
}

fn ask_child(parent: &Image, locator: ParentLocator) -> Vec<ByteRange> {
    ask_pair(parent, Image::new(&child().parent(locator))).unwrap().ranges
}

#[test]
fn locators() {
    let parent = Image::new(&parent());
    let linkage = parent.at.data_write_guid;
    let name = |locator: ParentLocator| locator.relative(r".\base.vhdx");
    let locators = [
        ("one linkage", name(ParentLocator::new(linkage))),
        ("a second linkage of zero", name(ParentLocator::new(linkage).linkage2(Uuid::nil()))),
        ("a second linkage", name(ParentLocator::new(ODD).linkage2(linkage))),
        ("no dot", ParentLocator::new(linkage).relative("base.vhdx")),
        ("another letter case", ParentLocator::new(linkage).relative(r".\BASE.vhdx")),
        ("a directory up and down", ParentLocator::new(linkage).relative(r"..\disks\base.vhdx")),
        (
            "only a path of another machine",
            ParentLocator::new(linkage).absolute(r"X:\VMs\base.vhdx"),
        ),
        ("a key that is not known", name(ParentLocator::new(linkage).entry("note", "none"))),
        ("a long key", name(ParentLocator::new(linkage).entry(&"k".repeat(400), "v"))),
        ("an empty key", name(ParentLocator::new(linkage).entry("", ""))),
    ];
    for (what, locator) in locators {
        assert_eq!(ask_child(&parent, locator), child_changes(), "{what}");
    }
}

#[test]
fn states_of_a_child() {
    let parent = Image::new(&parent());
    let states = [
        (Block::NotPresent { anchor: Some(4) }, false),
        (Block::Undefined { anchor: None }, true),
        (Block::Zero { anchor: Some(4) }, true),
        (Block::Unmapped { anchor: None }, true),
        (Block::Full(Fill::ZEROS), true),
        (Block::Partial { sectors: vec![], fill: Fill(1) }, false),
        (Block::Partial { sectors: vec![0..2048], fill: Fill(1) }, true),
    ];
    for (state, changed) in states {
        let child = Image::new(&child_of(&parent.at).block(1, state.clone()));
        let mut expected = child_changes();
        if changed {
            expected.splice(2.., changes(&[MB..3 * MB]));
        }
        assert_eq!(ask_pair(&parent, child).unwrap().ranges, expected, "{state:?}");
    }
}

/// Bitmaps lie where no block needs them: a bit counts only in a partially present block.
#[test]
fn bits_of_other_blocks() {
    let parent = Image::new(&parent());
    let child = Image::new(&child_of(&parent.at).inverted_bitmaps(true));
    assert_eq!(ask_pair(&parent, child).unwrap().ranges, child_changes());
}

#[test]
fn a_child_larger_than_its_parent() {
    let parent = Image::new(&parent());
    let larger = child_of(&parent.at);
    let mut image = Image::new(&larger);
    image.item(ids::VIRTUAL_DISK_SIZE, 0, (8 * MB).to_le_bytes());
    image.block(6, 2);
    let mut expected = child_changes();
    expected.extend(changes(&[6 * MB..7 * MB]));
    assert_eq!(ask_pair(&parent, image).unwrap().ranges, expected);
}

/// An entry is looked at where the question reaches it, and nowhere else.
#[test]
fn damage_outside_the_region_asked_about() {
    let mut image = Image::new(&single());
    image.block(3, 5);
    let disk = open(MemoryStorage::new().with(DISK, image.bytes), DISK).unwrap();
    let ask = |region| disk.changes(Baseline::Allocated).region(region).collect();
    assert_eq!(ask(0..3 * MB).unwrap().ranges, single_allocated());
    must_refuse(ask(0..3 * MB + 1), BAT_CORRUPT, THE_DISK, &["block 3"]);
}

#[test]
fn regions_at_the_edges_of_the_disk() {
    let disk = open_single(&Image::new(&single())).unwrap();
    for (region, expected) in
        [(0..4 * MB, 2), (4 * MB..4 * MB, 0), (0..0, 0), (MB - 1..2 * MB + 1, 2)]
    {
        let length = region.end - region.start;
        let answer = disk.changes(Baseline::Allocated).region(region).collect().unwrap();
        assert_eq!((answer.processed_byte_length, answer.ranges.len()), (length, expected));
    }
}
