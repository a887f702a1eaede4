//! The file type identifier and the header pair.

use super::support::*;

const LOG_GUID: u64 = 48;
const LOG_VERSION: u64 = 64;
const VERSION: u64 = 66;
const LOG_LENGTH: u64 = 68;
const LOG_OFFSET: u64 = 72;

#[test]
fn rejects_files_of_other_formats() {
    refuse_single(&[
        ("another signature", |i| i.put(0, "notvhdx!"), NO_DISK, "notvhdx!"),
        ("an ISO image", |i| (i.bytes.fill(0), i.put(32 * KB, "\x01CD001")).1, NO_DISK, ""),
        ("text", |i| i.bytes = b"just a note".to_vec(), NO_DISK, "just a n"),
        ("an empty file", |i| i.bytes.clear(), NO_DISK, ""),
        ("VHD, dynamic", |i| i.put(0, "conectix"), UNKNOWN_FORMAT, "conectix"),
        ("VHD, fixed", fixed_vhd, UNKNOWN_FORMAT, "VHD"),
    ]);
}

/// A raw disk with a footer of 512 bytes, which may begin like anything.
fn fixed_vhd(image: &mut Image) {
    image.put(0, [0xFA; 16]);
    let footer = image.bytes.len() as u64 - 512;
    image.put(footer, "conectix");
}

#[test]
fn rejects_files_that_end_too_early() {
    refuse_single(&[
        ("after the identifier", |i| i.bytes.truncate(600), CUT_SHORT, "0x258"),
        ("in the second header", |i| i.bytes.truncate(129 << 10), CUT_SHORT, "0x20400"),
        ("in the region tables", |i| i.bytes.truncate(300 << 10), CUT_SHORT, "0x4b000"),
        ("before the metadata", |i| i.bytes.truncate(2 << 20), CUT_SHORT, "0x200000"),
        ("in the BAT", |i| i.bytes.truncate((3 << 20) + 8), CUT_SHORT, "0x300008"),
        ("before a block", |i| i.bytes.truncate(4 << 20), BAT_CORRUPT, "0x400000"),
    ]);
}

#[test]
fn rejects_invalid_headers() {
    refuse_single(&[
        ("no signature", |i| i.headers(0, "daeh"), CORRUPT, "header"),
        ("no checksum", |i| put_unsealed(i, 4, &[0xBA; 4]), CORRUPT, "header & CRC"),
        ("a flipped bit", |i| put_unsealed(i, 4000, &[1]), CORRUPT, "header & CRC"),
        ("version 0", |i| i.headers(VERSION, [0, 0]), UNKNOWN_VERSION, "version & 0"),
        ("version 2", |i| i.headers(VERSION, [2, 0]), UNKNOWN_VERSION, "version & 2"),
        ("two that differ and are as new", same_sequence, CORRUPT, "sequence number 8"),
    ]);
}

/// Changes both headers, and leaves the checksums as they are.
fn put_unsealed(image: &mut Image, at: u64, bytes: &[u8]) {
    for header in image.at.header_offsets {
        image.put(header + at, bytes);
    }
}

/// Another FileWriteGuid in the second header only.
fn same_sequence(image: &mut Image) {
    image.headers(16, [0x77; 16]);
    let second = image.at.header_offsets[1] as usize;
    image.bytes[second + 16] = 0x78;
    vhdx_rct_fixtures::vhdx::store_crc(&mut image.bytes[second..][..4096]);
}

#[test]
fn rejects_invalid_locations_of_a_log_in_use() {
    let mut dirty = Image::new(&single());
    dirty.headers(LOG_GUID, [0x11; 16]);
    let cases: &[Case] = &[
        ("log version 1", |i| i.headers(LOG_VERSION, [1, 0]), UNKNOWN_VERSION, "version & 1"),
        ("no length", |i| set_length(i, 0), CORRUPT, "0x0 bytes"),
        ("half a sector", |i| set_length(i, MB + 2048), CORRUPT, "0x100800"),
        ("no whole megabytes", |i| set_length(i, MB + 4096), CORRUPT, "0x101000"),
        ("in the header section", |i| set_offset(i, 0), CORRUPT, "0x0"),
        ("at no whole megabyte", |i| set_offset(i, MB + 4096), CORRUPT, "0x101000"),
        ("overflow", |i| set_offset(i, MB.wrapping_neg()), CORRUPT, "0xfffffffffff00000"),
        ("after the end", |i| set_offset(i, 64 * MB), CUT_SHORT, "0x4000000"),
    ];
    refuse_each(THE_DISK, &dirty, cases, ask_single);
}

/// An empty log may have neither offset nor length, but not only one of them.
#[test]
fn rejects_invalid_locations_of_an_empty_log() {
    refuse_single(&[
        ("a length at 0", |i| set_offset(i, 0), CORRUPT, "0x0 & 0x100000 bytes"),
        ("at 512", |i| (set_length(i, 0), set_offset(i, 512)).1, CORRUPT, "0x200"),
        ("4096 bytes", |i| (set_offset(i, 0), set_length(i, 4096)).1, CORRUPT, "0x1000 bytes"),
        ("in the header section", |i| set_offset(i, MB / 2), CORRUPT, "0x80000"),
    ]);
}

fn set_offset(image: &mut Image, offset: u64) {
    image.headers(LOG_OFFSET, offset.to_le_bytes());
}

fn set_length(image: &mut Image, length: u64) {
    image.headers(LOG_LENGTH, (length as u32).to_le_bytes());
}

#[test]
fn rejects_a_dirty_log_without_valid_entries() {
    let empty = Image::new(&single().log(LogPlan::Raw(Vec::new())));
    must_refuse(ask_single(empty), CORRUPT, THE_DISK, "log");
}
