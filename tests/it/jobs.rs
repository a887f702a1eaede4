//! The method's form that starts a job.

use crate::common::injected::{Injected, Reaction};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vhdx_rct::{ChangeQuery, ErrorKind, Job, JobState, Limit};
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

/// Each read of the disk takes a while, so that there is time to look.
fn slow(path: &Path, milliseconds: u64) -> ChangeQuery {
    let reaction = Reaction::Delay(Duration::from_millis(milliseconds));
    ChangeQuery::new(path).since(Limit::Allocated).storage(Injected::at("large.vhdx", 0, reaction))
}

fn until(job: &Job, state: JobState) {
    let start = Instant::now();
    while job.state() != state {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{:?} never became {state:?}",
            job.state()
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_job_goes_from_starting_to_completed_and_its_percentage_only_grows() {
    let folder = tempfile::tempdir().unwrap();
    let path = large_disk(folder.path());
    let expected = ChangeQuery::new(&path).since(Limit::Allocated).run().unwrap();
    let mut job = slow(&path, 1).start();
    until(&job, JobState::Starting);
    until(&job, JobState::Running);
    let (mut percent, mut seen) = (0, 0);
    let changes = loop {
        match job.wait_for(Duration::from_millis(5)) {
            Ok(result) => break result.unwrap(),
            Err(running) => job = running,
        }
        let now = job.percent_complete();
        assert!(
            percent <= now && (now < 100 || job.state() == JobState::Completed),
            "{percent}, then {now}"
        );
        seen += u32::from(now > percent);
        percent = now;
    };
    assert!(seen > 5, "the percentage moved only {seen} times");
    assert_eq!(changes, expected);
}

#[test]
fn a_completed_job_is_at_100_until_its_result_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let job = ChangeQuery::new(large_disk(folder.path())).since(Limit::Allocated).start();
    until(&job, JobState::Completed);
    assert!(job.state().is_final());
    assert_eq!(job.percent_complete(), 100);
    assert_eq!(job.wait().unwrap().ranges.len(), 200);
}

#[test]
fn cancelling_is_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let job = slow(&large_disk(folder.path()), 20).start();
    until(&job, JobState::Running);
    let start = Instant::now();
    job.cancel();
    assert!(matches!(job.state(), JobState::ShuttingDown | JobState::Terminated));
    until(&job, JobState::Terminated);
    let error = job.wait().unwrap_err();
    assert_eq!((error.kind(), error.return_value().code()), (ErrorKind::Cancelled, 32768));
    assert!(start.elapsed() < Duration::from_secs(2), "took {:?}", start.elapsed());
}

#[test]
fn suspended_work_waits_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let job = slow(&large_disk(folder.path()), 2).start();
    until(&job, JobState::Running);
    job.suspend();
    assert_eq!(job.state(), JobState::Suspended);
    // A read that was under way is finished; then nothing moves.
    std::thread::sleep(Duration::from_millis(50));
    let before = job.percent_complete();
    let job = job.wait_for(Duration::from_millis(200)).unwrap_err();
    assert_eq!((job.state(), job.percent_complete()), (JobState::Suspended, before));
    job.resume();
    assert_eq!(job.wait().unwrap().ranges.len(), 200);
}

#[test]
fn cancelling_ends_a_suspension_and_a_deadline_goes_on_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = large_disk(folder.path());
    let job = slow(&path, 5).start();
    job.suspend();
    job.cancel();
    assert_eq!(job.wait().unwrap_err().kind(), ErrorKind::Cancelled);
    let job = slow(&path, 5).deadline(Instant::now() + Duration::from_millis(300)).start();
    job.suspend();
    assert_eq!(job.wait().unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn errors_and_panics_of_the_worker_end_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let job = ChangeQuery::new(folder.path().join("none.vhdx")).since(Limit::Allocated).start();
    until(&job, JobState::Exception);
    assert_eq!(job.wait().unwrap_err().kind(), ErrorKind::FileNotFound);

    let panics = Injected::at("large.vhdx", 10, Reaction::Panic);
    let job =
        ChangeQuery::new(large_disk(folder.path())).since(Limit::Allocated).storage(panics).start();
    until(&job, JobState::Killed);
    assert_eq!(job.wait().unwrap_err().kind(), ErrorKind::WorkerVanished);

    let panics = Injected::at("large.vhdx", 10, Reaction::Panic);
    let job =
        ChangeQuery::new(large_disk(folder.path())).since(Limit::Allocated).storage(panics).start();
    let result = job.wait_for(Duration::from_secs(20)).ok().expect("it ended");
    assert_eq!(result.unwrap_err().kind(), ErrorKind::WorkerVanished);
}

/// Whoever has the control need not have the job.
#[test]
fn a_job_is_stopped_by_its_control() {
    let folder = tempfile::tempdir().unwrap();
    let job = slow(&large_disk(folder.path()), 20).start();
    assert_eq!(job.return_value().code(), 4096);
    let control = job.control();
    let stopper = std::thread::spawn(move || {
        control.cancel();
        control.state()
    });
    assert_eq!(job.wait().unwrap_err().kind(), ErrorKind::Cancelled);
    let stopped = stopper.join().unwrap();
    assert!(matches!(stopped, JobState::ShuttingDown | JobState::Terminated), "{stopped:?}");
}

#[test]
fn dropping_a_job_stops_its_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = large_disk(folder.path());
    let reaction = Reaction::Delay(Duration::from_millis(5));
    let storage = Injected::at("large.vhdx", 0, reaction);
    let used = Arc::downgrade(&storage);
    let job = ChangeQuery::new(path).since(Limit::Allocated).storage(storage).start();
    until(&job, JobState::Running);
    drop(job);
    // The worker drops the storage soon, long before it would have been done.
    let start = Instant::now();
    while used.strong_count() > 0 {
        assert!(start.elapsed() < Duration::from_secs(2), "the worker goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
}
