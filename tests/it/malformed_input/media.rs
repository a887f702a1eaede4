//! Media that fail at any call of a query, and files that change during one.

use super::bounds::Question;
use crate::common::faulty::{Call, Fault, Faulty, Reaction};
use crate::common::memory::{Changing, Restless};
use crate::common::prelude::*;
use crate::common::tables::table_bytes;
use std::io::ErrorKind;
use vhdx_rct_fixtures::rct::{Branch, RctBuilder};

pub const LEAF: &str = "/disks/leaf.avhdx";
const MIDDLE: &str = "/disks/middle.avhdx";
const BASE: &str = "/disks/base.vhdx";
const TABLE: &str = "/disks/base.vhdx.rct";
pub const FILES: [&str; 4] = [LEAF, MIDDLE, BASE, TABLE];
const BRANCH: Uuid = Uuid::from_u128(0xB);

fn disk(seed: u64) -> VhdxBuilder {
    VhdxBuilder::new(8 * MB).seed(seed).headers(HeaderPlan::Identical).disk_id(Uuid::from_u128(0xD))
}

/// Three files: the base has a table that resolves the id, the others answer through their BATs
/// and bitmaps; the leaf is dirty.
pub fn chain() -> MemoryStorage {
    let child = |seed, parent: &Image, name, block, sectors| {
        let locator = ParentLocator::new(parent.at.data_write_guid).relative(name);
        disk(seed).parent(locator).block(block, Block::Partial { sectors, fill: Fill(seed) })
    };
    let base = Image::new(&disk(1).block(0, Block::Full(Fill(1))));
    let middle = child(2, &base, r".\base.vhdx", 2, vec![3..9]).block(4, Block::Full(Fill(3)));
    let middle = Image::new(&middle);
    let leaf = child(4, &middle, r".\middle.avhdx", 6, vec![100..200]);
    let leaf = Image::new(&leaf.log(LogPlan::Dirty(Default::default())));
    let branches = vec![Branch { guid: BRANCH, first: 0, limit: u32::MAX }];
    let table = RctBuilder::new(8 * MB).branches(branches, 1).with(5..6, 2).detailed_all();
    MemoryStorage::new()
        .with(BASE, base.bytes)
        .with(MIDDLE, middle.bytes)
        .with(LEAF, leaf.bytes)
        .with(TABLE, table_bytes(&table, |_, _| {}))
}

pub fn baselines() -> [(Baseline, Vec<ByteRange>); 3] {
    let written = [2 * MB + 1536..2 * MB + 4608, 4 * MB..5 * MB, 6 * MB + 51200..6 * MB + 102400];
    let after = |first: &[_]| ranges(&[first, &written].concat());
    [
        (Baseline::Rct(RctId::new(BRANCH, 1)), after(&[5 << 14..6 << 14])),
        (Baseline::File(BASE.into()), after(&[])),
        (Baseline::Allocated, after(&[0..MB])),
    ]
}

fn question(storage: Arc<dyn Storage>, since: &Baseline) -> Question {
    Question::new(LEAF, since.clone()).with(|options| options.storage(storage))
}

fn ask(storage: Arc<dyn Storage>, since: &Baseline) -> Result<Vec<ByteRange>, Error> {
    Ok(question(storage, since).ask()?.ranges)
}

const FAULTS: [ErrorKind; 4] = [
    ErrorKind::Other,
    ErrorKind::UnexpectedEof,
    ErrorKind::PermissionDenied,
    ErrorKind::Interrupted,
];

type Hits = fn(Call, &Path) -> bool;

/// Lets every single call fail in every way; `judge` returns true for a permitted outcome.
fn fail_everywhere(
    hits: Hits,
    judge: impl Fn(ErrorKind, &Result<Vec<ByteRange>, Error>, &[ByteRange]) -> bool,
) {
    let files = Arc::new(chain());
    for (since, expected) in baselines() {
        let healthy = Faulty::new(files.clone(), Fault::none(hits));
        assert_eq!(ask(Arc::new(healthy.clone()), &since).unwrap(), expected, "{since}");
        assert!(healthy.calls() > 0);
        for at in 0..healthy.calls() {
            for (kind, stays) in FAULTS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
                let fault = Fault { stays, ..Fault::from(at, Reaction::Fail(kind), hits) };
                let result = ask(Arc::new(Faulty::new(files.clone(), fault)), &since);
                let name = || format!("since {since}, {kind:?} at call {at}, stays {stays}");
                assert!(judge(kind, &result, &expected), "{}: {result:?}", name());
            }
        }
    }
}

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rct")
}

