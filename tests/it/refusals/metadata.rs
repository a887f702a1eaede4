//! The metadata region.

use super::support::*;

const BAD: Code = METADATA_CORRUPT;
const COUNT: u64 = 10;
/// Fields of a table entry.
const ID: u64 = 0;
const OFFSET: u64 = 16;
const LENGTH: u64 = 20;
const FLAGS: u64 = 24;

const USER: u32 = 1;
const REQUIRED: u32 = 4;
const UNKNOWN: Uuid = Uuid::from_u128(0xBEEF << 96);
const SIZE: Uuid = ids::VIRTUAL_DISK_SIZE;
const SECTOR: Uuid = ids::LOGICAL_SECTOR_SIZE;

fn table(image: &mut Image, at: u64, bytes: impl AsRef<[u8]>) {
    image.put(image.at.metadata_offset + at, bytes);
}

fn set(image: &mut Image, id: Uuid, field: u64, value: u32) {
    image.item_entry(id, field, value.to_le_bytes());
}

fn forget(image: &mut Image, id: Uuid) {
    image.item_entry(id, FLAGS, [0; 4]);
    image.item_entry(id, ID, [0xAB; 16]);
}

#[test]
fn rejects_invalid_metadata_tables() {
    refuse_single(&[
        ("signature", |i| table(i, 0, "atadatem"), BAD, "atadatem"),
        ("2048 entries", |i| table(i, COUNT, [0, 8]), BAD, "2048"),
        ("65535 entries", |i| table(i, COUNT, [0xFF; 2]), BAD, "65535"),
        ("no entry", |i| table(i, COUNT, [0; 2]), BAD, ""),
    ]);
}

#[test]
fn rejects_invalid_item_locations() {
    refuse_single(&[
        ("in the table", |i| set(i, SIZE, OFFSET, 0xFFF8), BAD, "0xfff8 & 2fa54224"),
        ("offset 0", |i| set(i, SIZE, OFFSET, 0), BAD, "2fa54224"),
        ("across the region's end", |i| set(i, SIZE, OFFSET, 0xF_FFFC), BAD, "0xffffc"),
        ("after the region", |i| set(i, SIZE, OFFSET, 0x10_0000), BAD, "0x100000"),
        ("at 2^32 - 1", |i| set(i, SIZE, OFFSET, u32::MAX), BAD, "0xffffffff"),
        ("longer than 1 MiB", |i| set(i, SIZE, LENGTH, (1 << 20) + 1), BAD, "1048577"),
        ("2^32 - 1 bytes", |i| set(i, SIZE, LENGTH, u32::MAX), BAD, "4294967295"),
        ("ends at 2^32", |i| set_both(i, 1 << 31, 1 << 31), BAD, "0x80000000"),
        ("too short", |i| set(i, SIZE, LENGTH, 4), BAD, "4 & 8"),
        ("empty", |i| set_both(i, 0, 0), BAD, "virtual disk size & found 0"),
        ("empty, not at 0", |i| set(i, SIZE, LENGTH, 0), BAD, "2fa54224 & 0 bytes & empty at 0"),
        ("overlapping", overlap, BAD, "overlap"),
        ("twice", |i| i.item_entry(ids::VIRTUAL_DISK_ID, ID, SIZE.to_bytes_le()), BAD, TWICE),
    ]);
}

const TWICE: &str = "twice & 2fa54224";

fn set_both(image: &mut Image, offset: u32, length: u32) {
    set(image, SIZE, OFFSET, offset);
    set(image, SIZE, LENGTH, length);
}

/// The disk's id begins inside its size.
fn overlap(image: &mut Image) {
    let (at, _) = image.at.metadata_items[&SIZE];
    let offset = at - image.at.metadata_offset + 4;
    set(image, ids::VIRTUAL_DISK_ID, OFFSET, offset as u32);
}

#[test]
fn rejects_missing_items() {
    refuse_single(&[
        ("parameters", |i| forget(i, ids::FILE_PARAMETERS), BAD, "file parameters"),
        ("size", |i| forget(i, SIZE), BAD, "size"),
        ("id", |i| forget(i, ids::VIRTUAL_DISK_ID), BAD, "id"),
        ("logical sector size", |i| forget(i, SECTOR), BAD, "sector size"),
        ("physical", |i| forget(i, ids::PHYSICAL_SECTOR_SIZE), BAD, "sector size"),
        ("locator", |i| i.item(ids::FILE_PARAMETERS, 4, [2]), BAD, "parent locator"),
    ]);
}

