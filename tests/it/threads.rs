//! Several threads of a query: the same ranges in the same order, and no check less.

use crate::common::faulty::{Call, Fault, Faulty};
use crate::common::injected::{Injected, Reaction};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use vhdx_rct::source::LocalStorage;
use vhdx_rct::{ByteRange, ChangeQuery, Error, ErrorKind, Limit, RctId};
use vhdx_rct_fixtures::bulk::{Chunk, Disk, State, Table, Tally};
use vhdx_rct_fixtures::rct::{Checksum, OFFSET_TABLE, PAGE, PageOrder, fix_checksum, patch};
use vhdx_rct_fixtures::rng::mix;
use vhdx_rct_fixtures::vhdx::{MB, ParentLocator};

const GB: u64 = 1 << 30;
/// Several of the pieces of 4 GB that threads share, and not a whole number of them.
const SIZE: u64 = 27 * GB + 5 * MB;

struct Case {
    folder: TempDir,
    query: ChangeQuery,
    answer: Tally,
}

fn tracked(order: PageOrder, state: fn(u64) -> Chunk) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk.vhdx");
    let empty = Disk { size: SIZE, block: 32 * MB, seed: 1, longest_run: 1 };
    empty.builder().write(&disk).unwrap();
    let table = Table { size: SIZE, seed: 5, longest_run: 9, order };
    let answer = table.write(&folder.path().join("disk.vhdx.rct"), state).unwrap().answer;
    let (branch, number) = table.limit();
    Case { folder, query: ChangeQuery::new(disk).since(rct(branch, number)), answer }
}

fn rct(branch: vhdx_rct::Uuid, number: u32) -> Limit {
    Limit::Rct(RctId::new(branch, number))
}

fn child(state: fn(u64) -> State) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let (parent, child) = (folder.path().join("parent.vhdx"), folder.path().join("child.avhdx"));
    let plan = Disk { size: SIZE, block: 2 * MB, seed: 3, longest_run: 2000 };
    let linkage = plan.builder().write(&parent).unwrap().data_write_guid;
    let locator = ParentLocator::new(linkage).relative(".\\parent.vhdx");
    let answer = plan.write(&child, &plan.builder().parent(locator), state).unwrap().answer;
    Case { folder, query: ChangeQuery::new(child).since(Limit::File(parent)), answer }
}

fn cases() -> Vec<Case> {
    vec![
        tracked(PageOrder::InOrder, |_| Chunk::Ragged),
        tracked(PageOrder::Shuffled(4), |chunk| match mix(chunk) % 9 {
            0..3 => Chunk::Ragged,
            3..6 => Chunk::Newer,
            _ => Chunk::Older,
        }),
        tracked(PageOrder::InOrder, |_| Chunk::Newer),
        child(|block| [State::Full, State::NotPresent, State::Partial][(mix(block) % 3) as usize]),
        child(|_| State::Full),
    ]
}

fn table(case: &Case) -> PathBuf {
    case.folder.path().join("disk.vhdx.rct")
}

#[test]
fn the_answer_is_the_same() {
    for (i, case) in cases().into_iter().enumerate() {
        let alone = case.query.clone().run().unwrap();
        let bytes: u64 = alone.ranges.iter().map(|range| range.length).sum();
        assert_eq!((alone.ranges.len() as u64, bytes), (case.answer.ranges, case.answer.bytes));
        for threads in [2, 3, 7, 1000] {
            let together = case.query.clone().threads(threads).run().unwrap();
            assert!(together == alone, "case {i} with {threads} threads");
            // Its pieces begin and end elsewhere, inside chunks and blocks.
            let region = 3 * GB + 8192..SIZE - 70_000;
            let part = case.query.clone().region(region.clone());
            let (one, more) = (part.clone().run().unwrap(), part.threads(threads).run().unwrap());
            assert!(one == more, "case {i} from {region:?} with {threads} threads");
        }
    }
}