fn is_read(call: Call) -> bool {
    matches!(call, Call::Open | Call::Size | Call::Read | Call::Version)
}

fn reads_disk(call: Call, path: &Path) -> bool {
    is_read(call) && !is_table(path)
}

/// A failure must not make an answer shorter.
#[test]
fn failed_lookup_or_unreadable_table_fails_or_leaves_the_answer_unchanged() {
    let unchanged = |_, result: &Result<Vec<ByteRange>, _>, expected: &[ByteRange]| {
        result.as_ref().map_or(true, |ranges| ranges == expected)
    };
    fail_everywhere(|call, path| is_read(call) && is_table(path), unchanged);
    fail_everywhere(|call, _| matches!(call, Call::Canonicalize | Call::List), unchanged);
}

#[test]
fn reports_a_failed_read_of_a_disk() {
    fail_everywhere(reads_disk, |kind, result, _| {
        let Err(error) = result else { return false };
        let code = if kind == ErrorKind::PermissionDenied { 32769 } else { 32768 };
        let is_leaf = error.path() == Some(LEAF.as_ref());
        error.return_value().code() == code
            && error.path().is_some()
            && error.subject() == if is_leaf { Subject::Disk } else { Subject::Parent }
            && error.io_kind() == Some(kind)
    });
}

/// Distinguishes a source that is out of memory from one that cannot read, and a parent that is
/// deleted between the search and the opening from the disk itself.
#[test]
fn maps_storage_errors_to_return_values() {
    let read: Hits = |call, path| call == Call::Read && path == Path::new(LEAF);
    let open: Hits = |call, path| call == Call::Open && path == Path::new(MIDDLE);
    let cases =
        [(ErrorKind::OutOfMemory, read, 32778, LEAF), (ErrorKind::NotFound, open, 32777, MIDDLE)];
    for (kind, hits, code, path) in cases {
        let fault = Fault::from(0, Reaction::Fail(kind), hits);
        let storage = Arc::new(Faulty::new(Arc::new(chain()), fault));
        let error = ask(storage, &Baseline::Allocated).unwrap_err();
        assert_eq!(error.return_value().code(), code, "{error}");
        assert!(error.to_string().contains(path), "{error}");
    }
}

#[test]
fn reports_a_failed_read_from_extents_and_lists_of_ids() {
    let files = Arc::new(chain());
    let (since, _) = &baselines()[0];
    let extents = |storage: Faulty| question(Arc::new(storage), since).ask_extents();
    // An incomplete chain has no known ids.
    let ids = |storage: Faulty| {
        let disk = question(Arc::new(storage), since).open()?;
        match (disk.known_ids().is_empty(), disk.missing_parent()) {
            (true, Some(error)) => Err(error.clone()),
            (false, None) => Ok(()),
            state => panic!("{state:?}"),
        }
    };
    for (name, ask) in [("extents", &extents as &dyn Fn(_) -> Result<(), Error>), ("ids", &ids)] {
        let healthy = Faulty::new(files.clone(), Fault::none(reads_disk));
        ask(healthy.clone()).unwrap();
        for at in 0..healthy.calls() {
            let fault = Fault::from(at, Reaction::Fail(ErrorKind::Other), reads_disk);
            let storage = Faulty::new(files.clone(), Fault { stays: false, ..fault });
            assert!(ask(storage).is_err(), "{name}, call {at}");
        }
    }
}

fn ask_leaf(file: Arc<Changing>) -> Result<Vec<ByteRange>, Error> {
    let mut files = MemoryStorage::new();
    files.insert(LEAF, file);
    ask(Arc::new(files), &Baseline::Allocated)
}

