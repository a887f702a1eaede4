//! Queries that share an opened disk, and the host offsets of extents.

use crate::common::faulty::{Call, Fault, Faulty, Reaction};
use crate::common::{RealImages, seeds};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vhdx_rct::{
    Baseline, CancelToken, ChangeQuery, Disk, ErrorKind, Extent, ExtentKind, OpenOptions,
};
use vhdx_rct_fixtures::chain::Chain;
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{Block, DirtyLog, LogPlan, MB, ParentLocator, Target, VhdxBuilder};

/// A disk whose ranges do not fit into one window, and whose reads take a while.
fn slow_disk(folder: &Path) -> Disk {
    let path = folder.join("disk.vhdx");
    let blocks = (0..60).map(|i| i * 20_000);
    let disk = blocks
        .fold(VhdxBuilder::new(2 << 40), |disk, block| disk.block(block, Block::Full(Fill::ZEROS)));
    disk.write(&path).unwrap();
    let hits = |call, path: &Path| call == Call::Read && path.ends_with("disk.vhdx");
    let delay = Reaction::Delay(Duration::from_millis(2));
    OpenOptions::new().storage(Faulty::local(Fault::from(0, delay, hits))).open(path).unwrap()
}

fn question(disk: &Disk) -> ChangeQuery {
    disk.changes(Baseline::Allocated)
}

#[test]
fn limits_of_one_query_do_not_affect_another() {
    let folder = tempfile::tempdir().unwrap();
    let disk = slow_disk(folder.path());
    let token = CancelToken::default();
    let deadline = Instant::now() + Duration::from_millis(100);
    let mut late = question(&disk).deadline(deadline).ranges().unwrap();
    let mut cancelled = question(&disk).cancel_token(token.clone()).ranges().unwrap();
    let mut third = question(&disk).ranges().unwrap();
    // All three are under way, and take turns.
    let first = third.next().unwrap().unwrap();
    assert_eq!(cancelled.next().unwrap().unwrap(), first);
    assert_eq!(late.next().unwrap().unwrap(), first);
    token.cancel();
    std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
    let mut found = vec![first];
    let ends = |changes: &mut vhdx_rct::Changes| changes.find_map(Result::err).map(|e| e.kind());
    found.push(third.next().unwrap().unwrap());
    assert_eq!(ends(&mut late), Some(ErrorKind::TimedOut));
    found.push(third.next().unwrap().unwrap());
    assert_eq!(ends(&mut cancelled), Some(ErrorKind::Cancelled));
    found.extend(third.map(Result::unwrap));
    assert_eq!(found.len(), 60);
    assert_eq!(found, question(&disk).collect().unwrap().ranges);
    assert!(late.next().is_none() && cancelled.next().is_none());
}

