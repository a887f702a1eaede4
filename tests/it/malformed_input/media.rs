//! Media that fail at any moment of a query, and files that change during one.

use super::bounds::Question;
use crate::common::faulty::{Call, Fault, Faulty, Reaction};
use crate::common::image::Image;
use crate::common::memory::{MemoryStorage, Restless, WithFile};
use crate::common::ranges;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;
use vhdx_rct::source::{Source, Storage};
use vhdx_rct::{Baseline, ByteRange, Error, RctId, Subject};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::{Branch, RctBuilder};
use vhdx_rct_fixtures::vhdx::{Block, HeaderPlan, LogPlan, MB, ParentLocator, VhdxBuilder};

pub const LEAF: &str = "/disks/leaf.avhdx";
const MIDDLE: &str = "/disks/middle.avhdx";
const BASE: &str = "/disks/base.vhdx";
const BRANCH: Uuid = Uuid::from_u128(0xB);

fn disk(seed: u64) -> VhdxBuilder {
    VhdxBuilder::new(8 * MB).seed(seed).headers(HeaderPlan::Identical).disk_id(Uuid::from_u128(0xD))
}

fn table(path: &str, unit: u64) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("table");
    let branches = vec![Branch { guid: BRANCH, first: 0, limit: u32::MAX }];
    let builder = RctBuilder::new(8 * MB).branches(branches, 1).with(unit..unit + 1, 2);
    builder.detailed_all().write(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
    std::fs::read(file).unwrap()
}

/// Three files: the base has a table that resolves the id, the others answer through their BATs
/// and bitmaps; the leaf is dirty.
pub fn chain() -> MemoryStorage {
    let base = Image::new(&disk(1).block(0, Block::Full(Fill(1))));
    let parent =
        |image: &Image, name: &str| ParentLocator::new(image.at.data_write_guid).relative(name);
    let partial = Block::Partial { sectors: vec![3..9], fill: Fill(2) };
    let middle = disk(2)
        .parent(parent(&base, r".\base.vhdx"))
        .block(2, partial)
        .block(4, Block::Full(Fill(3)));
    let middle = Image::new(&middle);
    let partial = Block::Partial { sectors: vec![100..200], fill: Fill(4) };
    let leaf = disk(3).parent(parent(&middle, r".\middle.avhdx")).block(6, partial);
    let leaf = Image::new(&leaf.log(LogPlan::Dirty(Default::default())));
    MemoryStorage::new()
        .with(BASE, base.bytes)
        .with(MIDDLE, middle.bytes)
        .with(LEAF, leaf.bytes)
        .with(format!("{BASE}.rct"), table(BASE, 5))
}

pub fn baselines() -> [(Baseline, Vec<ByteRange>); 3] {
    let middle = [2 * MB + 1536..2 * MB + 4608, 4 * MB..5 * MB];
    let leaf = 6 * MB + 51200..6 * MB + 102400;
    let [a, b] = middle.clone();
    [
        (
            Baseline::Rct(RctId::new(BRANCH, 1)),
            ranges(&[5 << 14..6 << 14, a.clone(), b.clone(), leaf.clone()]),
        ),
        (Baseline::File(BASE.into()), ranges(&[a.clone(), b.clone(), leaf.clone()])),
        (Baseline::Allocated, ranges(&[0..MB, a, b, leaf])),
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

/// Lets every single call fail in every way; `judge` returns the problem with an outcome.
fn fail_everywhere(
    hits: fn(Call, &Path) -> bool,
    judge: impl Fn(ErrorKind, Result<Vec<ByteRange>, Error>, &[ByteRange]) -> Result<(), String>,
) {
    let files = Arc::new(chain());
    for (since, expected) in baselines() {
        let healthy = Faulty::new(files.clone(), Fault::none(hits));
        assert_eq!(ask(Arc::new(healthy.clone()), &since).unwrap(), expected, "{since}");
        assert!(healthy.calls() > 0);
        for at in 0..healthy.calls() {
            for (kind, stays) in FAULTS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
                let storage = Faulty::new(
                    files.clone(),
                    Fault { reaction: Reaction::Fail(kind), at, stays, hits },
                );
                if let Err(problem) = judge(kind, ask(Arc::new(storage), &since), &expected) {
                    panic!("since {since}, {kind:?} at call {at}, stays {stays}: {problem}");
                }
            }
        }
    }
}

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rct")
}

/// Reads of disks.
fn of_disks(call: Call, path: &Path) -> bool {
    matches!(call, Call::Open | Call::Size | Call::Read | Call::Version) && !is_table(path)
}

/// Reads of tables.
fn of_tables(call: Call, path: &Path) -> bool {
    matches!(call, Call::Open | Call::Size | Call::Read | Call::Version) && is_table(path)
}

#[test]
fn unreadable_table_fails_or_leaves_the_answer_unchanged() {
    fail_everywhere(of_tables, |_, result, expected| match result {
        Ok(ranges) if ranges != expected => Err(format!("{ranges:?}")),
        _ => Ok(()),
    });
}