#[test]
fn rejects_unknown_required_and_incomplete_file_items() {
    let cases = [
        ("unknown", UNKNOWN, REQUIRED, UNKNOWN_PART, "0000beef"),
        ("unknown, of a user", UNKNOWN, REQUIRED | USER, UNKNOWN_PART, "0000beef"),
        ("incomplete", ids::INCOMPLETE_FILE, 0, IN_USE, "creation"),
        ("incomplete, of the disk", ids::INCOMPLETE_FILE, 2, IN_USE, "creation"),
        ("incomplete, required", ids::INCOMPLETE_FILE, REQUIRED, IN_USE, "creation"),
        ("a user's size, required", SIZE, REQUIRED | USER, UNKNOWN_PART, "2fa54224"),
    ];
    for (name, id, flags, code, says) in cases {
        let image = Image::new(&single().extra_metadata(id, &[0xFF; 8], flags));
        must_refuse_case(name, ask_single(image), code, THE_DISK, says);
    }
}

/// An item is identified by its id and its owner: a user's item does not replace a system item.
#[test]
fn rejects_user_items_in_place_of_system_items() {
    refuse_single(&[
        ("optional", |i| set(i, SECTOR, FLAGS, USER), BAD, "no"),
        ("required", |i| set(i, SECTOR, FLAGS, REQUIRED | USER), UNKNOWN_PART, "8141bf1d"),
    ]);
    let twice = single().extra_metadata(SIZE, &[0xFF; 8], USER);
    let twice = Image::new(&twice.extra_metadata(SIZE, &[1; 8], USER));
    must_refuse(ask_single(twice), BAD, THE_DISK, TWICE);
}

#[test]
fn rejects_invalid_block_disk_and_sector_sizes() {
    fn block(image: &mut Image, size: u32) {
        image.item(ids::FILE_PARAMETERS, 0, size.to_le_bytes());
    }
    fn size(image: &mut Image, size: u64) {
        image.item(SIZE, 0, size.to_le_bytes());
    }
    fn logical(image: &mut Image, size: u32) {
        image.item(SECTOR, 0, size.to_le_bytes());
    }
    fn physical(image: &mut Image, size: u32) {
        image.item(ids::PHYSICAL_SECTOR_SIZE, 0, size.to_le_bytes());
    }
    refuse_single(&[
        ("block 0", |i| block(i, 0), BAD, "block size &  0 "),
        ("block 3", |i| block(i, 3), BAD, "block size &  3 "),
        ("block 512 KiB", |i| block(i, 1 << 19), BAD, "524288"),
        ("block 3 MiB", |i| block(i, 3 << 20), BAD, "3145728"),
        ("block 512 MiB", |i| block(i, 1 << 29), BAD, "536870912"),
        ("block 2 GiB", |i| block(i, 1 << 31), BAD, "2147483648"),
        ("block 2^32 - 1", |i| block(i, u32::MAX), BAD, "4294967295"),
        ("half a sector", |i| size(i, (4 << 20) + 256), BAD, "4194560"),
        ("above 64 TiB", |i| size(i, (64 << 40) + 512), BAD, "70368744178176"),
        ("2^63 bytes", |i| size(i, 1 << 63), BAD, "9223372036854775808"),
        ("2^64 - 512 bytes", |i| size(i, 512_u64.wrapping_neg()), BAD, ""),
        ("logical 0", |i| logical(i, 0), BAD, "logical & 0"),
        ("logical 1", |i| logical(i, 1), BAD, "logical & 1"),
        ("logical 1024", |i| logical(i, 1024), BAD, "logical & 1024"),
        ("logical 2^31", |i| logical(i, 1 << 31), BAD, "2147483648"),
        ("physical 0", |i| physical(i, 0), BAD, "physical & 0"),
        ("physical 8192", |i| physical(i, 8192), BAD, "physical & 8192"),
    ]);
}

/// With large sectors, a size of whole small sectors is refused too.
#[test]
fn rejects_half_a_large_sector() {
    let mut image = Image::new(&single().logical_sector_size(4096));
    image.item(SIZE, 0, ((4_u64 << 20) - 512).to_le_bytes());
    must_refuse(ask_single(image), BAD, THE_DISK, "4193792");
}
