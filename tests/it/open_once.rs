//! A disk is opened once, and read in few large pieces: what is asked of a storage, counted.

use crate::common::memory::{MemoryStorage, WithFile};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use uuid::Uuid;
use vhdx_rct::source::{SliceSource, Source, Storage, Version};
use vhdx_rct::{Baseline, Disk, OpenOptions, RctId, SnapshotId, Tracking};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::Tracked;
use vhdx_rct_fixtures::set::RandomSet;
use vhdx_rct_fixtures::vhdx::{Block, DirtyLog, LogPlan, MB, ParentLocator, VhdxBuilder};

/// The reads of each file that was opened, by its path.
type Reads = BTreeMap<PathBuf, Vec<(u64, usize)>>;

/// Files in memory that may be opened once, and whose reads are recorded.
#[derive(Clone)]
struct Counting {
    files: Arc<MemoryStorage>,
    reads: Arc<Mutex<Reads>>,
}

struct CountingSource {
    inner: Arc<dyn Source>,
    path: PathBuf,
    reads: Arc<Mutex<Reads>>,
}

impl Counting {
    fn new(files: MemoryStorage) -> Self {
        Counting { files: Arc::new(files), reads: Arc::default() }
    }

    fn open(&self, path: &str) -> Disk {
        OpenOptions::new().storage(Arc::new(self.clone())).open(path).unwrap()
    }

    /// The number of opened files and of reads so far.
    fn counts(&self) -> (usize, usize) {
        let reads = self.reads.lock().unwrap();
        (reads.len(), reads.values().map(Vec::len).sum())
    }

    /// The reads since the last call.
    fn take(&self) -> Reads {
        let mut reads = self.reads.lock().unwrap();
        reads.iter_mut().map(|(path, of)| (path.clone(), std::mem::take(of))).collect()
    }
}

impl Storage for Counting {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        let inner = self.files.open(path)?;
        let earlier = self.reads.lock().unwrap().insert(path.to_owned(), Vec::new());
        assert_eq!(earlier, None, "{} is opened twice", path.display());
        Ok(Arc::new(CountingSource { inner, path: path.to_owned(), reads: self.reads.clone() }))
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.files.canonicalize(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        self.files.list(directory)
    }
}

impl Source for CountingSource {
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut reads = self.reads.lock().unwrap();
        reads.get_mut(&self.path).unwrap().push((offset, buffer.len()));
        self.inner.read_exact_at(buffer, offset)
    }

    fn version(&self) -> io::Result<Version> {
        self.inner.version()
    }
}

const SIZE: u64 = 256 * MB;
const BASE: &str = "/disks/base.vhdx";
const CHILD: &str = "/disks/child.avhdx";

/// The bytes of an image or a table.
fn written(write: impl FnOnce(&Path)) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path);
    std::fs::read(path).unwrap()
}

struct Pair {
    storage: Counting,
    parent_id: RctId,
    child_id: RctId,
}

/// A parent and its child, both tracked: full blocks, partial blocks, and none; written to after
/// the newest id of each.
fn pair_of(block_size: u64) -> Pair {
    let disk = |seed| VhdxBuilder::new(SIZE).seed(seed).block_size(block_size);
    let disk = |seed| disk(seed).disk_id(Uuid::from_u128(7));
    let base = disk(1).block(0, Block::Full(Fill(1))).block(3, Block::Full(Fill(1)));
    let mut guid = Uuid::nil();
    let base = written(|path| guid = base.write(path).unwrap().data_write_guid);
    let held = Block::Partial { sectors: vec![2..4, 100..200], fill: Fill(2) };
    let child = disk(2)
        .parent(ParentLocator::new(guid).relative(r".\base.vhdx"))
        .block(1, held.clone())
        .block(2, held)
        .block(3, Block::Full(Fill(3)));
    let child = written(|path| drop(child.write(path).unwrap()));
    let mut parent_table = Tracked::new(SIZE, 1);
    let parent_id = parent_table.create_id();
    parent_table.write(3 * block_size..3 * block_size + 1);
    let mut child_table = parent_table.child(2);
    for block in [1, 2] {
        child_table.write(block * block_size + 1024..block * block_size + 200 * 512);
    }
    child_table.write(3 * block_size..4 * block_size);
    let child_id = child_table.create_id();
    child_table.write(3 * block_size..3 * block_size + 1);
    let [base_rct, child_rct] = [parent_table, child_table]
        .map(|table| written(|path| drop(table.builder().write(path).unwrap())));
    let files = MemoryStorage::new()
        .with(BASE, base)
        .with(CHILD, child)
        .with(format!("{BASE}.rct"), base_rct)
        .with(format!("{CHILD}.rct"), child_rct);
    let id = |(branch, number)| RctId::new(branch, number);
    Pair { storage: Counting::new(files), parent_id: id(parent_id), child_id: id(child_id) }
}

