//! BAT entries that contradict the format or the file.

use super::support::*;
use crate::common::image::Image;
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{MB, VhdxBuilder};

const FULL: u64 = 6;
const PARTIAL: u64 = 7;

#[test]
fn blocks_of_a_disk_without_parent() {
    let cases = [
        case("state 4", |i| i.block(1, 4), BAT_CORRUPT, &["block 1", "0x0000000000000004"]),
        case("state 5", |i| i.block(3, 5), BAT_CORRUPT, &["block 3"]),
        case("partial at 0", |i| i.block(0, PARTIAL), BAT_CORRUPT, &["block 0", "header section"]),
        case(
            "partial behind the end",
            |i| i.block(2, (99 * MB) | PARTIAL),
            BAT_CORRUPT,
            &["block 2", "0x0000000006300007"],
        ),
        case("at 0", |i| i.block(0, FULL), BAT_CORRUPT, &["block 0", "header section"]),
        case("in the headers", |i| i.block(0, (MB / 16) | FULL), BAT_CORRUPT, &["header section"]),
        case("in the log", |i| i.block(0, MB | FULL), BAT_CORRUPT, &["0x0000000000100006", "log"]),
        case(
            "in the metadata",
            |i| i.block(0, (2 * MB) | FULL),
            BAT_CORRUPT,
            &["0x0000000000200006"],
        ),
        case("in the BAT", |i| i.block(0, (3 * MB) | FULL), BAT_CORRUPT, &["BAT"]),
        case("at the end", |i| i.block(0, (6 * MB) | FULL), BAT_CORRUPT, &["0x600000"]),
        case("behind the end", |i| i.block(3, (999 * MB) | FULL), BAT_CORRUPT, &["block 3"]),
        case(
            "at 2^64 - 1 MB",
            |i| i.block(3, 0_u64.wrapping_sub(MB) | FULL),
            BAT_CORRUPT,
            &["block 3"],
        ),
        case(
            "across the end",
            |i| i.bytes.truncate(6 * MB as usize - 512),
            BAT_CORRUPT,
            &["block 2", "0x5ffe00"],
        ),
    ];
    refuse_each(&Image::new(&single()), &cases, ask_single);
}

/// Blocks of 2 MB, so that one can begin outside a region and end inside.
#[test]
fn rejects_blocks_that_overlap_other_structures() {
    let mut image = Image::new(&VhdxBuilder::new(4 * MB).block_size(2 * MB));
    // The BAT moves to where there is a megabyte free before it.
    let free = image.bytes.len() as u64;
    image.bytes.resize((free + 4 * MB) as usize, 0);
    image.region_tables(16 + 16, (free + MB).to_le_bytes());
    image.put(free + MB, (free | FULL).to_le_bytes());
    must_refuse(ask_single(image), BAT_CORRUPT, THE_DISK, &["block 0", "BAT"]);
}

#[test]
fn rejects_a_block_inside_an_unknown_region() {
    let id = uuid::Uuid::from_u128(0xF00);
    let mut image = Image::new(&single().extra_region(id, false));
    let place = image.at.extra_regions[&id];
    image.block(0, place | FULL);
    must_refuse(ask_single(image), BAT_CORRUPT, THE_DISK, &["block 0", "region"]);
}

#[test]
fn blocks_and_bitmaps_of_a_child() {
    let cases = [
        case("state 4", |i| i.block(1, 4), BAT_CORRUPT, &["block 1"]),
        case("state 5", |i| i.block(3, (9 * MB) | 5), BAT_CORRUPT, &["block 3"]),
        case("partial at 0", |i| i.block(0, PARTIAL), BAT_CORRUPT, &["block 0"]),
        case(
            "partial behind the end",
            |i| i.block(0, (99 * MB) | PARTIAL),
            BAT_CORRUPT,
            &["block 0"],
        ),
        case("partial in the BAT", |i| i.block(0, (3 * MB) | PARTIAL), BAT_CORRUPT, &["block 0"]),
        case("no bitmap", |i| i.bitmap(0, 0), BAT_CORRUPT, &["bitmap 0"]),
        case("no bitmap, an offset", |i| i.bitmap(0, 6 * MB), BAT_CORRUPT, &["bitmap 0"]),
        case("bitmap state 1", |i| i.bitmap(0, (6 * MB) | 1), BAT_CORRUPT, &["bitmap 0"]),
        case("bitmap state 2", |i| i.bitmap(0, (6 * MB) | 2), BAT_CORRUPT, &["bitmap 0"]),
        case("bitmap state 3", |i| i.bitmap(0, (6 * MB) | 3), BAT_CORRUPT, &["bitmap 0"]),
        case("bitmap state 4", |i| i.bitmap(0, (6 * MB) | 4), BAT_CORRUPT, &["bitmap 0"]),
        case("bitmap state 5", |i| i.bitmap(0, (6 * MB) | 5), BAT_CORRUPT, &["bitmap 0"]),
        case("bitmap state 7 at 0", |i| i.bitmap(0, 7), BAT_CORRUPT, &["bitmap 0"]),
        case("bitmap at 0", |i| i.bitmap(0, 6), BAT_CORRUPT, &["bitmap 0"]),
        case("bitmap in the log", |i| i.bitmap(0, MB | 6), BAT_CORRUPT, &["bitmap 0"]),
        case("bitmap behind the end", |i| i.bitmap(0, (99 * MB) | 6), BAT_CORRUPT, &["bitmap 0"]),
        case(
            "bitmap across the end",
            |i| i.bytes.truncate(7 * MB as usize - 1),
            BAT_CORRUPT,
            &["bitmap 0"],
        ),
    ];
    let (parent, child) = pair();
    refuse_each(&child, &cases, |child| ask_pair(&parent, child));
}

/// A parent's entry is looked at where the question goes through to it, and then it is the
/// parent that is named.
#[test]
fn a_parents_entry() {
    let (mut parent, child) = pair();
    parent.block(3, 4);
    let answer = ask(files(&parent, &child), DISK, vhdx_rct::Baseline::Allocated);
    must_refuse(answer, BAT_CORRUPT, THE_PARENT, &["block 3"]);
    assert_eq!(ask_pair(&parent, child).unwrap().ranges, child_changes());
}

/// A fixed disk follows the same rules.
#[test]
fn a_fixed_disk() {
    let mut image = Image::new(&single().fixed(true).all_blocks_full(Fill(9)));
    image.block(2, (64 * MB) | FULL);
    must_refuse(ask_single(image), BAT_CORRUPT, THE_DISK, &["block 2"]);
}
