//! Parent locators.

use super::support::*;
use crate::common::image::Image;
use uuid::Uuid;
use vhdx_rct_fixtures::vhdx::{ParentLocator, ids};

const BAD: Code = METADATA_CORRUPT;
/// Fields of the first entry, `parent_linkage`.
const KEY_OFFSET: u64 = 20;
const VALUE_OFFSET: u64 = 24;
const KEY_LENGTH: u64 = 28;
const VALUE_LENGTH: u64 = 30;

fn put(image: &mut Image, at: u64, bytes: impl AsRef<[u8]>) {
    image.item(ids::PARENT_LOCATOR, at, bytes);
}

/// Where an entry's text begins in the item; the builder writes key and value of each in turn.
fn text_at(image: &Image, field: u64) -> u64 {
    let (item, _) = image.at.metadata_items[&ids::PARENT_LOCATOR];
    let bytes = &image.bytes[(item + field) as usize..][..4];
    u32::from_le_bytes(bytes.try_into().unwrap()).into()
}

fn linkage(image: &mut Image, text: &str) {
    let at = text_at(image, VALUE_OFFSET);
    put(image, at, text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
}

/// Half a surrogate pair at the start of a text.
fn broken_text(image: &mut Image, field: u64) {
    let at = text_at(image, field);
    put(image, at, [0x00, 0xD8]);
}

#[test]
fn locators() {
    let cases = [
        case("type", |i| put(i, 0, [0xCD; 16]), UNKNOWN_PART, &["cdcdcdcd"]),
        case("65535 entries", |i| put(i, 18, [0xFF; 2]), BAD, &["65535"]),
        case("no entry", |i| put(i, 18, [0; 2]), BAD, &["parent_linkage"]),
        case("a key outside", |i| put(i, KEY_OFFSET, [0xFF; 4]), BAD, &["0xffffffff"]),
        case("a key across the end", |i| put(i, KEY_LENGTH, [0xFE, 0xFF]), BAD, &["65534"]),
        case("a key at the end", |i| put(i, KEY_OFFSET, [0, 1, 0, 0]), BAD, &["0x100"]),
        case(
            "a key that wraps",
            |i| put(i, KEY_OFFSET, [0xFE, 0xFF, 0xFF, 0xFF]),
            BAD,
            &["0xfffffffe"],
        ),
        case("a long key", |i| put(i, KEY_LENGTH, [0xFF, 0xFF]), BAD, &["65535"]),
        case("a value outside", |i| put(i, VALUE_OFFSET, [0, 0, 1, 0]), BAD, &["0x10000"]),
        case("a value across the end", |i| put(i, VALUE_LENGTH, [0, 16]), BAD, &["4096"]),
        case("half a character", |i| put(i, VALUE_LENGTH, [75, 0]), BAD, &["75"]),
        case("a key that is no text", |i| broken_text(i, KEY_OFFSET), BAD, &["UTF-16"]),
        case("a path that is no text", |i| broken_text(i, VALUE_OFFSET + 12), BAD, &["UTF-16"]),
        case("an unknown key", |i| put(i, text_at(i, KEY_OFFSET), "q"), BAD, &["parent_linkage"]),
        case("no GUID", |i| linkage(i, "{not-a-guid"), BAD, &["not-a-guid"]),
        case("too short a GUID", |i| put(i, VALUE_LENGTH, [20, 0]), BAD, &["GUID"]),
    ];
    let (parent, child) = pair();
    refuse_each(&child, &cases, |child| ask_pair(&parent, child));
}

#[test]
fn an_item_too_short_for_a_locator() {
    let (parent, mut child) = pair();
    child.item_entry(ids::PARENT_LOCATOR, 20, 19_u32.to_le_bytes());
    must_refuse(ask_pair(&parent, child), BAD, THE_DISK, &["19"]);
}

#[test]
fn rejects_a_malformed_second_linkage() {
    let parent = Image::new(&parent());
    let locator = locator(&parent.at).entry("parent_linkage2", "none");
    let child = Image::new(&child().parent(locator));
    must_refuse(ask_pair(&parent, child), BAD, THE_DISK, &["none"]);
}

#[test]
fn a_locator_without_any_path() {
    let parent = Image::new(&parent());
    let child = Image::new(&child().parent(ParentLocator::new(parent.at.data_write_guid)));
    must_refuse(ask_pair(&parent, child), PARENT_NOT_FOUND, THE_DISK, &["parent"]);
}

/// The bytes of a GUID in text order, as if mixed-endian were big-endian: another GUID.
#[test]
fn a_linkage_in_the_wrong_byte_order() {
    let parent = Image::new(&parent());
    let swapped = Uuid::from_bytes(parent.at.data_write_guid.to_bytes_le());
    let child = Image::new(&child().parent(ParentLocator::new(swapped).relative(r".\base.vhdx")));
    must_refuse(ask_pair(&parent, child), PARENT_MISMATCH, THE_DISK, &[&swapped.to_string()]);
}

#[test]
fn rejects_a_duplicate_key() {
    let parent = Image::new(&parent());
    let locator = locator(&parent.at).relative(r".\other.vhdx");
    let child = Image::new(&child().parent(locator));
    must_refuse(ask_pair(&parent, child), BAD, THE_DISK, &["relative_path twice"]);
}