#[test]
fn limits_of_jobs_and_extents_do_not_affect_another() {
    let folder = tempfile::tempdir().unwrap();
    let disk = slow_disk(folder.path());
    let token = CancelToken::default();
    let jobs = [
        question(&disk).deadline(Instant::now() + Duration::from_millis(20)).start(),
        question(&disk).cancel_token(token.clone()).start(),
        question(&disk).start(),
        question(&disk).start(),
    ];
    let extents = question(&disk).cancel_token(token.clone()).extents().unwrap();
    jobs[3].handle().cancel();
    token.cancel();
    let kinds = jobs.map(|job| job.join().map(|answer| answer.ranges.len()).map_err(|e| e.kind()));
    let [late, cancelled, third, handled] = kinds;
    assert_eq!(late, Err(ErrorKind::TimedOut));
    assert_eq!(cancelled, Err(ErrorKind::Cancelled));
    assert_eq!(handled, Err(ErrorKind::Cancelled));
    assert_eq!(third, Ok(60));
    assert_eq!(extents.last().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    let late = question(&disk).deadline(Instant::now()).ranges().unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    // Content and later questions are read all the same.
    disk.read_exact_at(&mut [0; 4096], 0).unwrap();
    disk.verify_unchanged().unwrap();
    assert_eq!(question(&disk).collect().unwrap().ranges.len(), 60);
}

/// Extents of data, by whether they have an offset in their file.
#[derive(Debug, Default)]
struct Seen {
    stored: usize,
    elsewhere: usize,
}

/// The bytes at each offset are those of the disk.
fn compare(path: &Path, seen: &mut Seen) {
    let disk = Disk::open(path).unwrap();
    let of_region: Vec<Extent> = disk.extents(..).unwrap().map(Result::unwrap).collect();
    let of_question = question(&disk).extents().unwrap().map(Result::unwrap);
    let (mut at, size) = (0, disk.identity().virtual_size);
    for extent in of_region.iter().copied() {
        assert_eq!(extent.range.offset, at, "{}: a gap", path.display());
        at = extent.range.end();
    }
    assert_eq!(at, size);
    for extent in of_region.iter().copied().chain(of_question) {
        let Some(host_offset) = extent.host_offset else {
            seen.elsewhere += usize::from(extent.kind == ExtentKind::Data);
            continue;
        };
        assert_eq!(extent.kind, ExtentKind::Data, "{extent:?}");
        let source = disk.files()[extent.file].source();
        for part in extent.range.chunks(MB as usize) {
            let mut stored = vec![0; part.length as usize];
            let mut read = stored.clone();
            let host_offset = host_offset + (part.offset - extent.range.offset);
            source.read_exact_at(&mut stored, host_offset).unwrap();
            disk.read_exact_at(&mut read, part.offset).unwrap();
            assert!(stored == read, "{}: {part:?} of {extent:?}", path.display());
        }
        seen.stored += 1;
    }
}

#[test]
fn host_offsets_lead_to_the_bytes_of_dirty_chains() {
    let mut seen = Seen::default();
    let mut dirty = 0;
    for seed in seeds(30, 240) {
        let folder = tempfile::tempdir().unwrap();
        let chain = Chain::random(folder.path(), seed).unwrap();
        let leaf = chain.files.last().unwrap();
        dirty += usize::from(!Disk::open(leaf).unwrap().files()[0].closed_cleanly());
        compare(leaf, &mut seen);
    }
    assert!(dirty > 5, "only {dirty} chains are dirty");
    assert!(seen.stored > 200 && seen.elsewhere > 5, "{seen:?}");
}

#[test]
fn host_offsets_lead_to_the_bytes_of_shipped_images() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    for name in ["base.vhdx", "child.avhdx", "grandchild.avhdx", "dirty.vhdx"] {
        let mut seen = Seen::default();
        compare(&directory.join(name), &mut seen);
        assert!(seen.stored > 0, "{name}: {seen:?}");
    }
}

/// Pages that the log replaces have no offset, whichever part of a block they are, in a child
/// too; the bytes around them have.
#[test]
fn pages_in_the_log_have_no_host_offset() {
    let folder = tempfile::tempdir().unwrap();
    let targets = vec![Target::Payload(1), Target::Bat];
    let log = || LogPlan::Dirty(DirtyLog { targets: targets.clone(), ..DirtyLog::default() });
    let disk = |seed| VhdxBuilder::new(4 * MB).seed(seed).disk_id(uuid::Uuid::from_u128(5));
    let root = disk(1).block(1, Block::Full(Fill(1))).block(2, Block::Full(Fill(2)));
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    root.clone().log(log()).write(&path("dirty.vhdx")).unwrap();
    let linkage = root.write(&path("root.vhdx")).unwrap().data_write_guid;
    let child = disk(2).parent(ParentLocator::new(linkage).relative(r".\root.vhdx"));
    let held = Block::Partial { sectors: vec![0..100], fill: Fill(3) };
    child.block(1, held).log(log()).write(&path("dirty.avhdx")).unwrap();
    for name in ["dirty.vhdx", "dirty.avhdx"] {
        let mut seen = Seen::default();
        compare(&path(name), &mut seen);
        assert!(seen.stored > 0 && seen.elsewhere > 0, "{name}: {seen:?}");
    }
}

#[test]
fn host_offsets_lead_to_the_bytes_of_real_dirty_images() {
    let Some(images) = RealImages::unpack("host offsets", |name| name.contains("dirty")) else {
        return;
    };
    let mut seen = Seen::default();
    for name in images.index.keys() {
        compare(&images.path(name), &mut seen);
    }
    assert!(seen.stored > 0, "{seen:?}");
}