#[test]
fn a_limit_on_the_ranges_loses_none() {
    for case in cases() {
        let whole = case.query.clone().run().unwrap().ranges;
        let most = whole.len() / 7 + 1;
        let (mut at, mut parts) = (0, Vec::<ByteRange>::new());
        while at < SIZE {
            let query = case.query.clone().region(at..).max_ranges(most).threads(2);
            let part = query.run().unwrap();
            assert!(part.processed_byte_length > 0);
            at += part.processed_byte_length;
            parts.extend(part.ranges);
        }
        assert!(parts == whole);
    }
}

#[test]
fn a_page_that_two_pieces_name_is_refused() {
    for threads in [1, 2, 4] {
        let case = tracked(PageOrder::InOrder, |_| Chunk::Ragged);
        // The last chunk's entry is made that of the first, with a checksum that holds.
        let path = table(&case);
        let chunks = SIZE.div_ceil(16 << 10).div_ceil(1021);
        let (page, place) = ((chunks - 1) / 1021, (chunks - 1) % 1021);
        let first = vhdx_rct_fixtures::rct::read_at(&path, OFFSET_TABLE + 12, 4).unwrap();
        patch(&path, OFFSET_TABLE + page * PAGE + 12 + place * 4, &first).unwrap();
        fix_checksum(&path, OFFSET_TABLE + page * PAGE, Checksum::At4From8).unwrap();
        // Also where the region begins inside the chunk.
        for start in [0, 5 * MB] {
            let query = case.query.clone().region(start..).threads(threads);
            let error = query.run().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.to_string().contains("is named by"), "{error}");
        }
    }
}

#[test]
fn a_second_checksum_convention_is_refused() {
    let case = tracked(PageOrder::InOrder, |_| Chunk::Ragged);
    let path = table(&case);
    let last = path.metadata().unwrap().len() - PAGE;
    // Only the checksum's place and cover change: alone, the page would be good.
    patch(&path, last, &[0; 12]).unwrap();
    fix_checksum(&path, last, Checksum::At8From12).unwrap();
    for threads in [1, 2, 4] {
        let error = case.query.clone().threads(threads).run().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("checksum of the sequence page"), "{error}");
    }
}

#[test]
fn a_read_that_fails_is_an_error() {
    let case = tracked(PageOrder::InOrder, |_| Chunk::Ragged);
    let hits: fn(Call, &Path) -> bool =
        |call, path| call == Call::Read && path.extension().is_some_and(|name| name == "rct");
    let failing = |at| {
        let fault = Fault { at, ..Fault::none(hits) };
        let storage = Faulty::new(Arc::new(LocalStorage::new()), fault);
        (storage.clone(), case.query.clone().threads(3).storage(Arc::new(storage)))
    };
    let (storage, whole) = failing(u64::MAX);
    whole.run().unwrap();
    let reads = storage.calls();
    assert!(reads > 100, "{reads} reads");
    for at in (0..reads).step_by(13).chain([reads - 1]) {
        let error = failing(at).1.run().unwrap_err();
        assert!(error.to_string().contains("injected"), "read {at}: {error}");
    }
}

#[test]
fn a_stream_that_nobody_wants_ends_its_threads() {
    let case = tracked(PageOrder::InOrder, |_| Chunk::Ragged);
    let start = Instant::now();
    let first = case.query.clone().threads(4).stream().unwrap().next();
    assert!(first.unwrap().is_ok());
    assert!(start.elapsed() < Duration::from_secs(20));
    let late = case.query.clone().threads(4).deadline(Instant::now());
    let error = late.run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let job = case.query.threads(4).start();
    let control = job.control();
    assert_eq!(job.wait().unwrap().ranges.len() as u64, case.answer.ranges);
    assert_eq!(control.percent_complete(), 100);
}

#[test]
fn a_thread_that_panics_is_an_error() {
    let case = tracked(PageOrder::InOrder, |_| Chunk::Ragged);
    let storage = Injected::at("disk.vhdx.rct", 20, Reaction::Panic);
    let ranges: Result<Vec<ByteRange>, Error> =
        case.query.storage(storage).threads(2).stream().unwrap().collect();
    assert_eq!(ranges.unwrap_err().kind(), ErrorKind::WorkerVanished);
}
