//! Unusual files that are valid: each must be read, with the right answer.

use super::support::*;
use vhdx_rct_fixtures::vhdx::{LogStart, PAGE, Target};

const ODD: Uuid = Uuid::from_u128(0x0DD);

fn must_read_each<const N: usize>(files: [(&str, VhdxBuilder); N]) {
    for (name, builder) in files {
        must_read(name, Image::new(&builder));
    }
}

type Edit = fn(&mut Image);

fn must_read_each_edited(edits: &[(&str, Edit)]) {
    for (name, edit) in edits {
        let mut image = Image::new(&single());
        edit(&mut image);
        must_read(name, image);
    }
}

fn must_read(name: &str, image: Image) {
    match ask_single(image) {
        Ok(answer) => assert_eq!(answer.ranges, single_allocated(), "{name}"),
        Err(error) => panic!("{name}: {error}"),
    }
}

#[test]
fn accepts_unusual_headers_and_lengths() {
    must_read_each([
        ("identical headers", single().headers(HeaderPlan::Identical)),
        ("the first is newer", single().headers(HeaderPlan::FirstCurrent)),
        ("the second is newer", single().headers(HeaderPlan::SecondCurrent)),
        ("the first is the only one", single().headers(HeaderPlan::FirstOnly)),
        ("the second is the only one", single().headers(HeaderPlan::SecondOnly)),
        ("a byte more than whole megabytes", single().trailing(1)),
        ("half a megabyte more", single().trailing(MB / 2 + 1)),
    ]);
    must_read_each_edited(&[
        ("a log version without a log", |i| i.headers(64, [9, 0])),
        ("no place for a log", |i| i.headers(68, [0; 12])),
        ("a place for a log of no length", |i| i.headers(68, [0; 4])),
        ("a creator that is not UTF-16", |i| i.put(8, [0x00, 0xD8, 0xFF, 0xFF, 0xFF])),
        ("a creator of halves", |i| i.put(8, [0x00, 0xDC].repeat(256))),
        ("a creator of unknown characters", |i| i.put(8, [0xFF; 512])),
        ("a creator of line breaks", |i| i.put(8, [0x0A; 512])),
        ("no creator", |i| i.put(8, [0; 512])),
    ]);
}

#[test]
fn accepts_a_single_region_table_and_unusual_regions() {
    must_read_each_edited(&[
        ("one region table", |i| i.put(i.at.region_table_offsets[0], [0xEE; 64 << 10])),
        ("the other region table", |i| i.put(i.at.region_table_offsets[1], [0xEE; 64 << 10])),
    ]);
    must_read_each([
        ("regions that are not marked as required", single().required_flags(false)),
        ("an unknown optional region", single().extra_region(ODD, false)),
    ]);
}

#[test]
fn accepts_unusual_metadata_items() {
    let odd = |content: &[u8], flags| single().extra_metadata(ODD, content, flags);
    let geometry = |flags| single().extra_metadata(ids::CHS_PARAMETERS, &[9; 8], flags);
    must_read_each([
        ("an unknown item", odd(&[1; 9], 0)),
        ("a user's item", odd(&[1; 9], 1)),
        ("an item of the disk", odd(&[1; 9], 2)),
        ("a geometry", geometry(0)),
        ("a geometry of the disk that is required", geometry(2 | 4)),
        ("an empty item", odd(&[], 0)),
        ("a user's empty item", odd(&[], 1)),
        ("a label area", single().extra_metadata(ids::PMEM_LABEL_AREA, &[7; 99], 0)),
        ("a large item", odd(&vec![1; 1 << 20], 0)),
    ]);
}

#[test]
fn accepts_unusual_bat_entries() {
    let anchored = |place| {
        let anchor = Some(place);
        single().block(1, Block::Zero { anchor }).block(3, Block::Unmapped { anchor })
    };
    must_read_each([
        ("anchors in the header section", anchored(0)),
        ("anchors in the log", anchored(1)),
        ("anchors on another block", anchored(4)),
        ("anchors after the end", anchored(1 << 30)),
        ("an undefined block", single().block(3, Block::Undefined { anchor: Some(2) })),
        ("an absent block", single().block(3, Block::NotPresent { anchor: Some(3) })),
    ]);
    must_read_each_edited(&[
        ("two blocks in one place", |i| i.block(2, i.at.payload[&0] | 6)),
        ("junk after the last entry", |i| i.put(i.at.bat_entry_offset(4), [0xED; 800])),
    ]);
}

#[test]
fn accepts_a_disk_that_ends_inside_its_last_block() {
    let mut image = Image::new(&single());
    image.item(ids::VIRTUAL_DISK_SIZE, 0, (3 * MB - 512).to_le_bytes());
    assert_eq!(ask_single(image).unwrap().ranges, changes(&[0..MB, 2 * MB..3 * MB - 512]));
}

/// Among the entries of 5 GiB in blocks of 1 MiB is one of a sector bitmap.
#[test]
fn ignores_bitmaps_of_a_disk_without_a_parent() {
    let disk = VhdxBuilder::new(5 << 30).force_bitmap(0).block(4095, Block::Full(Fill(1)));
    let mut image = Image::new(&disk.block(4096, Block::Full(Fill(2))));
    for entry in [image.at.bitmap[&0] | 6, 6, (999 * MB) | 6, 0] {
        image.bitmap(0, entry);
        let answer = ask_single(image.clone()).unwrap();
        assert_eq!(answer.ranges, changes(&[4095 * MB..4097 * MB]));
    }
}