const LEAF_AND_PARENT: [&str; 2] = [CHILD, BASE];

/// The start of the file, and the start of its metadata region.
const OPENING: [usize; 2] = [320 << 10, 128 << 10];

fn lengths(reads: &Reads, path: &str) -> Vec<usize> {
    reads[Path::new(path)].iter().map(|(_, length)| *length).collect()
}

#[test]
fn opening_reads_each_file_in_few_pieces() {
    let pair = pair_of(MB);
    pair.storage.open(CHILD);
    assert_eq!(pair.storage.counts(), (4, 6));
    let reads = pair.storage.take();
    for disk in LEAF_AND_PARENT {
        assert_eq!(lengths(&reads, disk), OPENING);
        assert_eq!(lengths(&reads, &format!("{disk}.rct")).len(), 1);
    }
}

#[test]
fn opening_costs_the_same_whatever_the_size() {
    let size = 64 << 40;
    let disk = VhdxBuilder::new(size).block_size(256 * MB).block(200_000, Block::Full(Fill(1)));
    let bytes = written(|path| drop(disk.write(path).unwrap()));
    let table = Tracked::new(size, 1).builder();
    let table = written(|path| drop(table.write(path).unwrap()));
    let files = MemoryStorage::new().with(BASE, bytes).with(format!("{BASE}.rct"), table);
    let storage = Counting::new(files);
    let disk = storage.open(BASE);
    assert!(matches!(disk.files()[0].tracking(), Tracking::Usable { .. }));
    let reads = storage.take();
    assert_eq!(lengths(&reads, BASE), OPENING);
    assert_eq!(lengths(&reads, &format!("{BASE}.rct")).len(), 1);
}

/// A log that is in use is read in windows of 1 MiB; then the start is read once more, through
/// it.
#[test]
fn opening_reads_a_log_in_large_windows() {
    for (log_size, windows) in [(MB, 1), (4 * MB, 4)] {
        let disk = VhdxBuilder::new(SIZE).log_length(log_size).block(1, Block::Full(Fill(1)));
        let disk = disk.log(LogPlan::Dirty(DirtyLog::default()));
        let bytes = written(|path| drop(disk.write(path).unwrap()));
        let storage = Counting::new(MemoryStorage::new().with(BASE, bytes));
        let disk = storage.open(BASE);
        assert!(disk.files()[0].replayed_log_entries() > Some(0));
        let reads = lengths(&storage.take(), BASE);
        let large = |length: &&usize| **length == MB as usize;
        // Replaying begins at the log's first window again.
        let read = reads.iter().filter(large).count();
        assert_eq!(read, if windows == 1 { 1 } else { windows + 1 }, "{reads:?}");
        // Each page that the log replaces is read from there.
        let replaced = reads.iter().filter(|length| **length == 4096).count();
        assert_eq!(reads.len() - read - replaced, OPENING.len() + 1, "{reads:?}");
    }
}

#[test]
fn queries_open_no_files_and_read_little() {
    for block_size in [MB, 2 * MB] {
        // What a question may read, with the opening.
        type Question = (fn(&Pair) -> Baseline, usize);
        let questions: [Question; 6] = [
            (|_| Baseline::File(BASE.into()), 14),
            (|_| Baseline::Parent, 14),
            (|_| Baseline::Allocated, 14),
            (|pair| pair.parent_id.into(), 14),
            (|pair| pair.child_id.into(), 18),
            // The table check is made once.
            (|pair| pair.child_id.into(), 14),
        ];
        let pair = pair_of(block_size);
        let disk = pair.storage.open(CHILD);
        let opening = pair.storage.counts().1;
        pair.storage.take();
        for (since, most) in questions {
            let since = since(&pair);
            let answer = disk.changes(since.clone()).collect().unwrap();
            assert!(!answer.ranges.is_empty() && answer.warnings.is_empty(), "{since}: {answer:?}");
            assert_eq!(pair.storage.counts().0, 4, "{since} opens files");
            let reads = pair.storage.take();
            let count: usize = reads.values().map(Vec::len).sum();
            assert!(opening + count <= most, "{since}: {opening} + {count} reads: {reads:?}");
            // Nothing is read twice, but by the table check and the question after it.
            for (path, of) in &reads {
                let distinct: BTreeSet<_> = of.iter().collect();
                let twice = of.len() - distinct.len();
                let checked = most == 18 && path.extension().is_some_and(|e| e == "rct");
                assert!(twice == 0 || checked, "{since}: {} {of:?}", path.display());
                // No field is read on its own.
                let least = of.iter().map(|(_, length)| *length).min();
                assert!(
                    least.is_none_or(|length| length >= 64),
                    "{since}: {} {of:?}",
                    path.display()
                );
            }
            // Each disk's headers once, at the end.
            for disk in LEAF_AND_PARENT {
                let at_headers = |(offset, _): &&(u64, usize)| *offset == 64 << 10;
                let of = &reads[Path::new(disk)];
                assert_eq!(of.iter().filter(at_headers).count(), 1, "{since}: {of:?}");
                assert_eq!(of.last().map(|read| read.0), Some(64 << 10), "{since}: {of:?}");
            }
        }
    }
}

