//! The region tables.

use super::support::*;

const COUNT: u64 = 8;
/// The builder's order: the BAT, the metadata, then other regions.
const BAT: u64 = 16;
const METADATA: u64 = 48;
const FREE: u64 = 80;
const OFFSET: u64 = 16;
const LENGTH: u64 = 24;
const BAT_ID: Uuid = Uuid::from_u128(0x2DC27766_F623_4200_9D64_115E9BFD4A08);
const UNKNOWN: Uuid = Uuid::from_u128(0xBEEF << 96);

#[test]
fn rejects_invalid_region_tables() {
    refuse_single(&[
        ("no signature", |i| i.region_tables(0, "iger"), CORRUPT, "region table"),
        ("no checksum", put_unsealed, CORRUPT, "region table & CRC"),
        ("2048 entries", |i| i.region_tables(COUNT, [0, 8, 0, 0]), CORRUPT, "2048"),
        ("2^32 - 1 entries", |i| i.region_tables(COUNT, [0xFF; 4]), CORRUPT, "4294967295"),
        ("unknown, not BAT", |i| i.region_tables(BAT, [0xAB; 16]), UNKNOWN_PART, "abababab"),
        ("no BAT, optional", |i| make_unknown(i, BAT), CORRUPT, "BAT"),
        ("no metadata, optional", |i| make_unknown(i, METADATA), CORRUPT, "metadata"),
        ("no entry at all", |i| i.region_tables(COUNT, [0; 4]), CORRUPT, "BAT"),
        ("unknown, required", |i| add(i, UNKNOWN, 32 * MB, 1), UNKNOWN_PART, "0000beef"),
    ]);
}

fn put_unsealed(image: &mut Image) {
    for table in image.at.region_table_offsets {
        image.put(table + 40_000, [1]);
    }
}

/// Changes an entry to an unknown region that need not be understood.
fn make_unknown(image: &mut Image, entry: u64) {
    image.region_tables(entry, [0xAB; 16]);
    image.region_tables(entry + 28, [0; 4]);
}

/// Adds a third entry of 1 MiB.
fn add(image: &mut Image, id: Uuid, offset: u64, flags: u32) {
    let mut entry = [0; 32];
    put(&mut entry, 0, id.to_bytes_le());
    put(&mut entry, 16, offset.to_le_bytes());
    put(&mut entry, 24, (MB as u32).to_le_bytes());
    put(&mut entry, 28, flags.to_le_bytes());
    image.region_tables(FREE, entry);
    image.region_tables(COUNT, 3_u32.to_le_bytes());
}

#[test]
fn rejects_invalid_locations_of_regions() {
    const BEFORE_2_64: u64 = MB.wrapping_neg();
    refuse_single(&[
        ("offset 0", |i| set_offset(i, BAT, 0), CORRUPT, "0x0"),
        ("in the header section", |i| set_offset(i, METADATA, MB / 2), CORRUPT, "0x80000"),
        ("no whole megabytes", |i| set_offset(i, BAT, 3 * MB + 512), CORRUPT, "0x300200"),
        ("an overflow", |i| set_offset(i, BAT, BEFORE_2_64), CORRUPT, "0xfffffffffff00000"),
        ("no whole megabytes long", |i| set_length(i, BAT, MB + 4096), CORRUPT, "0x101000"),
        ("after the end", |i| set_offset(i, METADATA, 64 * MB), CUT_SHORT, "0x4000000"),
        ("at 2^63", |i| set_offset(i, METADATA, 1 << 63), CUT_SHORT, "0x8000000000000000"),
        ("the BAT at 2^62", |i| set_offset(i, BAT, 1 << 62), CUT_SHORT, "0x4000000000000000"),
        ("4 GiB long", |i| set(i, METADATA, 64 * MB, (4 << 30) - MB), CUT_SHORT, "0x4000000"),
        (
            "past 2^64",
            |i| set(i, METADATA, BEFORE_2_64, 2 * MB),
            CORRUPT,
            "0xfffffffffff00000 & 0x200000",
        ),
        ("two at one offset", |i| set_offset(i, BAT, 2 * MB), CORRUPT, "overlap & 0x200000"),
        ("into the next", |i| set_length(i, METADATA, 2 * MB), CORRUPT, "overlap & 0x300000"),
        ("in the log", |i| set_offset(i, METADATA, MB), CORRUPT, "overlap & 0x100000"),
        ("unknown, on the BAT", |i| add(i, Uuid::max(), 3 * MB, 0), CORRUPT, "overlap"),
        ("two BATs", |i| add(i, BAT_ID, 32 * MB, 1), CORRUPT, "twice & 2dc27766"),
        ("an unknown one twice", add_unknown_twice, CORRUPT, "twice"),
    ]);
}

fn set(image: &mut Image, entry: u64, offset: u64, length: u64) {
    set_offset(image, entry, offset);
    set_length(image, entry, length);
}

fn set_offset(image: &mut Image, entry: u64, offset: u64) {
    image.region_tables(entry + OFFSET, offset.to_le_bytes());
}

fn set_length(image: &mut Image, entry: u64, length: u64) {
    image.region_tables(entry + LENGTH, (length as u32).to_le_bytes());
}

fn add_unknown_twice(image: &mut Image) {
    add(image, Uuid::max(), 32 * MB, 0);
    let third: Vec<u8> = image.bytes[(192 << 10) + FREE as usize..][..32].to_vec();
    image.region_tables(FREE + 32, third);
    set_offset(image, FREE + 32, 40 * MB);
    image.region_tables(COUNT, 4_u32.to_le_bytes());
}

/// A disk of 1 TiB has 2^20 blocks of 1 MiB, and a bitmap's entry after every 4096 of them.
#[test]
fn rejects_a_bat_too_small_for_its_disk() {
    fn set_size(image: &mut Image, size: u64) {
        image.item(ids::VIRTUAL_DISK_SIZE, 0, size.to_le_bytes());
    }
    refuse_single(&[
        ("1 TiB", |i| set_size(i, 1 << 40), BAT_CORRUPT, "1048831 & 131072"),
        ("64 TiB", |i| set_size(i, 64 << 40), BAT_CORRUPT, "67125247 & 131072"),
    ]);
}