#[test]
fn replays_unusual_logs() {
    let targets = vec![Target::RegionTables, Target::Metadata, Target::Bat, Target::Payload(0)];
    let all = DirtyLog { targets, entries: 3, stale_junk: true, ..DirtyLog::default() };
    let dirty = |set: fn(&mut DirtyLog)| {
        let mut log = all.clone();
        set(&mut log);
        single().log(LogPlan::Dirty(log))
    };
    must_read_each([
        ("entries in an empty log", single().log(LogPlan::Remains(all.clone()))),
        ("everything through the log", dirty(|_| {})),
        ("a log that wraps", dirty(|log| log.start = LogStart::Wrap(0))),
        ("a log from the last sector on", dirty(|log| log.start = LogStart::At(MB - PAGE))),
        ("a head without descriptors", dirty(|log| log.empty_head = true)),
        ("pages written twice", dirty(|log| log.rewrites = true)),
        ("older entries that claim a longer file", dirty(|log| log.early_flushed = true)),
        ("a torn entry", dirty(|log| log.torn = true)),
        ("a whole entry after a torn one", dirty(|log| (log.torn, log.after_torn) = (true, true))),
        ("file offsets that are not rounded", dirty(|log| log.unrounded = true)),
        (
            "a file that will be longer by no whole megabytes",
            dirty(|log| (log.unrounded, log.cut_file) = (true, true)),
        ),
        ("entries of another log", dirty(|log| log.foreign = true)),
        ("an older sequence", dirty(|log| log.older = true)),
        ("entries before the tail", dirty(|log| log.retired = 2)),
        ("a file shorter than it will be", dirty(|log| log.cut_file = true)),
        ("a log of 2 MiB", dirty(|_| {}).log_length(2 * MB)),
    ]);
}

#[test]
fn accepts_unusual_locators() {
    let parent = Image::new(&parent());
    let linkage = parent.at.data_write_guid;
    let new = || ParentLocator::new(linkage);
    let named = || locator(&parent.at);
    let odd = ParentLocator::new(ODD).linkage2(linkage).relative(r".\base.vhdx");
    let locators = [
        ("one linkage", named()),
        ("a second linkage of zero", new().linkage2(Uuid::nil()).relative(r".\base.vhdx")),
        ("a second linkage", odd),
        ("no dot", new().relative("base.vhdx")),
        ("another letter case", new().relative(r".\BASE.vhdx")),
        ("a directory up and down", new().relative(r"..\disks\base.vhdx")),
        ("only a path of another machine", new().absolute(r"X:\VMs\base.vhdx")),
        ("an unknown key", new().entry("note", "none").relative(r".\base.vhdx")),
        ("a long key", new().entry(&"k".repeat(400), "v").relative(r".\base.vhdx")),
        ("an empty key", new().entry("", "").relative(r".\base.vhdx")),
        ("as many entries as fit", (0..60_000).fold(named(), |all, _| all.entry("k", "v"))),
    ];
    for (name, locator) in locators {
        let child = Image::new(&child().parent(locator));
        assert_eq!(ask_pair(&parent, child).unwrap().ranges, child_changes(), "{name}");
    }
}

#[test]
fn reports_the_changed_states_of_a_child() {
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

/// A bit counts only in a partially present block.
#[test]
fn ignores_bits_of_other_blocks() {
    let parent = Image::new(&parent());
    let child = Image::new(&child_of(&parent.at).inverted_bitmaps(true));
    assert_eq!(ask_pair(&parent, child).unwrap().ranges, child_changes());
}

#[test]
fn accepts_a_child_larger_than_its_parent() {
    let (parent, mut image) = pair();
    image.item(ids::VIRTUAL_DISK_SIZE, 0, (8 * MB).to_le_bytes());
    image.block(6, 2);
    let mut expected = child_changes();
    expected.extend(changes(&[6 * MB..7 * MB]));
    assert_eq!(ask_pair(&parent, image).unwrap().ranges, expected);
}

#[test]
fn ignores_invalid_entries_outside_the_region() {
    let mut image = Image::new(&single());
    image.block(3, 5);
    let disk = open_single(&image).unwrap();
    let ask = |region| disk.changes(Baseline::Allocated).region(region).collect();
    assert_eq!(ask(0..3 * MB).unwrap().ranges, single_allocated());
    must_refuse(ask(0..3 * MB + 1), BAT_CORRUPT, THE_DISK, "block 3");
}

#[test]
fn accepts_regions_at_the_edges_of_the_disk() {
    let disk = open_single(&Image::new(&single())).unwrap();
    let regions = [(0..4 * MB, 2), (4 * MB..4 * MB, 0), (0..0, 0), (MB - 1..2 * MB + 1, 2)];
    for (region, expected) in regions {
        let length = region.end - region.start;
        let answer = disk.changes(Baseline::Allocated).region(region).collect().unwrap();
        assert_eq!((answer.processed_byte_length, answer.ranges.len()), (length, expected));
    }
}
