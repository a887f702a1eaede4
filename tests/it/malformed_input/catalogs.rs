//! Snapshot catalogs that are large or deep.

use super::bounds::*;
use vhdx_rct::SnapshotId;
use vhdx_rct_fixtures::rct::HeaderPlan;
use vhdx_rct_fixtures::vhds::VhdsBuilder;

const SET: &str = "/disks/set.vhds";
/// The largest that is read.
const LARGEST: usize = 16 << 20;
const BUDGET: usize = 256 << 20;

fn query(catalog: impl Source + 'static) -> Question {
    let disk = Image::new(&VhdxBuilder::new(4 * MB).block(1, Block::Full(Fill(1))));
    let set = VhdsBuilder::new("disk.avhdx").headers(HeaderPlan::Identical).bytes();
    let mut files = MemoryStorage::new().with(SET, set).with("/disks/disk.avhdx", disk.bytes);
    files.insert(format!("{SET}.snapshots.json"), Arc::new(catalog));
    Question::within(files, SET, Baseline::Allocated)
}

/// Opens the set and asks since a snapshot that no catalog lists: an error of the catalog comes
/// first. Other questions do not depend on the catalog.
fn ask(name: &str, catalog: impl Source + 'static, memory: usize) -> Result<(), Error> {
    let question = query(catalog);
    let work = move || -> Result<_, Error> {
        let disk = question.open()?;
        let allocated = disk.changes(question.since).collect()?;
        let unknown = disk.changes(SnapshotId(Uuid::max())).collect().unwrap_err();
        Ok::<_, Error>((allocated.ranges, unknown))
    };
    let (allocated, error) = bounded(name, memory, work)?;
    assert_eq!(allocated, ranges(&[MB..2 * MB]), "{name}");
    if error.kind() == ErrorKind::InvalidParameter { Ok(()) } else { Err(error) }
}

/// `one` as often as fits after `start` and before `end`.
fn repeated(length: usize, start: &str, one: &str, end: &str) -> SliceSource<Vec<u8>> {
    let count = (length - start.len() - end.len()) / one.len();
    SliceSource([start.to_owned(), one.repeat(count), end.to_owned()].concat().into_bytes())
}

#[test]
fn rejects_catalogs_above_the_maximum_length() {
    for (name, byte) in [("open", b'['), ("closed", b']'), ("braces", b'{'), ("nothing", b' ')] {
        for length in [LARGEST as u64 + 1, 1 << 30, 1 << 63, u64::MAX] {
            let catalog = Patched::new(&Arc::new(vec![byte; 1 << 20])).long(length);
            must_fail(name, ask(name, catalog, MEMORY), CORRUPT);
        }
    }
}

/// A parser that calls itself for each level would run out of stack.
#[test]
fn rejects_deep_nesting() {
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
    // A member that is not needed may have up to 100 levels.
    let deep = format!("{within}{}{}}}", "[".repeat(100), "]".repeat(100));
    ask("deep", SliceSource(deep.into_bytes()), MEMORY).unwrap();
}

/// Every byte or two is a value of its own.
#[test]
fn bounds_the_memory_of_many_small_values() {
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
        // About as much as the budget permits; empty paths are valid, and not needed.
        match ask(one, repeated(2 << 20, start, one, end), BUDGET) {
            Ok(()) => assert_eq!(one, "\"\","),
            refused => must_fail(one, refused, CORRUPT),
        }
        must_fail(one, ask(one, repeated(LARGEST, start, one, end), 2 * LARGEST), OUT_OF_MEMORY);
    }
}

/// A search for duplicates must not compare each pair.
#[test]
fn bounds_the_time_and_memory_of_many_snapshots() {
    let one = |i| format!(r#"{{"SnapshotId":"{}"}}"#, Uuid::from_u128(i));
    let all: Vec<String> = (0..200_000).map(one).collect();
    let text = format!("[{}]", all.join(","));
    let tight = query(SliceSource(text.clone().into_bytes())).memory_budget(MEMORY);
    must_fail("many", tight.bounded("many", MEMORY), OUT_OF_MEMORY);
    let many = query(SliceSource(text.into_bytes())).memory_budget(2 * BUDGET);
    let disk = bounded("many", 2 * BUDGET, move || many.open()).unwrap();
    assert_eq!(disk.snapshots().len(), 200_000);
}