#[test]
fn a_read_that_fails_is_an_error() {
    fail_everywhere(of_disks, |kind, result, _| match result {
        Ok(ranges) => Err(format!("accepted, with {ranges:?}")),
        Err(error) => {
            let code = if kind == ErrorKind::PermissionDenied { 32769 } else { 32768 };
            let subject =
                if error.path() == Some(LEAF.as_ref()) { Subject::Disk } else { Subject::Parent };
            let right = error.return_value().code() == code
                && error.path().is_some()
                && error.subject() == subject
                && error.io_kind() == Some(kind);
            if right { Ok(()) } else { Err(format!("{:?} {error}", error.kind())) }
        }
    });
}

/// Distinguishes a source that is out of memory from one that cannot read, and a parent that goes
/// away between being found and being opened from the disk itself.
#[test]
fn storage_errors_map_to_return_values() {
    fn read(call: Call, path: &Path) -> bool {
        call == Call::Read && path == Path::new(LEAF)
    }
    fn open(call: Call, path: &Path) -> bool {
        call == Call::Open && path == Path::new(MIDDLE)
    }
    let memory: (_, fn(Call, &Path) -> bool, _, _) = (ErrorKind::OutOfMemory, read, 32778, LEAF);
    for (kind, hits, code, path) in [memory, (ErrorKind::NotFound, open, 32777, MIDDLE)] {
        let fault = Fault { reaction: Reaction::Fail(kind), at: 0, stays: true, hits };
        let storage = Arc::new(Faulty::new(Arc::new(chain()), fault));
        let error = ask(storage, &Baseline::Allocated).unwrap_err();
        assert_eq!(error.return_value().code(), code, "{error}");
        assert!(error.to_string().contains(path), "{error}");
    }
}

/// Looking for files may fail and be tried again; it may not make an answer shorter.
#[test]
fn failed_lookup_fails_or_leaves_the_answer_unchanged() {
    fn hits(call: Call, _: &Path) -> bool {
        matches!(call, Call::Canonicalize | Call::List)
    }
    fail_everywhere(hits, |_, result, expected| match result {
        Ok(ranges) if ranges != expected => Err(format!("{ranges:?}")),
        _ => Ok(()),
    });
}

/// The same for extents, and for the list of ids.
#[test]
fn extents_and_lists_of_ids_fail_too() {
    let files = Arc::new(chain());
    let (since, _) = &baselines()[0];
    let extents = |storage: Faulty| question(Arc::new(storage), since).ask_extents();
    // Of a chain that is not complete nothing is known, so the list is empty.
    let ids = |storage: Faulty| {
        let disk = question(Arc::new(storage), since).open()?;
        match (disk.known_ids().is_empty(), disk.missing_parent()) {
            (true, Some(error)) => Err(error.clone()),
            (false, None) => Ok(()),
            state => panic!("{state:?}"),
        }
    };
    for ask in [&extents as &dyn Fn(Faulty) -> Result<(), Error>, &ids] {
        let healthy = Faulty::new(files.clone(), Fault::none(of_disks));
        ask(healthy.clone()).unwrap();
        for at in 0..healthy.calls() {
            let fault = Fault {
                reaction: Reaction::Fail(ErrorKind::Other),
                at,
                stays: false,
                hits: of_disks,
            };
            assert!(ask(Faulty::new(files.clone(), fault)).is_err(), "call {at}");
        }
    }
}

/// Two states of the same files: the second from the given call on.
struct Changing {
    states: [MemoryStorage; 2],
    left: Arc<AtomicU64>,
}

struct ChangingSource {
    states: [Arc<dyn Source>; 2],
    left: Arc<AtomicU64>,
}

/// 0 while calls are left, then 1.
fn state(left: &AtomicU64) -> usize {
    let one_less = |left: u64| left.checked_sub(1);
    usize::from(left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err())
}

impl Storage for Changing {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        let [a, b] = &self.states;
        let (states, left) = ([a.open(path)?, b.open(path)?], self.left.clone());
        Ok(Arc::new(ChangingSource { states, left }))
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.states[0].canonicalize(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        self.states[0].list(directory)
    }
}

impl Source for ChangingSource {
    fn size(&self) -> io::Result<u64> {
        self.states[state(&self.left)].size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.states[state(&self.left)].read_exact_at(buffer, offset)
    }
}

