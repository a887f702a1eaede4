//! Questions about regions of large disks, from one thread and from several at once.

use crate::common::faulty::{Call, Fault, Faulty, Reaction};
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use vhdx_rct::source::LocalStorage;
use vhdx_rct::{Baseline, ByteRange, ChangeQuery, Disk, ErrorKind, OpenOptions, RctId};
use vhdx_rct_fixtures::bulk::{Chunk, Disk as Bulk, State, Table, Tally};
use vhdx_rct_fixtures::rct::{Checksum, OFFSET_TABLE, PAGE, PageOrder, fix_checksum, patch};
use vhdx_rct_fixtures::rng::mix;
use vhdx_rct_fixtures::vhdx::{MB, ParentLocator};

#[allow(dead_code)] // its `main` is the example's
#[path = "../../examples/regions_in_threads.rs"]
mod example;

const GB: u64 = 1 << 30;
/// Several chunks of a bitmap, and not a whole number of them.
const SIZE: u64 = 27 * GB + 5 * MB;

struct Case {
    folder: TempDir,
    path: PathBuf,
    since: Baseline,
    answer: Tally,
}

impl Case {
    fn open(&self) -> Disk {
        Disk::open(&self.path).unwrap()
    }

    fn query(&self) -> ChangeQuery {
        self.open().changes(self.since.clone())
    }

    fn table(&self) -> PathBuf {
        self.folder.path().join("disk.vhdx.rct")
    }
}

fn tracked(order: PageOrder, state: fn(u64) -> Chunk) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhdx");
    let empty = Bulk { size: SIZE, block: 32 * MB, seed: 1, longest_run: 1 };
    empty.builder().write(&path).unwrap();
    let table = Table { size: SIZE, seed: 5, longest_run: 9, order };
    let answer = table.write(&folder.path().join("disk.vhdx.rct"), state).unwrap().answer;
    let (branch, number) = table.limit();
    Case { folder, path, since: RctId::new(branch, number).into(), answer }
}

fn child(state: fn(u64) -> State) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let (parent, path) = (folder.path().join("parent.vhdx"), folder.path().join("child.avhdx"));
    let plan = Bulk { size: SIZE, block: 2 * MB, seed: 3, longest_run: 2000 };
    let linkage = plan.builder().write(&parent).unwrap().data_write_guid;
    let locator = ParentLocator::new(linkage).relative(".\\parent.vhdx");
    let answer = plan.write(&path, &plan.builder().parent(locator), state).unwrap().answer;
    Case { folder, path, since: Baseline::File(parent), answer }
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

#[test]
fn regions_from_several_threads_join_to_one_answer() {
    for (i, case) in cases().into_iter().enumerate() {
        let disk = case.open();
        let whole = disk.changes(case.since.clone()).collect().unwrap().ranges;
        let bytes: u64 = whole.iter().map(|range| range.length).sum();
        assert_eq!((whole.len() as u64, bytes), (case.answer.ranges, case.answer.bytes));
        for threads in [1, 2, 3, 7, 50].map(|number| NonZero::new(number).unwrap()) {
            let joined = example::changes_in_regions(&disk, &case.since, threads).unwrap();
            assert!(joined == whole, "case {i} from {threads} threads");
        }
    }
}

#[test]
fn a_failing_region_fails_the_whole_answer() {
    let case = tracked(PageOrder::InOrder, |_| Chunk::Ragged);
    let hits = |call, path: &Path| call == Call::Read && path.ends_with("disk.vhdx.rct");
    let fault = Fault { stays: false, ..Fault::from(40, failure(), hits) };
    let disk = OpenOptions::new().storage(Faulty::local(fault)).open(&case.path).unwrap();
    let threads = NonZero::new(4).unwrap();
    let error = example::changes_in_regions(&disk, &case.since, threads).unwrap_err();
    assert!(error.to_string().contains("injected"), "{error}");
    // The disk answers later questions.
    let joined = example::changes_in_regions(&disk, &case.since, threads).unwrap();
    assert!(joined == case.query().collect().unwrap().ranges);
}

#[test]
fn range_limit_loses_no_ranges() {
    for case in cases() {
        let disk = case.open();
        let question = || disk.changes(case.since.clone());
        let whole = question().collect().unwrap().ranges;
        let most = whole.len() / 7 + 1;
        let (mut at, mut parts) = (0, Vec::<ByteRange>::new());
        while at < SIZE {
            let part = question().region(at..).max_ranges(most).collect().unwrap();
            assert!(part.processed_byte_length > 0);
            at += part.processed_byte_length;
            parts.extend(part.ranges);
        }
        assert!(parts == whole);
    }
}

#[test]
fn rejects_a_page_that_two_chunks_name() {
    let case = tracked(PageOrder::InOrder, |_| Chunk::Ragged);
    // The last chunk's entry is made that of the first, with a checksum that holds.
    let path = case.table();
    let chunks = SIZE.div_ceil(16 << 10).div_ceil(1021);
    let (page, place) = ((chunks - 1) / 1021, (chunks - 1) % 1021);
    let first = vhdx_rct_fixtures::rct::read_at(&path, OFFSET_TABLE + 12, 4).unwrap();
    patch(&path, OFFSET_TABLE + page * PAGE + 12 + place * 4, &first).unwrap();
    fix_checksum(&path, OFFSET_TABLE + page * PAGE, Checksum::At4From8).unwrap();
    // Also if the region begins inside the chunk.
    for start in [0, 5 * MB] {
        let error = case.query().region(start..).collect().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("to belong to one chunk"), "{error}");
    }
}

#[test]
fn rejects_a_last_page_of_another_checksum_convention() {
    let case = tracked(PageOrder::InOrder, |_| Chunk::Ragged);
    let path = case.table();
    let last = path.metadata().unwrap().len() - PAGE;
    // Only the checksum's place and cover change: alone, the page would be good.
    patch(&path, last, &[0; 12]).unwrap();
    fix_checksum(&path, last, Checksum::At8From12).unwrap();
    let error = case.query().collect().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("checksum of the sequence page"), "{error}");
}

fn failure() -> Reaction {
    Reaction::Fail(io::ErrorKind::Other)
}

#[test]
fn every_read_that_fails_is_an_error() {
    let case = tracked(PageOrder::InOrder, |_| Chunk::Ragged);
    let hits = |call, path: &Path| call == Call::Read && path.ends_with("disk.vhdx.rct");
    let ask = |fault| {
        let storage = Arc::new(Faulty::new(Arc::new(LocalStorage::new()), fault));
        let disk = OpenOptions::new().storage(storage.clone()).open(&case.path).unwrap();
        (disk.changes(case.since.clone()).collect(), storage.calls())
    };
    let (answer, reads) = ask(Fault::none(hits));
    assert!(answer.is_ok() && reads > 100, "{reads} reads");
    for at in (0..reads).step_by(13).chain([reads - 1]) {
        let error = ask(Fault { stays: false, ..Fault::from(at, failure(), hits) }).0.unwrap_err();
        assert!(error.to_string().contains("injected"), "read {at}: {error}");
    }
}
