//! VHD Sets: random ones against the builder's record, the catalog in all its forms, and what
//! contradicts it.

mod forms;
mod random;
mod set_file;
mod stale;

use std::fs;
use std::ops::Range;
use vhdx_rct::{ByteRange, ChangeQuery, Error, Limit, SnapshotCatalogue};
use vhdx_rct_fixtures::set::{Fate, RandomSet, Taken};
use vhdx_rct_fixtures::testing::two_kept;
use vhdx_rct_fixtures::vhds::{JsonStyle, Snapshot as Told, catalogue_json};

/// What a question must give.
#[derive(Debug)]
enum Expected {
    Exactly(Vec<Range<u64>>),
    /// All of the first ranges, and nothing outside the second: an answer from tracking tables is
    /// exact to a unit where a table is asked, and to a sector where a file is.
    Within(Vec<Range<u64>>, Vec<Range<u64>>),
    Refused(u32),
}

/// What the format's page says that a question must give, if the catalog lists the snapshots.
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
        // It has a file: what is not in the target's chain is unrelated, whatever its RCT id is.
        (Fate::Kept, None) => Refused(32773),
        (Fate::Kept, Some(written)) => Exactly(written),
        (Fate::ReferenceOnly, _) if !limit.rct_listed => Refused(32773),
        // The target's chain never heard of its RCT id.
        (Fate::ReferenceOnly, None) => Refused(32775),
        (Fate::ReferenceOnly, Some(written)) => Within(written, set.units(from, to).unwrap()),
    }
}

fn catalog_of(snapshots: &[Told]) -> SnapshotCatalogue {
    SnapshotCatalogue::from_json(&catalogue_json(snapshots, JsonStyle::default())).unwrap()
}

fn catalog(set: &RandomSet) -> SnapshotCatalogue {
    catalog_of(&set.catalogue)
}

/// Every pair of snapshots that a question may be about, and each alone.
fn pairs(set: &RandomSet) -> impl Iterator<Item = (usize, Option<usize>)> {
    let count = set.snapshots.len();
    (0..count).flat_map(move |from| {
        std::iter::once(None).chain((0..count).map(Some)).map(move |to| (from, to))
    })
}

fn ask(
    query: ChangeQuery,
    set: &RandomSet,
    from: usize,
    to: Option<usize>,
) -> Result<Vec<ByteRange>, Error> {
    let query = query.since(Limit::Snapshot(set.snapshots[from].id));
    let query = match to {
        Some(to) => query.target(set.snapshots[to].id),
        None => query,
    };
    Ok(query.run()?.ranges)
}

#[track_caller]
fn must_be(found: Result<Vec<ByteRange>, Error>, expected: &Expected, what: &str) {
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
fn entry<'a>(snapshots: &'a mut [Told], taken: &Taken) -> &'a mut Told {
    snapshots.iter_mut().find(|told| told.id == taken.id).unwrap()
}