#[test]
fn other_operations_open_no_files() {
    let pair = pair_of(MB);
    let disk = pair.storage.open(CHILD);
    assert!(!disk.known_ids().is_empty() && disk.newest_id().is_some());
    disk.next_baselines().unwrap();
    disk.check().unwrap();
    disk.check_tables().unwrap();
    disk.metadata_parts(0).unwrap();
    assert!(disk.extents(..).unwrap().all(|extent| extent.is_ok()));
    let mut extents = disk.changes(Baseline::Allocated).extents().unwrap();
    assert!(extents.all(|extent| extent.is_ok()));
    disk.changes(Baseline::Parent).start().join().unwrap();
    disk.read_exact_at(&mut [0; 4096], 0).unwrap();
    std::io::copy(&mut disk.reader(), &mut std::io::sink()).unwrap();
    disk.clone().verify_unchanged().unwrap();
    assert_eq!(pair.storage.counts().0, 4);
}

#[test]
fn a_pair_with_one_table_opens_three_files() {
    let pair = pair_of(MB);
    let mut files = MemoryStorage::new();
    for path in [CHILD.to_owned(), BASE.to_owned(), format!("{BASE}.rct")] {
        files.insert(path.clone(), pair.storage.files.open(path.as_ref()).unwrap());
    }
    let storage = Counting::new(files);
    let disk = storage.open(CHILD);
    disk.changes(Baseline::File(BASE.into())).collect().unwrap();
    disk.changes(pair.parent_id).collect().unwrap();
    assert_eq!(storage.counts().0, 3);
}

/// Files that cannot be used are opened once, too, and not again by each question.
#[test]
fn unusable_files_are_opened_once() {
    let pair = pair_of(MB);
    let good = |path: &str| pair.storage.files.open(path.as_ref()).unwrap();
    let mut files = MemoryStorage::new().with(BASE, vec![0; 1 << 20]);
    files.insert(CHILD, good(CHILD));
    files.insert(format!("{CHILD}.rct"), Arc::new(SliceSource(vec![0; 4096])));
    let storage = Counting::new(files);
    let disk = storage.open(CHILD);
    for _ in 0..3 {
        assert!(disk.changes(Baseline::Allocated).collect().is_err());
        assert!(disk.changes(pair.child_id).collect().is_err());
        disk.changes(Baseline::Parent).collect().unwrap();
    }
    assert_eq!(storage.counts().0, 3);
}

#[test]
fn a_set_is_opened_once() {
    let mut answered = 0;
    for seed in 0..12 {
        let directory = tempfile::tempdir().unwrap();
        let set = RandomSet::random(directory.path(), seed).unwrap();
        let mut files = MemoryStorage::new();
        for entry in directory.path().read_dir().unwrap() {
            let path = entry.unwrap().path();
            files.insert(path.clone(), Arc::new(SliceSource(std::fs::read(path).unwrap())));
        }
        let ids = set.snapshots.iter().map(|snapshot| SnapshotId(snapshot.id));
        for target in std::iter::once(None).chain(ids.clone().map(Some)) {
            let storage = Counting::new(files.clone());
            let mut options = OpenOptions::new();
            options.storage(Arc::new(storage.clone()));
            target.map(|id| options.target(id));
            let Ok(disk) = options.open(&set.path) else { continue };
            let opened = storage.counts().0;
            disk.changes(Baseline::Allocated).collect().unwrap();
            for since in ids.clone() {
                answered += usize::from(disk.changes(since).collect().is_ok());
            }
            assert_eq!(storage.counts().0, opened, "seed {seed}: a question opens files");
        }
    }
    assert!(answered > 10, "only {answered} questions were answered");
}
