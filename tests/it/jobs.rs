//! The method's form that starts a job.

use crate::common::faulty::{Call, Fault, Faulty, Reaction};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vhdx_rct::{Baseline, ChangeQuery, Disk, ErrorKind, Job, JobState, OpenOptions};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{Block, VhdxBuilder};

/// A disk of 4 TB with a block now and then, so that a query takes many reads.
fn large_disk(folder: &Path) -> PathBuf {
    let path = folder.join("large.vhdx");
    let blocks = (0..200).map(|i| i * 20_000);
    let disk = blocks
        .fold(VhdxBuilder::new(4 << 40), |disk, block| disk.block(block, Block::Full(Fill::ZEROS)));
    disk.write(&path).unwrap();
    path
}

/// Asks a disk whose reads from one on react so.
fn faulty(path: &Path, at: u64, reaction: Reaction) -> (ChangeQuery, Arc<Faulty>) {
    let hits = |call, path: &Path| call == Call::Read && path.ends_with("large.vhdx");
    let storage = Faulty::local(Fault::from(at, reaction, hits));
    let disk = OpenOptions::new().storage(storage.clone()).open(path).unwrap();
    (disk.changes(Baseline::Allocated), storage)
}

fn allocated(path: &Path) -> ChangeQuery {
    Disk::open(path).unwrap().changes(Baseline::Allocated)
}

/// Each read of the disk takes a while, so that there is time to look.
fn slow(path: &Path, milliseconds: u64) -> ChangeQuery {
    faulty(path, 0, Reaction::Delay(Duration::from_millis(milliseconds))).0
}

/// The worker panics at its first read, since the opening needs no more than 10.
fn panicking(path: &Path) -> ChangeQuery {
    faulty(path, 10, Reaction::Panic).0
}

fn until(job: &Job, state: JobState) {
    let start = Instant::now();
    while job.handle().state() != state {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{:?} never became {state:?}",
            job.handle().state()
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn job_percentage_never_decreases() {
    let folder = tempfile::tempdir().unwrap();
    let path = large_disk(folder.path());
    let expected = allocated(&path).collect().unwrap();
    let job = slow(&path, 1).start();
    until(&job, JobState::Running);
    let (mut percent, mut seen) = (0, 0);
    while !job.wait_timeout(Duration::from_millis(5)) {
        let now = job.handle().percent_complete();
        assert!(
            percent <= now && (now < 100 || job.handle().state() == JobState::Completed),
            "{percent}, then {now}"
        );
        seen += u32::from(now > percent);
        percent = now;
    }
    assert!(seen > 5, "the percentage moved only {seen} times");
    assert_eq!(job.join().unwrap(), expected);
}

#[test]
fn completed_job_stays_at_100_percent() {
    let folder = tempfile::tempdir().unwrap();
    let job = allocated(&large_disk(folder.path())).start();
    until(&job, JobState::Completed);
    assert!(job.handle().state().is_final());
    assert_eq!(job.handle().percent_complete(), 100);
    assert_eq!(job.join().unwrap().ranges.len(), 200);
}

#[test]
fn cancels_promptly() {
    let folder = tempfile::tempdir().unwrap();
    let job = slow(&large_disk(folder.path()), 20).start();
    until(&job, JobState::Running);
    let start = Instant::now();
    job.handle().cancel();
    assert!(matches!(job.handle().state(), JobState::ShuttingDown | JobState::Terminated));
    until(&job, JobState::Terminated);
    let error = job.join().unwrap_err();
    assert_eq!((error.kind(), error.return_value().code()), (ErrorKind::Cancelled, 32768));
    assert!(start.elapsed() < Duration::from_secs(2), "took {:?}", start.elapsed());
}

#[test]
fn suspended_job_waits_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let job = slow(&large_disk(folder.path()), 2).start();
    until(&job, JobState::Running);
    job.handle().suspend();
    assert_eq!(job.handle().state(), JobState::Suspended);
    // A read that was under way is finished; then nothing moves.
    std::thread::sleep(Duration::from_millis(50));
    let before = job.handle().percent_complete();
    assert!(!job.wait_timeout(Duration::from_millis(200)));
    assert_eq!(
        (job.handle().state(), job.handle().percent_complete()),
        (JobState::Suspended, before)
    );
    job.handle().resume();
    assert_eq!(job.join().unwrap().ranges.len(), 200);
}

#[test]
fn cancellation_and_deadline_apply_while_suspended() {
    let folder = tempfile::tempdir().unwrap();
    let path = large_disk(folder.path());
    let job = slow(&path, 5).start();
    job.handle().suspend();
    job.handle().cancel();
    assert_eq!(job.join().unwrap_err().kind(), ErrorKind::Cancelled);
    let job = slow(&path, 5).deadline(Instant::now() + Duration::from_millis(300)).start();
    job.handle().suspend();
    assert_eq!(job.join().unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn errors_and_panics_of_the_worker_end_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let path = large_disk(folder.path());
    // A refusal is the job's result too.
    let job = Disk::open(&path).unwrap().changes(Baseline::Parent).start();
    until(&job, JobState::Exception);
    assert_eq!(job.join().unwrap_err().kind(), ErrorKind::InvalidParameter);

    let (query, _) = faulty(&path, 10, Reaction::Fail(io::ErrorKind::Other));
    let job = query.start();
    until(&job, JobState::Exception);
    assert_eq!(job.join().unwrap_err().kind(), ErrorKind::Io);

    let job = panicking(&path).start();
    until(&job, JobState::Killed);
    assert_eq!(job.join().unwrap_err().kind(), ErrorKind::WorkerLost);

    let job = panicking(&path).start();
    assert!(job.wait_timeout(Duration::from_secs(20)), "it ended");
    assert!(job.wait_timeout(Duration::ZERO), "it stays finished");
    assert_eq!(job.join().unwrap_err().kind(), ErrorKind::WorkerLost);
}

#[test]
fn a_handle_cancels_its_job_from_another_thread() {
    let folder = tempfile::tempdir().unwrap();
    let job = slow(&large_disk(folder.path()), 20).start();
    let handle = job.handle().clone();
    let stopper = std::thread::spawn(move || {
        handle.cancel();
        handle.state()
    });
    assert_eq!(job.join().unwrap_err().kind(), ErrorKind::Cancelled);
    let stopped = stopper.join().unwrap();
    assert!(matches!(stopped, JobState::ShuttingDown | JobState::Terminated), "{stopped:?}");
}

#[test]
fn dropping_a_job_stops_its_worker() {
    let folder = tempfile::tempdir().unwrap();
    let path = large_disk(folder.path());
    let (query, storage) = faulty(&path, 0, Reaction::Delay(Duration::from_millis(5)));
    let used = Arc::downgrade(&storage);
    drop(storage);
    let job = query.start();
    until(&job, JobState::Running);
    drop(job);
    // The worker drops the storage soon, long before it would have been done.
    let start = Instant::now();
    while used.strong_count() > 0 {
        assert!(start.elapsed() < Duration::from_secs(2), "the worker goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
}