/// A writer changes blocks and, as writers do, the header. Whenever that happens, the answer
/// is the one before, the one after, or an error: never one that was never true.
#[test]
fn a_file_that_is_written_to_during_a_query() {
    let before = disk(4).block(1, Block::Full(Fill(1))).block(5, Block::Full(Fill(1)));
    let after = disk(4).block(2, Block::Full(Fill(2))).block(6, Block::Full(Fill(2)));
    let mut after = Image::new(&after);
    after.headers(8, 9_u64.to_le_bytes());
    after.headers(16, [0x99; 16]);
    let states =
        [Image::new(&before), after].map(|image| MemoryStorage::new().with(LEAF, image.bytes));
    let answers =
        [ranges(&[MB..2 * MB, 5 * MB..6 * MB]), ranges(&[2 * MB..3 * MB, 6 * MB..7 * MB])];
    let mut refused = 0;
    for calls in 0..60 {
        let left = Arc::new(AtomicU64::new(calls));
        let storage = Arc::new(Changing { states: states.clone(), left: left.clone() });
        match ask(storage, &Baseline::Allocated) {
            Ok(ranges) => assert!(answers.contains(&ranges), "after {calls} calls: {ranges:?}"),
            Err(error) => {
                assert_eq!(error.return_value().code(), 32774, "after {calls} calls: {error}");
                refused += 1;
            }
        }
        if left.load(Ordering::Relaxed) > 0 {
            assert!(refused > 2, "only {refused} of {calls} were refused");
            return;
        }
    }
    panic!("a query of more than 60 calls");
}

/// A source whose version differs has changed, regardless of its headers.
#[test]
fn refuses_a_file_whose_version_differs_at_the_end() {
    let files = [LEAF, MIDDLE, BASE].map(String::from);
    let tables = [format!("{BASE}.rct")];
    for (since, expected) in baselines() {
        let mut refused = Vec::new();
        for file in files.iter().chain(&tables) {
            let mut storage = chain();
            storage.insert(file, Arc::new(Restless::new(storage.open(file.as_ref()).unwrap())));
            match ask(Arc::new(storage), &since) {
                Ok(ranges) => assert_eq!(ranges, expected, "{since}, {file}"),
                Err(error) => {
                    assert_eq!(error.return_value().code(), 32774, "{since}: {error}");
                    assert_eq!(error.path(), Some(file.as_ref()), "{since}: {error}");
                    let subject = match file.as_str() {
                        LEAF => Subject::Disk,
                        MIDDLE | BASE => Subject::Parent,
                        _ => Subject::TrackingTable,
                    };
                    assert_eq!(error.subject(), subject, "{since}: {error}");
                    refused.push(file);
                }
            }
        }
        // A question reads the tables only since an id.
        let read = if matches!(since, Baseline::Rct(_)) { 4 } else { 3 };
        assert_eq!(refused.len(), read, "{since}: {refused:?}");
    }
}

/// A log that is overwritten between the look for its entries and their replay. It is longer than
/// what is read of it at once, so its start is read twice.
#[test]
fn a_log_that_is_written_to_during_its_replay() {
    let dirty = disk(4).block(1, Block::Full(Fill(1))).log_length(2 * MB);
    let dirty = dirty.log(LogPlan::Dirty(Default::default()));
    let before = Image::new(&dirty);
    let mut after = before.clone();
    after.put(before.at.log_offset, vec![0xEE; 2 * MB as usize]);
    let states = [before, after].map(|image| MemoryStorage::new().with(LEAF, image.bytes));
    let (mut right, mut noticed) = (0, 0);
    for calls in 0..60 {
        let left = Arc::new(AtomicU64::new(calls));
        let storage = Arc::new(Changing { states: states.clone(), left });
        match ask(storage, &Baseline::Allocated) {
            Ok(answer) => {
                assert_eq!(answer, ranges(&[MB..2 * MB]), "after {calls} calls");
                right += 1;
            }
            Err(error) if error.to_string().contains("changed while it was replayed") => {
                assert_eq!(error.return_value().code(), 32774);
                noticed += 1;
            }
            // The log, or what is read through it, is junk.
            Err(error) => assert_eq!(error.return_value().code(), 32768, "after {calls}: {error}"),
        }
    }
    assert!(right > 0 && noticed > 0, "{right} right, {noticed} noticed");
}

/// A file that grows or shrinks has changed, too.
#[test]
fn a_file_that_changes_its_length() {
    let image = Image::new(&disk(4).block(1, Block::Full(Fill(1))));
    for change in [-512_i64, 512, 1 << 20] {
        let mut other = image.clone();
        other.bytes.resize((image.bytes.len() as i64 + change) as usize, 0);
        let states =
            [image.clone(), other].map(|image| MemoryStorage::new().with(LEAF, image.bytes));
        // All calls but the last one see the file as it was.
        let calls = |left| {
            let left = Arc::new(AtomicU64::new(left));
            let storage = Changing { states: states.clone(), left: left.clone() };
            (ask(Arc::new(storage), &Baseline::Allocated), left.load(Ordering::Relaxed))
        };
        let (answer, left) = calls(1000);
        assert_eq!(answer.unwrap(), ranges(&[MB..2 * MB]));
        let (answer, _) = calls(1000 - left - 1);
        assert_eq!(answer.unwrap_err().return_value().code(), 32774, "{change} bytes");
    }
}
