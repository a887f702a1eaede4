//! BAT entries that contradict the format or the file.

use super::support::*;

const BAD: Code = BAT_CORRUPT;
const FULL: u64 = 6;
const PARTIAL: u64 = 7;

#[test]
fn rejects_invalid_blocks_of_a_disk_without_a_parent() {
    refuse_single(&[
        ("state 4", |i| i.block(1, 4), BAD, "block 1 & 0x0000000000000004"),
        ("state 5", |i| i.block(3, 5), BAD, "block 3"),
        ("partial at 0", |i| i.block(0, PARTIAL), BAD, "block 0 & header section"),
        ("partial after the end", |i| i.block(2, (99 * MB) | PARTIAL), BAD, PARTIAL_AFTER_END),
        ("at 0", |i| i.block(0, FULL), BAD, "block 0 & header section"),
        ("in the headers", |i| i.block(0, (MB / 16) | FULL), BAD, "header section"),
        ("in the log", |i| i.block(0, MB | FULL), BAD, "0x0000000000100006 & log"),
        ("in the metadata", |i| i.block(0, (2 * MB) | FULL), BAD, "0x0000000000200006"),
        ("in the BAT", |i| i.block(0, (3 * MB) | FULL), BAD, "BAT"),
        ("at the end", |i| i.block(0, (6 * MB) | FULL), BAD, "0x600000"),
        ("after the end", |i| i.block(3, (999 * MB) | FULL), BAD, "block 3"),
        ("at 2^64 - 1 MiB", |i| i.block(3, MB.wrapping_neg() | FULL), BAD, "block 3"),
        ("across the end", |i| i.bytes.truncate((6 << 20) - 512), BAD, "block 2 & 0x5ffe00"),
    ]);
}

const PARTIAL_AFTER_END: &str = "block 2 & 0x0000000006300007";

/// Blocks of 2 MiB, so that one can begin outside a region and end inside.
#[test]
fn rejects_blocks_that_overlap_other_structures() {
    let mut image = Image::new(&VhdxBuilder::new(4 * MB).block_size(2 * MB));
    // The BAT moves, with a free mebibyte before it.
    let free = image.bytes.len() as u64;
    image.bytes.resize((free + 4 * MB) as usize, 0);
    image.region_tables(16 + 16, (free + MB).to_le_bytes());
    image.put(free + MB, (free | FULL).to_le_bytes());
    must_refuse(ask_single(image), BAD, THE_DISK, "block 0 & BAT");
}

#[test]
fn rejects_a_block_inside_an_unknown_region() {
    let id = uuid::Uuid::from_u128(0xF00);
    let mut image = Image::new(&single().extra_region(id, false));
    image.block(0, image.at.extra_regions[&id] | FULL);
    must_refuse(ask_single(image), BAD, THE_DISK, "block 0 & region");
}

#[test]
fn rejects_invalid_blocks_and_bitmaps_of_a_child() {
    refuse_child(&[
        ("state 4", |i| i.block(1, 4), BAD, "block 1"),
        ("state 5", |i| i.block(3, (9 * MB) | 5), BAD, "block 3"),
        ("partial at 0", |i| i.block(0, PARTIAL), BAD, "block 0"),
        ("partial after the end", |i| i.block(0, (99 * MB) | PARTIAL), BAD, "block 0"),
        ("partial in the BAT", |i| i.block(0, (3 * MB) | PARTIAL), BAD, "block 0"),
        ("no bitmap", |i| i.bitmap(0, 0), BAD, "bitmap 0"),
        ("no bitmap, an offset", |i| i.bitmap(0, 6 * MB), BAD, "bitmap 0"),
        ("bitmap state 1", |i| i.bitmap(0, (6 * MB) | 1), BAD, "bitmap 0"),
        ("bitmap state 2", |i| i.bitmap(0, (6 * MB) | 2), BAD, "bitmap 0"),
        ("bitmap state 3", |i| i.bitmap(0, (6 * MB) | 3), BAD, "bitmap 0"),
        ("bitmap state 4", |i| i.bitmap(0, (6 * MB) | 4), BAD, "bitmap 0"),
        ("bitmap state 5", |i| i.bitmap(0, (6 * MB) | 5), BAD, "bitmap 0"),
        ("bitmap state 7 at 0", |i| i.bitmap(0, 7), BAD, "bitmap 0"),
        ("bitmap at 0", |i| i.bitmap(0, 6), BAD, "bitmap 0"),
        ("bitmap in the log", |i| i.bitmap(0, MB | 6), BAD, "bitmap 0"),
        ("bitmap after the end", |i| i.bitmap(0, (99 * MB) | 6), BAD, "bitmap 0"),
        ("bitmap across the end", |i| i.bytes.truncate((7 << 20) - 1), BAD, "bitmap 0"),
    ]);
}

/// A parent's entry is read if the question reaches it, and then the error names the parent.
#[test]
fn rejects_a_parents_invalid_entry_if_the_question_reaches_it() {
    let (mut parent, child) = pair();
    parent.block(3, 4);
    let answer = ask(files(&parent, &child), DISK, vhdx_rct::Baseline::Allocated);
    must_refuse(answer, BAD, THE_PARENT, "block 3");
    assert_eq!(ask_pair(&parent, child).unwrap().ranges, child_changes());
}

#[test]
fn rejects_an_invalid_block_of_a_fixed_disk() {
    let mut image = Image::new(&single().fixed(true).all_blocks_full(Fill(9)));
    image.block(2, (64 * MB) | FULL);
    must_refuse(ask_single(image), BAD, THE_DISK, "block 2");
}
