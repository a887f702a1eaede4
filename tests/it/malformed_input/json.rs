//! Snapshot catalogs that are large, deep, or full of nothing.

use super::bounds::*;
use crate::common::image::Image;
use crate::common::memory::{MemoryStorage, WithFile};
use crate::common::ranges;
use std::io;
use std::sync::Arc;
use uuid::Uuid;
use vhdx_rct::source::{SliceSource, Source};
use vhdx_rct::{Baseline, Error, ErrorKind, SnapshotId};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::HeaderPlan;
use vhdx_rct_fixtures::vhds::VhdsBuilder;
use vhdx_rct_fixtures::vhdx::{Block, MB, VhdxBuilder};

const SET: &str = "/disks/set.vhds";
/// The largest that is read.
const LARGEST: usize = 16 << 20;
const BUDGET: usize = 256 << 20;

/// N equal bytes.
struct Repeated(u8, u64);

impl Source for Repeated {
    fn size(&self) -> io::Result<u64> {
        Ok(self.1)
    }

    fn read_exact_at(&self, buffer: &mut [u8], _: u64) -> io::Result<()> {
        buffer.fill(self.0);
        Ok(())
    }
}

fn query(catalog: impl Source + 'static) -> Question {
    let disk = Image::new(&VhdxBuilder::new(4 * MB).block(1, Block::Full(Fill(1))));
    let set = VhdsBuilder::new("disk.avhdx").headers(HeaderPlan::Identical).bytes();
    let mut files = MemoryStorage::new().with(SET, set).with("/disks/disk.avhdx", disk.bytes);
    files.insert(format!("{SET}.snapshots.json"), Arc::new(catalog));
    Question::within(files, SET, Baseline::Allocated)
}

/// Opens the set and asks since a snapshot that no catalog lists: what is wrong with the catalog
/// comes first. Whatever that is, other questions are answered.
fn ask(name: &str, catalog: impl Source + 'static, memory: usize) -> Result<(), Error> {
    let question = query(catalog);
    let work = move || {
        let disk = question.open()?;
        let allocated = disk.changes(question.since).collect()?;
        Ok((allocated.ranges, disk.changes(SnapshotId(Uuid::max())).collect().unwrap_err()))
    };
    let (allocated, error) = bounded(name, memory, work)?;
    assert_eq!(allocated, ranges(&[MB..2 * MB]), "{name}");
    if error.kind() == ErrorKind::InvalidParameter { Ok(()) } else { Err(error) }
}

/// `one` again and again, after `start` and before `end`, as often as there is room for it.
fn repeated(length: usize, start: &str, one: &str, end: &str) -> SliceSource<Vec<u8>> {
    let count = (length - start.len() - end.len()) / one.len();
    SliceSource([start.to_owned(), one.repeat(count), end.to_owned()].concat().into_bytes())
}

#[test]
fn a_gigabyte_of_brackets() {
    for (name, byte) in [("open", b'['), ("closed", b']'), ("braces", b'{'), ("nothing", b' ')] {
        for length in [LARGEST as u64 + 1, 1 << 30, 1 << 63, u64::MAX] {
            must_fail(name, ask(name, Repeated(byte, length), MEMORY), CORRUPT);
        }
    }
}

/// As deep as there is room for: a parser that calls itself for each would run out of stack.
#[test]
fn deep_nesting() {
    let within = r#"{"SnapshotId":"00000000-0000-0000-0000-000000000001","CreationTime":"#;
    for one in ["[", "[[],", "{\"a\":", "[{\"\":", "[\n"] {
        for start in ["", within] {
            let name = format!("{start}{one}");
            must_fail(&name, ask(&name, repeated(1 << 20, start, one, ""), BUDGET), CORRUPT);
            // Its size alone shows that it could need more memory than is available.
            let largest = ask(&name, repeated(LARGEST, start, one, ""), 2 * LARGEST);
            must_fail(&name, largest, OUT_OF_MEMORY);
        }
    }
    // What is not needed may be deep within reason.
    let deep = format!("{within}{}{}}}", "[".repeat(100), "]".repeat(100));
    ask("deep", SliceSource(deep.into_bytes()), MEMORY).unwrap();
}

/// Text of which each byte or two becomes a value of its own.
#[test]
fn many_small_values() {
    let entry = r#"{"SnapshotId":"00000000-0000-0000-0000-000000000001","ParentPathsList":["#;
    for (start, one, end) in [
        ("[0", ",0", "]"),
        ("[[]", ",[]", "]"),
        ("[\"\"", ",\"\"", "]"),
        ("[{}", ",{}", "]"),
        ("[{\"\":0}", ",{\"\":0}", "]"),
        (entry, "\"\",", "\"\"]}"),
        (entry, "0,", "0]}"),
    ] {
        // About as much as the budget lets through; empty paths are read, and have no use.
        match ask(one, repeated(2 << 20, start, one, end), BUDGET) {
            Ok(()) => assert_eq!(one, "\"\","),
            refused => must_fail(one, refused, CORRUPT),
        }
        must_fail(one, ask(one, repeated(LARGEST, start, one, end), 2 * LARGEST), OUT_OF_MEMORY);
    }
}

/// No two alike, which must not be found out by comparing each with each.
#[test]
fn many_distinct_snapshots() {
    let one = |i| format!(r#"{{"SnapshotId":"{}"}}"#, Uuid::from_u128(i));
    let all: Vec<String> = (0..200_000).map(one).collect();
    let text = format!("[{}]", all.join(","));
    let tight = query(SliceSource(text.clone().into_bytes())).memory_budget(MEMORY);
    must_fail("many", tight.bounded("many", MEMORY), OUT_OF_MEMORY);
    let many = query(SliceSource(text.into_bytes())).memory_budget(2 * BUDGET);
    let disk = bounded("many", 2 * BUDGET, move || many.open()).unwrap();
    assert_eq!(disk.snapshots().len(), 200_000);
}
