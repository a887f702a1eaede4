//! The region tables.

use super::support::*;
use crate::common::image::Image;
use uuid::Uuid;
use vhdx_rct_fixtures::vhdx::{MB, put};

const COUNT: u64 = 8;
/// The builder's order: the BAT, the metadata, then what else there is.
const BAT: u64 = 16;
const METADATA: u64 = 48;
const FREE: u64 = 80;
const OFFSET: u64 = 16;
const LENGTH: u64 = 24;

#[test]
fn region_tables() {
    let cases = [
        case("no signature", |i| i.region_tables(0, "iger"), CORRUPT, &["region table"]),
        case("no checksum", unsealed, CORRUPT, &["region table", "CRC"]),
        case(
            "2048 entries",
            |i| i.region_tables(COUNT, 2048_u32.to_le_bytes()),
            CORRUPT,
            &["2048"],
        ),
        case("2^32 - 1 entries", |i| i.region_tables(COUNT, [0xFF; 4]), CORRUPT, &["4294967295"]),
        case(
            "an unknown one in the BAT's place",
            |i| i.region_tables(BAT, [0xAB; 16]),
            UNKNOWN_PART,
            &["abababab"],
        ),
        case("no BAT, optional", |i| forget(i, BAT), CORRUPT, &["BAT"]),
        case("no metadata, optional", |i| forget(i, METADATA), CORRUPT, &["metadata"]),
        case("no entry at all", |i| i.region_tables(COUNT, [0; 4]), CORRUPT, &["BAT"]),
        case("an unknown one that is required", unknown_required, UNKNOWN_PART, &["0000beef"]),
    ];
    refuse_each(&Image::new(&single()), &cases, ask_single);
}

fn unsealed(image: &mut Image) {
    for table in image.at.region_table_offsets {
        image.put(table + 40_000, [1]);
    }
}

/// Makes an entry that of an unknown region that need not be understood.
fn forget(image: &mut Image, entry: u64) {
    image.region_tables(entry, [0xAB; 16]);
    image.region_tables(entry + 28, [0; 4]);
}

fn unknown_required(image: &mut Image) {
    entry(image, Uuid::from_u128(0xBEEF << 96), 32 * MB, MB, 1);
}

/// Adds a third entry.
fn entry(image: &mut Image, id: Uuid, offset: u64, length: u64, flags: u32) {
    let mut entry = [0; 32];
    put(&mut entry, 0, id.to_bytes_le());
    put(&mut entry, 16, offset.to_le_bytes());
    put(&mut entry, 24, (length as u32).to_le_bytes());
    put(&mut entry, 28, flags.to_le_bytes());
    image.region_tables(FREE, entry);
    image.region_tables(COUNT, 3_u32.to_le_bytes());
}

#[test]
fn places_of_regions() {
    let cases = [
        case("offset 0", |i| place(i, BAT, 0), CORRUPT, &["0x0"]),
        case("in the header section", |i| place(i, METADATA, MB / 2), CORRUPT, &["0x80000"]),
        case("no whole megabytes", |i| place(i, BAT, 3 * MB + 512), CORRUPT, &["0x300200"]),
        case(
            "an overflow",
            |i| place(i, BAT, 0_u64.wrapping_sub(MB)),
            CORRUPT,
            &["0xfffffffffff00000"],
        ),
        case("a length of no whole megabytes", |i| long(i, BAT, MB + 4096), CORRUPT, &["0x101000"]),
        case("behind the end", |i| place(i, METADATA, 64 * MB), CUT_SHORT, &["0x4000000"]),
        case("at 2^63", |i| place(i, METADATA, 1 << 63), CUT_SHORT, &["0x8000000000000000"]),
        case("the BAT at 2^62", |i| place(i, BAT, 1 << 62), CUT_SHORT, &["0x4000000000000000"]),
        case(
            "of 4 GiB",
            |i| (place(i, METADATA, 64 * MB), long(i, METADATA, (4 << 30) - MB)).1,
            CUT_SHORT,
            &["0x4000000"],
        ),
        case(
            "over the top",
            |i| (place(i, METADATA, 0_u64.wrapping_sub(MB)), long(i, METADATA, 2 * MB)).1,
            CORRUPT,
            &["0xfffffffffff00000", "0x200000"],
        ),
        case("one place for two", |i| place(i, BAT, 2 * MB), CORRUPT, &["overlap", "0x200000"]),
        case("one into the next", |i| long(i, METADATA, 2 * MB), CORRUPT, &["overlap", "0x300000"]),
        case("in the log", |i| place(i, METADATA, MB), CORRUPT, &["overlap", "0x100000"]),
        case(
            "an unknown one on the BAT",
            |i| entry(i, Uuid::max(), 3 * MB, MB, 0),
            CORRUPT,
            &["overlap"],
        ),
        case("two BATs", |i| entry(i, bat_id(), 32 * MB, MB, 1), CORRUPT, &["twice", "2dc27766"]),
        case("an unknown one twice", unknown_twice, CORRUPT, &["twice"]),
    ];
    refuse_each(&Image::new(&single()), &cases, ask_single);
}

fn place(image: &mut Image, entry: u64, offset: u64) {
    image.region_tables(entry + OFFSET, offset.to_le_bytes());
}

fn long(image: &mut Image, entry: u64, length: u64) {
    image.region_tables(entry + LENGTH, (length as u32).to_le_bytes());
}

fn bat_id() -> Uuid {
    "2DC27766-F623-4200-9D64-115E9BFD4A08".parse().unwrap()
}

fn unknown_twice(image: &mut Image) {
    entry(image, Uuid::max(), 32 * MB, MB, 0);
    let third: Vec<u8> = image.bytes[(192 << 10) + FREE as usize..][..32].to_vec();
    image.region_tables(FREE + 32, third);
    image.region_tables(FREE + 32 + OFFSET, (40 * MB).to_le_bytes());
    image.region_tables(COUNT, 4_u32.to_le_bytes());
}

/// A disk of 1 TiB has 2^20 blocks of 1 MiB, and a bitmap's entry after every 4096 of them.
#[test]
fn a_bat_too_small_for_its_disk() {
    for (size, entries) in [(1_u64 << 40, "1048831"), (64 << 40, "67125247")] {
        let mut image = Image::new(&single());
        image.item(vhdx_rct_fixtures::vhdx::ids::VIRTUAL_DISK_SIZE, 0, size.to_le_bytes());
        must_refuse(ask_single(image), BAT_CORRUPT, THE_DISK, &[entries, "131072"]);
    }
}
