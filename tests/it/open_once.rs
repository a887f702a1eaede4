//! The calls to the storage: each file is opened once, and read in few large pieces.

use crate::common::faulty::{Faulty, Reads};
use crate::common::image::Image;
use crate::common::memory::{MemoryStorage, WithFile};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;
use vhdx_rct::source::{SliceSource, Source, Storage};
use vhdx_rct::{Baseline, Disk, OpenOptions, RctId, SnapshotId, Tracking};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::Tracked;
use vhdx_rct_fixtures::set::RandomSet;
use vhdx_rct_fixtures::vhdx::{Block, DirtyLog, LogPlan, MB, ParentLocator, VhdxBuilder};

const SIZE: u64 = 256 * MB;
const BASE: &str = "/disks/base.vhdx";
const CHILD: &str = "/disks/child.avhdx";

fn open(storage: &Faulty, path: &str) -> Disk {
    OpenOptions::new().storage(Arc::new(storage.clone())).open(path).unwrap()
}

fn image(disk: &VhdxBuilder) -> Vec<u8> {
    Image::new(disk).bytes
}

/// The bytes of a tracking table.
fn table(tracked: &Tracked) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    tracked.builder().write(&path).unwrap();
    std::fs::read(path).unwrap()
}

struct Pair {
    files: MemoryStorage,
    parent_id: RctId,
    child_id: RctId,
}

/// A parent and its child, both with a tracking table; each was written to after its newest id.
fn pair_of(block_size: u64) -> Pair {
    let disk = |seed| VhdxBuilder::new(SIZE).seed(seed).block_size(block_size);
    let disk = |seed| disk(seed).disk_id(Uuid::from_u128(7));
    let base = disk(1).block(0, Block::Full(Fill(1))).block(3, Block::Full(Fill(1)));
    let base = Image::new(&base);
    let held = Block::Partial { sectors: vec![2..4, 100..200], fill: Fill(2) };
    let child = disk(2)
        .parent(ParentLocator::new(base.at.data_write_guid).relative(r".\base.vhdx"))
        .block(1, held.clone())
        .block(2, held)
        .block(3, Block::Full(Fill(3)));
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
    let files = MemoryStorage::new()
        .with(BASE, base.bytes)
        .with(CHILD, image(&child))
        .with(format!("{BASE}.rct"), table(&parent_table))
        .with(format!("{CHILD}.rct"), table(&child_table));
    let id = |(branch, number)| RctId::new(branch, number);
    Pair { files, parent_id: id(parent_id), child_id: id(child_id) }
}

impl Pair {
    /// The disk, opened through a recording storage.
    fn open(&self) -> (Disk, Faulty) {
        let storage = Faulty::recording(self.files.clone());
        (open(&storage, CHILD), storage)
    }

    fn file(&self, path: &str) -> Arc<dyn Source> {
        self.files.open(path.as_ref()).unwrap()
    }
}

const LEAF_AND_PARENT: [&str; 2] = [CHILD, BASE];

/// The start of the file, and the start of its metadata region.
const OPENING: [usize; 2] = [320 << 10, 128 << 10];

fn count(reads: &Reads) -> usize {
    reads.values().map(Vec::len).sum()
}

fn lengths(reads: &Reads, path: &str) -> Vec<usize> {
    reads[Path::new(path)].iter().map(|(_, length)| *length).collect()
}

#[test]
fn opening_reads_each_file_in_few_pieces() {
    let (_, storage) = pair_of(MB).open();
    let reads = storage.take_reads();
    assert_eq!((storage.opened(), count(&reads)), (4, 6));
    for disk in LEAF_AND_PARENT {
        assert_eq!(lengths(&reads, disk), OPENING);
        assert_eq!(lengths(&reads, &format!("{disk}.rct")).len(), 1);
    }
}