/// A writer changes blocks and, as writers do, the header. At any time, the answer is the one
/// before, the one after, or an error: never a mixture.
#[test]
fn detects_a_write_at_any_call_of_a_query() {
    let before = disk(4).block(1, Block::Full(Fill(1))).block(5, Block::Full(Fill(1)));
    let after = disk(4).block(2, Block::Full(Fill(2))).block(6, Block::Full(Fill(2)));
    let mut after = Image::new(&after);
    after.headers(8, 9_u64.to_le_bytes());
    after.headers(16, [0x99; 16]);
    let answers =
        [ranges(&[MB..2 * MB, 5 * MB..6 * MB]), ranges(&[2 * MB..3 * MB, 6 * MB..7 * MB])];
    let mut refused = 0;
    Changing::after_each_call(
        [Image::new(&before).bytes, after.bytes],
        |calls, file| match ask_leaf(file) {
            Ok(ranges) => assert!(answers.contains(&ranges), "after {calls} calls: {ranges:?}"),
            Err(error) => {
                assert_eq!(error.return_value().code(), 32774, "after {calls} calls: {error}");
                refused += 1;
            }
        },
    );
    assert!(refused > 2, "only {refused} were refused");
}

/// A source whose version differs has changed, regardless of its headers.
#[test]
fn rejects_a_file_whose_version_differs_at_the_end() {
    use Subject::{Disk, Parent, TrackingTable};
    for (since, expected) in baselines() {
        let mut refused = 0;
        for (file, subject) in FILES.into_iter().zip([Disk, Parent, Parent, TrackingTable]) {
            let mut storage = chain();
            storage.insert(file, Arc::new(Restless::new(storage.open(file.as_ref()).unwrap())));
            match ask(Arc::new(storage), &since) {
                Ok(ranges) => assert_eq!(ranges, expected, "{since}, {file}"),
                Err(error) => {
                    assert_eq!(error.return_value().code(), 32774, "{since}: {error}");
                    assert_eq!(error.path(), Some(file.as_ref()), "{since}: {error}");
                    assert_eq!(error.subject(), subject, "{since}: {error}");
                    refused += 1;
                }
            }
        }
        // A question reads the tables only since an id.
        let read = if matches!(since, Baseline::Rct(_)) { 4 } else { 3 };
        assert_eq!(refused, read, "{since}");
    }
}

/// The log is overwritten between the search for its entries and their replay. It is longer than
/// one read of it, so its start is read twice.
#[test]
fn detects_a_log_that_changes_during_its_replay() {
    let dirty = disk(4).block(1, Block::Full(Fill(1))).log_length(2 * MB);
    let before = Image::new(&dirty.log(LogPlan::Dirty(Default::default())));
    let mut after = before.clone();
    after.put(before.at.log_offset, vec![0xEE; 2 * MB as usize]);
    let (mut right, mut noticed) = (0, 0);
    Changing::after_each_call([before.bytes, after.bytes], |calls, file| match ask_leaf(file) {
        Ok(answer) => {
            assert_eq!(answer, ranges(&[MB..2 * MB]), "after {calls} calls");
            right += 1;
        }
        Err(error) if error.to_string().contains("changed while it was replayed") => {
            assert_eq!(error.return_value().code(), 32774);
            noticed += 1;
        }
        // The log, or a structure that is read through it, is junk.
        Err(error) => assert_eq!(error.return_value().code(), 32768, "after {calls}: {error}"),
    });
    assert!(right > 0 && noticed > 0, "{right} right, {noticed} noticed");
}

#[test]
fn detects_a_file_that_changes_its_length() {
    let image = Image::new(&disk(4).block(1, Block::Full(Fill(1))));
    for change in [-512_i64, 512, 1 << 20] {
        let file = Patched::new(&Arc::new(image.bytes.clone()));
        let length = (image.bytes.len() as i64 + change) as u64;
        let states = [file.clone(), file.long(length)];
        let all = Changing::new(&states, 1000);
        assert_eq!(ask_leaf(all.clone()).unwrap(), ranges(&[MB..2 * MB]));
        // All calls but the last one see the file as it was.
        let error = ask_leaf(Changing::new(&states, 1000 - all.remaining() - 1)).unwrap_err();
        assert_eq!(error.return_value().code(), 32774, "{change} bytes: {error}");
    }
}
