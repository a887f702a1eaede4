//! The file type identifier and the header pair.

use super::support::*;
use crate::common::image::Image;
use vhdx_rct_fixtures::vhdx::{KB, LogPlan, MB};

const LOG_GUID: u64 = 48;
const LOG_VERSION: u64 = 64;
const VERSION: u64 = 66;
const LOG_LENGTH: u64 = 68;
const LOG_OFFSET: u64 = 72;

#[test]
fn files_of_another_kind() {
    let cases = [
        case("another signature", |i| i.put(0, "notvhdx!"), NO_DISK, &["notvhdx!"]),
        case("an ISO image", |i| (i.bytes.fill(0), i.put(32 * KB, "\x01CD001")).1, NO_DISK, &[]),
        case("text", |i| i.bytes = b"just a note".to_vec(), NO_DISK, &["just a n"]),
        case("an empty file", |i| i.bytes.clear(), NO_DISK, &[]),
        case("VHD, dynamic", |i| i.put(0, "conectix"), UNKNOWN_FORMAT, &["conectix"]),
        case("VHD, fixed", fixed_vhd, UNKNOWN_FORMAT, &["VHD"]),
    ];
    refuse_each(&Image::new(&single()), &cases, ask_single);
}

/// A raw disk with a footer of 512 bytes, which may begin like anything.
fn fixed_vhd(image: &mut Image) {
    image.put(0, [0xFA; 16]);
    let footer = image.bytes.len() as u64 - 512;
    image.put(footer, "conectix");
}

#[test]
fn files_that_end_too_early() {
    let cases = [
        case("behind the identifier", |i| i.bytes.truncate(600), CUT_SHORT, &["0x258"]),
        case("in the second header", |i| i.bytes.truncate(129 << 10), CUT_SHORT, &["0x20400"]),
        case("in the region tables", |i| i.bytes.truncate(300 << 10), CUT_SHORT, &["0x4b000"]),
        case("before the metadata", |i| i.bytes.truncate(2 << 20), CUT_SHORT, &["0x200000"]),
        case("in the BAT", |i| i.bytes.truncate((3 << 20) + 8), CUT_SHORT, &["0x300008"]),
        case("before a block", |i| i.bytes.truncate(4 << 20), BAT_CORRUPT, &["0x400000"]),
    ];
    refuse_each(&Image::new(&single()), &cases, ask_single);
}

#[test]
fn headers() {
    let cases = [
        case("no signature", |i| i.headers(0, "daeh"), CORRUPT, &["header"]),
        case("no checksum", |i| both(i, 4, &[0xBA; 4]), CORRUPT, &["header", "CRC"]),
        case("a flipped bit", |i| both(i, 4000, &[1]), CORRUPT, &["header", "CRC"]),
        case("version 0", |i| i.headers(VERSION, [0, 0]), UNKNOWN_VERSION, &["version", "0"]),
        case("version 2", |i| i.headers(VERSION, [2, 0]), UNKNOWN_VERSION, &["version", "2"]),
        case("two that differ and are as new", same_sequence, CORRUPT, &["sequence number 8"]),
    ];
    refuse_each(&Image::new(&single()), &cases, ask_single);
}

/// Changes both headers, and leaves the checksums as they are.
fn both(image: &mut Image, at: u64, bytes: &[u8]) {
    for header in image.at.header_offsets {
        image.put(header + at, bytes);
    }
}

/// Another FileWriteGuid in the second header only.
fn same_sequence(image: &mut Image) {
    image.headers(16, [0x77; 16]);
    let second = image.at.header_offsets[1] as usize;
    let mut other = image.bytes[second..][..4096].to_vec();
    other[16] = 0x78;
    vhdx_rct_fixtures::vhdx::store_crc(&mut other);
    image.put(second as u64, other);
}

#[test]
fn where_a_full_log_lies() {
    fn dirty(image: &mut Image) {
        image.headers(LOG_GUID, [0x11; 16]);
    }
    let cases = [
        case(
            "log version 1",
            |i| (dirty(i), i.headers(LOG_VERSION, [1, 0])).1,
            UNKNOWN_VERSION,
            &["version", "1"],
        ),
        case("no length", |i| (dirty(i), i.headers(LOG_LENGTH, [0; 4])).1, CORRUPT, &["0x0 bytes"]),
        case("half a sector", |i| (dirty(i), length(i, MB + 2048)).1, CORRUPT, &["0x100800"]),
        case("no whole megabytes", |i| (dirty(i), length(i, MB + 4096)).1, CORRUPT, &["0x101000"]),
        case("in the header section", |i| (dirty(i), offset(i, 0)).1, CORRUPT, &["0x0"]),
        case(
            "at no whole megabyte",
            |i| (dirty(i), offset(i, MB + 4096)).1,
            CORRUPT,
            &["0x101000"],
        ),
        case(
            "overflow",
            |i| (dirty(i), offset(i, 0_u64.wrapping_sub(MB))).1,
            CORRUPT,
            &["0xfffffffffff00000"],
        ),
        case("behind the end", |i| (dirty(i), offset(i, 64 * MB)).1, CUT_SHORT, &["0x4000000"]),
    ];
    refuse_each(&Image::new(&single()), &cases, ask_single);
}

/// An empty log may have no place at all, but no half of one.
#[test]
fn where_an_empty_log_lies() {
    let cases = [
        case("a length at 0", |i| offset(i, 0), CORRUPT, &["0x0", "0x100000 bytes"]),
        case("at 512", |i| (length(i, 0), offset(i, 512)).1, CORRUPT, &["0x200"]),
        case("of 4096 bytes", |i| (offset(i, 0), length(i, 4096)).1, CORRUPT, &["0x1000 bytes"]),
        case("in the header section", |i| offset(i, MB / 2), CORRUPT, &["0x80000"]),
    ];
    refuse_each(&Image::new(&single()), &cases, ask_single);
}

fn offset(image: &mut Image, offset: u64) {
    image.headers(LOG_OFFSET, offset.to_le_bytes());
}

fn length(image: &mut Image, length: u64) {
    image.headers(LOG_LENGTH, (length as u32).to_le_bytes());
}

#[test]
fn rejects_a_dirty_log_without_valid_entries() {
    let empty = Image::new(&single().log(LogPlan::Raw(Vec::new())));
    must_refuse(ask_single(empty), CORRUPT, THE_DISK, &["log"]);
}
