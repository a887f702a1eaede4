//! Chains that go round, and chains without end.

use super::bounds::*;
use crate::common::deep::Deep;
use crate::common::image::Image;
use crate::common::memory::Memory;
use std::sync::Arc;
use vhdx_rct::{ChangeQuery, Limit, MAX_CHAIN_FILES};
use vhdx_rct_fixtures::vhdx::{Block, MB, ParentLocator, VhdxBuilder, ids};

/// Asks and says how many files were opened for it.
fn ask(
    name: &str,
    files: u64,
    last_names: Option<u64>,
    limit: Limit,
) -> (Result<usize, vhdx_rct::Error>, u64) {
    let deep = Arc::new(Deep::new(files, last_names));
    let query = ChangeQuery::new(deep.path(0)).since(limit).storage(deep.clone());
    let answer = bounded(name, MEMORY, || query.run());
    (answer.map(|answer| answer.ranges.len()), deep.opened())
}

#[test]
fn a_file_that_is_its_own_parent() {
    for files in [1, 2, 50] {
        for last_names in 0..files.min(3) {
            let (answer, opened) = ask("a circle", files, Some(last_names), Limit::Allocated);
            must_fail("a circle", answer, CYCLE);
            // Two more looks at the leaf: what kind of file it is, and its own headers.
            assert!(opened <= files + 2, "{opened} of {files} files opened");
        }
    }
}

#[test]
fn a_limit_in_a_circle() {
    let limit = Limit::File("/deep/99999.avhdx".into());
    let (answer, _) = ask("a circle", 3, Some(0), limit);
    assert!(answer.is_err());
    let (answer, _) = ask("a circle", 3, Some(0), Limit::File("/deep/00002.avhdx".into()));
    assert_eq!(answer.unwrap(), 1);
}

#[test]
fn ten_thousand_files() {
    let (answer, opened) = ask("a long chain", 10_000, None, Limit::Allocated);
    must_fail("a long chain", answer, CORRUPT);
    assert!(opened <= MAX_CHAIN_FILES as u64 + 2, "{opened} files opened");
    let (answer, _) = ask("a long chain", 10_000, None, Limit::File("/deep/09999.avhdx".into()));
    must_fail("a long chain", answer, CORRUPT);
    let (answer, _) = ask("a long chain", 10_000, None, Limit::File("/deep/00100.avhdx".into()));
    assert_eq!(answer.unwrap(), 1);
}

#[test]
fn a_circle_longer_than_a_chain_may_be() {
    let (answer, _) = ask("a long circle", 1000, Some(0), Limit::Allocated);
    must_fail("a long circle", answer, CORRUPT);
}

/// Asks for all that a child and its base hold.
fn ask_pair(
    name: &str,
    locator: &ParentLocator,
    damage: fn(&mut Image),
) -> Result<usize, vhdx_rct::Error> {
    let disk = || VhdxBuilder::new(4 * MB).seed(8);
    let zero = Block::Undefined { anchor: None };
    let mut child = Image::new(&disk().parent(locator.clone()).block(1, zero));
    damage(&mut child);
    let files = Memory::default().with("/d/base.vhdx", Image::new(&disk()).bytes);
    let files = Arc::new(files.with("/d/disk.avhdx", child.bytes));
    let query = ChangeQuery::new("/d/disk.avhdx").since(Limit::Allocated).storage(files);
    bounded(name, MEMORY, || query.run()).map(|answer| answer.ranges.len())
}

#[test]
fn locators_that_point_anywhere() {
    let linkage = Image::new(&VhdxBuilder::new(4 * MB).seed(8)).at.data_write_guid;
    let locator = ParentLocator::new(linkage).relative(r".\base.vhdx");
    assert_eq!(ask_pair("a locator", &locator, |_| {}).unwrap(), 1);
    fn put(image: &mut Image, at: u64, bytes: &[u8]) {
        image.item(ids::PARENT_LOCATOR, at, bytes);
    }
    type Damage = fn(&mut Image);
    let cases: [(&str, Damage); 8] = [
        ("a key outside", |i| put(i, 20, &[0xFF; 4])),
        ("a key at the end", |i| put(i, 20, &[0, 1, 0, 0])),
        ("a value outside", |i| put(i, 24, &[0xFF; 4])),
        ("a key that wraps", |i| put(i, 20, &[0xFE, 0xFF, 0xFF, 0xFF])),
        ("a key of 65534 bytes", |i| put(i, 28, &[0xFE, 0xFF])),
        ("a key of 65535 bytes", |i| put(i, 28, &[0xFF, 0xFF])),
        ("65535 entries", |i| put(i, 18, &[0xFF, 0xFF])),
        ("texts that are no text", |i| put(i, 44, &[0xDC; 100])),
    ];
    for (name, damage) in cases {
        must_fail(name, ask_pair(name, &locator, damage), METADATA_CORRUPT);
    }
}

/// As many entries as a locator may have room for.
#[test]
fn a_locator_of_a_megabyte() {
    let linkage = Image::new(&VhdxBuilder::new(4 * MB).seed(8)).at.data_write_guid;
    let locator = ParentLocator::new(linkage).relative(r".\base.vhdx");
    let full = (0..60_000).fold(locator, |locator, _| locator.entry("k", "v"));
    assert_eq!(ask_pair("a large locator", &full, |_| {}).unwrap(), 1);
}
