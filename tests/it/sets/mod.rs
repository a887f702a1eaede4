//! VHD Sets: random ones against the builder's record, the formats of catalogs, stale catalogs.

mod catalog_formats;
mod random;
mod set_file;
mod stale;

use std::fs;
use std::ops::Range;
use std::path::Path;
use vhdx_rct::{Baseline, ByteRange, Disk, Error, OpenOptions, SnapshotCatalog, SnapshotId};
use vhdx_rct_fixtures::set::{Fate, RandomSet, Taken};
use vhdx_rct_fixtures::testing::two_kept;
use vhdx_rct_fixtures::vhds::{JsonStyle, Snapshot as Entry, catalog_json};

/// The required result of a query.
#[derive(Debug)]
enum Expected {
    Exactly(Vec<Range<u64>>),
    /// All of the first ranges, and nothing outside the second: an answer is exact to a unit if it
    /// comes from a table, and to a sector if it comes from a file.
    Within(Vec<Range<u64>>, Vec<Range<u64>>),
    Refused(u32),
}

/// The result that the format's page requires, if the catalog lists the snapshots.
fn expected(set: &RandomSet, from: usize, to: Option<usize>) -> Expected {
    use Expected::{Exactly, Refused, Within};
    let limit = &set.snapshots[from];
    match to.map(|to| set.snapshots[to].fate) {
        None | Some(Fate::Kept) => {}
        Some(Fate::ReferenceOnly) => return Refused(32777),
        Some(Fate::Deleted) => return Refused(32773),
    }
    match (limit.fate, set.written(from, to)) {
        (Fate::Deleted, _) => Refused(32773),
        // Its file is not in the target's chain, so it is unrelated, whatever its RCT id is.
        (Fate::Kept, None) => Refused(32773),
        (Fate::Kept, Some(written)) => Exactly(written),
        (Fate::ReferenceOnly, _) if !limit.rct_listed => Refused(32773),
        // The target's chain does not have its RCT id.
        (Fate::ReferenceOnly, None) => Refused(32775),
        (Fate::ReferenceOnly, Some(written)) => Within(written, set.units(from, to).unwrap()),
    }
}

fn catalog_of(snapshots: &[Entry]) -> SnapshotCatalog {
    SnapshotCatalog::from_json(&catalog_json(snapshots, JsonStyle::default())).unwrap()
}

fn catalog(set: &RandomSet) -> SnapshotCatalog {
    catalog_of(&set.catalog)
}

/// Every pair of snapshots that a question may be about, and each alone.
fn pairs(set: &RandomSet) -> impl Iterator<Item = (usize, Option<usize>)> {
    let count = set.snapshots.len();
    (0..count).flat_map(move |from| {
        std::iter::once(None).chain((0..count).map(Some)).map(move |to| (from, to))
    })
}

/// The name of a set's active file.
fn active_name(path: &Path) -> String {
    let disk = Disk::open(path).unwrap();
    disk.vhd_set().unwrap().active_name().to_owned()
}

/// Options with this catalog.
fn with(catalog: SnapshotCatalog) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.catalog(catalog);
    options
}

fn ask(
    mut options: OpenOptions,
    set: &RandomSet,
    from: usize,
    to: Option<usize>,
) -> Result<Vec<ByteRange>, Error> {
    if let Some(to) = to {
        options.target(SnapshotId(set.snapshots[to].id));
    }
    let since = SnapshotId(set.snapshots[from].id);
    Ok(options.open(&set.path)?.changes(since).collect()?.ranges)
}

#[track_caller]
fn assert_result(found: Result<Vec<ByteRange>, Error>, expected: &Expected, what: &str) {
    match (&found, expected) {
        (Ok(found), Expected::Exactly(ranges)) => {
            assert_eq!(*found, crate::common::ranges(ranges), "{what}")
        }
        (Ok(found), Expected::Within(least, most)) => {
            let covers = |a: &[ByteRange], b: &[ByteRange]| {
                b.iter().all(|b| a.iter().any(|a| a.offset <= b.offset && b.end() <= a.end()))
            };
            assert!(
                covers(found, &crate::common::ranges(least)),
                "{what}: {found:?} lacks of {least:?}"
            );
            assert!(
                covers(&crate::common::ranges(most), found),
                "{what}: {found:?} is not in {most:?}"
            );
        }
        (Err(error), Expected::Refused(code)) => {
            assert_eq!(error.return_value().code(), *code, "{what}: {error}")
        }
        _ => panic!("{what}: expected {expected:?}, found {found:?}"),
    }
}

/// A snapshot's entry in the catalog.
fn entry<'a>(snapshots: &'a mut [Entry], taken: &Taken) -> &'a mut Entry {
    snapshots.iter_mut().find(|entry| entry.id == taken.id).unwrap()
}
