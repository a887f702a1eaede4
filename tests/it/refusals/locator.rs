//! Parent locators.

use super::support::*;

const BAD: Code = METADATA_CORRUPT;
/// Fields of the first entry, `parent_linkage`.
const KEY_OFFSET: u64 = 20;
const VALUE_OFFSET: u64 = 24;
const KEY_LENGTH: u64 = 28;
const VALUE_LENGTH: u64 = 30;

fn put(image: &mut Image, at: u64, bytes: impl AsRef<[u8]>) {
    image.item(ids::PARENT_LOCATOR, at, bytes);
}

/// Replaces the start of the text whose offset this field holds.
fn put_text(image: &mut Image, field: u64, bytes: &[u8]) {
    let (item, _) = image.at.metadata_items[&ids::PARENT_LOCATOR];
    let offset = &image.bytes[(item + field) as usize..][..4];
    let offset = u32::from_le_bytes(offset.try_into().unwrap());
    put(image, offset.into(), bytes);
}

fn put_linkage(image: &mut Image, text: &str) {
    let text: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    put_text(image, VALUE_OFFSET, &text);
}

/// Half a surrogate pair.
const BROKEN: &[u8] = &[0x00, 0xD8];

#[test]
fn rejects_invalid_locators() {
    refuse_child(&[
        ("type", |i| put(i, 0, [0xCD; 16]), UNKNOWN_PART, "cdcdcdcd"),
        ("65535 entries", |i| put(i, 18, [0xFF; 2]), BAD, "65535"),
        ("no entry", |i| put(i, 18, [0; 2]), BAD, "parent_linkage"),
        ("a key outside", |i| put(i, KEY_OFFSET, [0xFF; 4]), BAD, "0xffffffff"),
        ("a key across the end", |i| put(i, KEY_LENGTH, [0xFE, 0xFF]), BAD, "65534"),
        ("a key at the end", |i| put(i, KEY_OFFSET, [0, 1, 0, 0]), BAD, "0x100"),
        ("a key past 2^32", |i| put(i, KEY_OFFSET, [0xFE, 255, 255, 255]), BAD, "0xfffffffe"),
        ("a long key", |i| put(i, KEY_LENGTH, [0xFF, 0xFF]), BAD, "65535"),
        ("a value outside", |i| put(i, VALUE_OFFSET, [0, 0, 1, 0]), BAD, "0x10000"),
        ("a value across the end", |i| put(i, VALUE_LENGTH, [0, 16]), BAD, "4096"),
        ("half a character", |i| put(i, VALUE_LENGTH, [75, 0]), BAD, "75"),
        ("a key that is not UTF-16", |i| put_text(i, KEY_OFFSET, BROKEN), BAD, "UTF-16"),
        ("a path that is not UTF-16", |i| put_text(i, VALUE_OFFSET + 12, BROKEN), BAD, "UTF-16"),
        ("an unknown key", |i| put_text(i, KEY_OFFSET, b"q"), BAD, "parent_linkage"),
        ("no GUID", |i| put_linkage(i, "{not-a-guid"), BAD, "not-a-guid"),
        ("too short a GUID", |i| put(i, VALUE_LENGTH, [20, 0]), BAD, "GUID"),
        (
            "an item of 19 bytes",
            |i| i.item_entry(ids::PARENT_LOCATOR, 20, [19, 0, 0, 0]),
            BAD,
            "19",
        ),
    ]);
}

#[test]
fn rejects_locators_without_a_valid_linkage_and_path() {
    let parent = Image::new(&parent());
    let linkage = parent.at.data_write_guid;
    // The bytes of a GUID in text order, as if mixed-endian were big-endian: another GUID.
    let swapped = Uuid::from_bytes(linkage.to_bytes_le());
    let right = || locator(&parent.at);
    let cases = [
        ("a second linkage", right().entry("parent_linkage2", "none"), BAD, "none"),
        ("a key twice", right().relative(r".\other.vhdx"), BAD, "relative_path twice"),
        ("no path", ParentLocator::new(linkage), PARENT_NOT_FOUND, "parent"),
        (
            "the wrong byte order",
            ParentLocator::new(swapped).relative(r".\base.vhdx"),
            PARENT_MISMATCH,
            &swapped.to_string(),
        ),
    ];
    for (name, locator, code, says) in cases {
        let child = Image::new(&child().parent(locator));
        must_refuse_case(name, ask_pair(&parent, child), code, THE_DISK, says);
    }
}
