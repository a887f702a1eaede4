//! Chains that go round, and chains without end.

use super::bounds::*;
use crate::common::deep::Deep;
use crate::common::image::Image;
use crate::common::memory::{MemoryStorage, WithFile};
use std::sync::Arc;
use vhdx_rct::{Baseline, Error, MAX_CHAIN_FILES};
use vhdx_rct_fixtures::vhdx::{Block, MB, ParentLocator, VhdxBuilder};

/// Opens a chain that has no end, asks, and returns how many files were opened for it. The
/// opening does not fail: it ends, and a baseline above the end is answered.
fn ask(
    name: &str,
    files: u64,
    last_names: Option<u64>,
    since: Baseline,
) -> (Result<usize, Error>, u64) {
    let deep = Arc::new(Deep::new(files, last_names));
    let mut question = Question::new(deep.path(0), since);
    question.options.storage(deep.clone());
    let answer = question.bounded(name, MEMORY);
    (answer.map(|answer| answer.ranges.len()), deep.opened())
}

#[test]
fn a_file_that_is_its_own_parent() {
    for files in [1, 2, 50] {
        for last_names in 0..files.min(3) {
            let (answer, opened) = ask("a circle", files, Some(last_names), Baseline::Allocated);
            must_fail("a circle", answer, CYCLE);
            assert_eq!(opened, files);
        }
    }
}

#[test]
fn a_baseline_in_a_circle() {
    let gone = Baseline::File("/deep/99999.avhdx".into());
    let (answer, _) = ask("a circle", 3, Some(0), gone);
    must_fail("a circle", answer, CYCLE);
    let (answer, _) = ask("a circle", 3, Some(0), Baseline::File("/deep/00002.avhdx".into()));
    assert_eq!(answer.unwrap(), 1);
}

#[test]
fn ten_thousand_files() {
    let (answer, opened) = ask("a long chain", 10_000, None, Baseline::Allocated);
    must_fail("a long chain", answer, CORRUPT);
    assert_eq!(opened, MAX_CHAIN_FILES as u64);
    let (answer, _) = ask("a long chain", 10_000, None, Baseline::File("/deep/09999.avhdx".into()));
    must_fail("a long chain", answer, CORRUPT);
    let (answer, _) = ask("a long chain", 10_000, None, Baseline::File("/deep/00100.avhdx".into()));
    assert_eq!(answer.unwrap(), 1);
}

#[test]
fn a_circle_longer_than_a_chain_may_be() {
    let (answer, _) = ask("a long circle", 1000, Some(0), Baseline::Allocated);
    must_fail("a long circle", answer, CORRUPT);
}

/// Asks for all that a child and its base hold.
fn ask_pair(name: &str, locator: &ParentLocator) -> Result<usize, Error> {
    let disk = || VhdxBuilder::new(4 * MB).seed(8);
    let zero = Block::Undefined { anchor: None };
    let child = Image::new(&disk().parent(locator.clone()).block(1, zero));
    let files = MemoryStorage::new().with("/d/base.vhdx", Image::new(&disk()).bytes);
    let files = files.with("/d/disk.avhdx", child.bytes);
    let question = Question::within(files, "/d/disk.avhdx", Baseline::Allocated);
    question.bounded(name, MEMORY).map(|answer| answer.ranges.len())
}

/// As many entries as a locator may have room for.
#[test]
fn a_locator_of_a_megabyte() {
    let linkage = Image::new(&VhdxBuilder::new(4 * MB).seed(8)).at.data_write_guid;
    let locator = ParentLocator::new(linkage).relative(r".\base.vhdx");
    let full = (0..60_000).fold(locator, |locator, _| locator.entry("k", "v"));
    assert_eq!(ask_pair("a large locator", &full).unwrap(), 1);
}
