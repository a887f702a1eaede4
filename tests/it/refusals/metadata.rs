//! The metadata region.

use super::support::*;
use crate::common::image::Image;
use uuid::Uuid;
use vhdx_rct_fixtures::vhdx::{Placement, ids};

const BAD: Code = METADATA_CORRUPT;
const COUNT: u64 = 10;
/// Fields of a table entry.
const ID: u64 = 0;
const OFFSET: u64 = 16;
const LENGTH: u64 = 20;
const FLAGS: u64 = 24;

const REQUIRED: u32 = 4;
const UNKNOWN: Uuid = Uuid::from_u128(0xBEEF << 96);

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
fn the_table() {
    let cases = [
        case("signature", |i| table(i, 0, "atadatem"), BAD, &["atadatem"]),
        case("2048 entries", |i| table(i, COUNT, [0, 8]), BAD, &["2048"]),
        case("65535 entries", |i| table(i, COUNT, [0xFF; 2]), BAD, &["65535"]),
        case("no entry", |i| table(i, COUNT, [0; 2]), BAD, &[]),
    ];
    refuse_each(&Image::new(&single()), &cases, ask_single);
}

#[test]
fn places_of_items() {
    const SIZE: Uuid = ids::VIRTUAL_DISK_SIZE;
    let cases = [
        case("in the table", |i| set(i, SIZE, OFFSET, 0xFFF8), BAD, &["0xfff8", "2fa54224"]),
        case("offset 0", |i| set(i, SIZE, OFFSET, 0), BAD, &["2fa54224"]),
        case("across the region's end", |i| set(i, SIZE, OFFSET, 0xF_FFFC), BAD, &["0xffffc"]),
        case("behind the region", |i| set(i, SIZE, OFFSET, 0x10_0000), BAD, &["0x100000"]),
        case("at 2^32", |i| set(i, SIZE, OFFSET, u32::MAX), BAD, &["0xffffffff"]),
        case("above 1 MB", |i| set(i, SIZE, LENGTH, (1 << 20) + 1), BAD, &["1048577"]),
        case("of 2^32 bytes", |i| set(i, SIZE, LENGTH, u32::MAX), BAD, &["4294967295"]),
        case(
            "that wraps to 0",
            |i| (set(i, SIZE, OFFSET, 1 << 31), set(i, SIZE, LENGTH, 1 << 31)).1,
            BAD,
            &["0x80000000"],
        ),
        case("too short", |i| set(i, SIZE, LENGTH, 4), BAD, &["4", "8"]),
        case("empty", empty, BAD, &["virtual disk size", "found 0"]),
        case(
            "empty, and not at 0",
            |i| set(i, SIZE, LENGTH, 0),
            BAD,
            &["2fa54224", "0 bytes", "empty at 0"],
        ),
        case("overlapping", overlap, BAD, &["overlap"]),
        case("twice", twice, BAD, &["twice", "2fa54224"]),
    ];
    refuse_each(&Image::new(&single()), &cases, ask_single);
}

fn empty(image: &mut Image) {
    set(image, ids::VIRTUAL_DISK_SIZE, LENGTH, 0);
    set(image, ids::VIRTUAL_DISK_SIZE, OFFSET, 0);
}

/// The disk's id begins inside its size.
fn overlap(image: &mut Image) {
    let (at, _) = image.at.metadata_items[&ids::VIRTUAL_DISK_SIZE];
    let offset = at - image.at.metadata_offset + 4;
    set(image, ids::VIRTUAL_DISK_ID, OFFSET, offset as u32);
}

/// The disk's id becomes a second size.
fn twice(image: &mut Image) {
    image.item_entry(ids::VIRTUAL_DISK_ID, ID, ids::VIRTUAL_DISK_SIZE.to_bytes_le());
}

#[test]
fn missing_items() {
    let cases = [
        case("parameters", |i| forget(i, ids::FILE_PARAMETERS), BAD, &["file parameters"]),
        case("size", |i| forget(i, ids::VIRTUAL_DISK_SIZE), BAD, &["size"]),
        case("id", |i| forget(i, ids::VIRTUAL_DISK_ID), BAD, &["id"]),
        case("sector", |i| forget(i, ids::LOGICAL_SECTOR_SIZE), BAD, &["sector size"]),
        case("physical", |i| forget(i, ids::PHYSICAL_SECTOR_SIZE), BAD, &["sector size"]),
        case("locator", |i| i.item(ids::FILE_PARAMETERS, 4, [2]), BAD, &["parent locator"]),
    ];
    refuse_each(&Image::new(&single()), &cases, ask_single);
}