#[test]
fn opening_a_large_disk_needs_no_more_reads() {
    let size = 64 << 40;
    let disk = VhdxBuilder::new(size).block_size(256 * MB).block(200_000, Block::Full(Fill(1)));
    let table = table(&Tracked::new(size, 1));
    let files = MemoryStorage::new().with(BASE, image(&disk)).with(format!("{BASE}.rct"), table);
    let storage = Faulty::recording(files);
    let disk = open(&storage, BASE);
    assert!(matches!(disk.files()[0].tracking(), Tracking::Usable { .. }));
    let reads = storage.take_reads();
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
        let storage = Faulty::recording(MemoryStorage::new().with(BASE, image(&disk)));
        let disk = open(&storage, BASE);
        assert!(disk.files()[0].replayed_log_entries() > Some(0));
        let reads = lengths(&storage.take_reads(), BASE);
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
        let pair = pair_of(block_size);
        let (disk, storage) = pair.open();
        let opening = count(&storage.take_reads());
        // The maximum number of reads for each baseline, the opening included.
        let questions: [(Baseline, usize); 6] = [
            (Baseline::File(BASE.into()), 14),
            (Baseline::Parent, 14),
            (Baseline::Allocated, 14),
            (pair.parent_id.into(), 14),
            (pair.child_id.into(), 18),
            // The table check is made once.
            (pair.child_id.into(), 14),
        ];
        for (since, most) in questions {
            let answer = disk.changes(since.clone()).collect().unwrap();
            assert!(!answer.ranges.is_empty() && answer.warnings.is_empty(), "{since}: {answer:?}");
            assert_eq!(storage.opened(), 4, "{since} opens files");
            let reads = storage.take_reads();
            let count = count(&reads);
            assert!(opening + count <= most, "{since}: {opening} + {count} reads: {reads:?}");
            // Only the table check and the question after it read the same bytes; no read is of a
            // single field.
            for (path, of) in &reads {
                let name = format!("{since}: {} {of:?}", path.display());
                let distinct = of.len() == of.iter().collect::<BTreeSet<_>>().len();
                assert!(distinct || most == 18 && name.contains(".rct "), "{name}");
                assert!(of.iter().all(|(_, length)| *length >= 64), "{name}");
            }
            // The last read of each disk is of its headers.
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
    let (disk, storage) = pair_of(MB).open();
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
    assert_eq!(storage.opened(), 4);
}

#[test]
fn a_pair_with_one_table_opens_three_files() {
    let pair = pair_of(MB);
    let mut files = MemoryStorage::new();
    for path in [CHILD.to_owned(), BASE.to_owned(), format!("{BASE}.rct")] {
        files.insert(path.clone(), pair.file(&path));
    }
    let storage = Faulty::recording(files);
    let disk = open(&storage, CHILD);
    disk.changes(Baseline::File(BASE.into())).collect().unwrap();
    disk.changes(pair.parent_id).collect().unwrap();
    assert_eq!(storage.opened(), 3);
}

#[test]
fn unusable_files_are_opened_once() {
    let pair = pair_of(MB);
    let files = MemoryStorage::new().with(BASE, vec![0; 1 << 20]);
    let mut files = files.with(format!("{CHILD}.rct"), vec![0; 4096]);
    files.insert(CHILD, pair.file(CHILD));
    let storage = Faulty::recording(files);
    let disk = open(&storage, CHILD);
    for _ in 0..3 {
        assert!(disk.changes(Baseline::Allocated).collect().is_err());
        assert!(disk.changes(pair.child_id).collect().is_err());
        disk.changes(Baseline::Parent).collect().unwrap();
    }
    assert_eq!(storage.opened(), 3);
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
            let storage = Faulty::recording(files.clone());
            let mut options = OpenOptions::new();
            options.storage(Arc::new(storage.clone()));
            target.map(|id| options.target(id));
            let Ok(disk) = options.open(&set.path) else { continue };
            let opened = storage.opened();
            disk.changes(Baseline::Allocated).collect().unwrap();
            for since in ids.clone() {
                answered += usize::from(disk.changes(since).collect().is_ok());
            }
            assert_eq!(storage.opened(), opened, "seed {seed}: a question opens files");
        }
    }
    assert!(answered > 10, "only {answered} questions were answered");
}