#[test]
fn rejects_unknown_and_incomplete_file_items() {
    let unknown = Image::new(&single().extra_metadata(UNKNOWN, &[1; 8], REQUIRED));
    must_refuse(ask_single(unknown), UNKNOWN_PART, THE_DISK, &["0000beef"]);
    let user = Image::new(&single().extra_metadata(UNKNOWN, &[1; 8], REQUIRED | 1));
    must_refuse(ask_single(user), UNKNOWN_PART, THE_DISK, &["0000beef"]);
    for flags in [0, 2, REQUIRED] {
        let unfinished = Image::new(&single().extra_metadata(ids::INCOMPLETE_FILE, &[0; 8], flags));
        must_refuse(ask_single(unfinished), IN_USE, THE_DISK, &["creation"]);
    }
}

/// An item's name counts together with whose it is: a user's stands in for no system item, and
/// says nothing that a system item of its name would say.
#[test]
fn user_items_with_names_of_system_items() {
    const USER: u32 = 1;
    let user = |flags| single().extra_metadata(ids::VIRTUAL_DISK_SIZE, &[0xFF; 8], flags);
    let cases = [
        case("instead", |i| set(i, ids::LOGICAL_SECTOR_SIZE, FLAGS, 1), BAD, &["no"]),
        case(
            "instead, and required",
            |i| set(i, ids::LOGICAL_SECTOR_SIZE, FLAGS, REQUIRED | 1),
            UNKNOWN_PART,
            &["8141bf1d"],
        ),
    ];
    refuse_each(&Image::new(&single()), &cases, ask_single);
    must_refuse(
        ask_single(Image::new(&user(USER | REQUIRED))),
        UNKNOWN_PART,
        THE_DISK,
        &["2fa54224"],
    );
    let twice = user(USER).extra_metadata(ids::VIRTUAL_DISK_SIZE, &[1; 8], USER);
    must_refuse(ask_single(Image::new(&twice)), BAD, THE_DISK, &["twice", "2fa54224"]);
}

#[test]
fn values() {
    fn block(image: &mut Image, size: u32) {
        image.item(ids::FILE_PARAMETERS, 0, size.to_le_bytes());
    }
    fn size(image: &mut Image, size: u64) {
        image.item(ids::VIRTUAL_DISK_SIZE, 0, size.to_le_bytes());
    }
    fn logical(image: &mut Image, size: u32) {
        image.item(ids::LOGICAL_SECTOR_SIZE, 0, size.to_le_bytes());
    }
    fn physical(image: &mut Image, size: u32) {
        image.item(ids::PHYSICAL_SECTOR_SIZE, 0, size.to_le_bytes());
    }
    let cases = [
        case("block 0", |i| block(i, 0), BAD, &["block size", " 0 "]),
        case("block 3", |i| block(i, 3), BAD, &["block size", " 3 "]),
        case("block 512 KB", |i| block(i, 1 << 19), BAD, &["524288"]),
        case("block 3 MB", |i| block(i, 3 << 20), BAD, &["3145728"]),
        case("block 512 MB", |i| block(i, 1 << 29), BAD, &["536870912"]),
        case("block 2 GB", |i| block(i, 1 << 31), BAD, &["2147483648"]),
        case("block 2^32 - 1", |i| block(i, u32::MAX), BAD, &["4294967295"]),
        case("half a sector", |i| size(i, (4 << 20) + 256), BAD, &["4194560"]),
        case("above 64 TB", |i| size(i, (64 << 40) + 512), BAD, &["70368744178176"]),
        case("2^63 bytes", |i| size(i, 1 << 63), BAD, &["9223372036854775808"]),
        case("2^64 - 512 bytes", |i| size(i, 0_u64.wrapping_sub(512)), BAD, &[]),
        case("logical 0", |i| logical(i, 0), BAD, &["logical", "0"]),
        case("logical 1", |i| logical(i, 1), BAD, &["logical", "1"]),
        case("logical 1024", |i| logical(i, 1024), BAD, &["logical", "1024"]),
        case("logical 2^31", |i| logical(i, 1 << 31), BAD, &["2147483648"]),
        case("physical 0", |i| physical(i, 0), BAD, &["physical", "0"]),
        case("physical 8192", |i| physical(i, 8192), BAD, &["physical", "8192"]),
    ];
    refuse_each(&Image::new(&single()), &cases, ask_single);
}

/// With large sectors, a size of whole small sectors is refused too.
#[test]
fn half_a_large_sector() {
    let mut image = Image::new(&single().logical_sector_size(4096));
    let Placement { metadata_items, .. } = &image.at;
    let (size, _) = metadata_items[&ids::VIRTUAL_DISK_SIZE];
    image.put(size, ((4_u64 << 20) - 512).to_le_bytes());
    must_refuse(ask_single(image), BAD, THE_DISK, &["4193792"]);
}
