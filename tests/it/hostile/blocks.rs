//! A medium of which one read does not come back, until it does: no answer is shorter for it,
//! whoever waits can tell, and a deadline or a cancelled job ends with that read.

use super::media::{LEAF, chain, limits};
use crate::common::memory::Memory;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use vhdx_rct::source::{Source, Storage};
use vhdx_rct::{ByteRange, ChangeQuery, Error, ErrorKind, Job, JobState, Limit};

/// Read `at` blocks from when it is made until somebody opens the gate.
struct Gate {
    at: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    reads: u64,
    open: bool,
}

impl Gate {
    fn new(at: u64) -> Arc<Self> {
        Arc::new(Gate { at, state: Mutex::default(), changed: Condvar::new() })
    }

    fn read(&self) {
        let mut state = self.state.lock().unwrap();
        state.reads += 1;
        self.changed.notify_all();
        if state.reads == self.at + 1 {
            drop(self.changed.wait_while(state, |state| !state.open).unwrap());
        }
    }

    /// Waits until the read is made; false where the query ends without.
    fn is_reached(&self, job: &Job) -> bool {
        let mut state = self.state.lock().unwrap();
        while state.reads <= self.at {
            if job.state().is_final() {
                return false;
            }
            state = self.changed.wait_timeout(state, Duration::from_millis(1)).unwrap().0;
        }
        true
    }

    fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }
}

struct Blocking {
    files: Memory,
    gate: Arc<Gate>,
}

struct BlockingSource {
    file: Arc<dyn Source>,
    gate: Arc<Gate>,
}

impl Storage for Blocking {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        Ok(Arc::new(BlockingSource { file: self.files.open(path)?, gate: self.gate.clone() }))
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.files.canonicalize(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        self.files.list(folder)
    }
}

impl Source for BlockingSource {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.gate.read();
        self.file.read_exact_at(buffer, offset)
    }
}

/// A question of which read `at` blocks, and the gate; None where it has no such read.
fn blocked(
    files: &Memory,
    limit: &Limit,
    at: u64,
    deadline: Option<Instant>,
) -> Option<(Job, Arc<Gate>)> {
    let gate = Gate::new(at);
    let storage = Arc::new(Blocking { files: files.clone(), gate: gate.clone() });
    let query = ChangeQuery::new(LEAF).since(limit.clone()).storage(storage);
    let query = deadline.into_iter().fold(query, |query, deadline| query.deadline(deadline));
    let job = query.start();
    gate.is_reached(&job).then_some((job, gate))
}

/// Blocks each read in turn; `ask` gives what comes of it. Only who was in the last read of all
/// may have nothing more to ask whether it should go on.
fn block_each(ask: impl Fn(&Limit, u64) -> Option<Result<Vec<ByteRange>, Error>>, kind: ErrorKind) {
    for (limit, expected) in limits() {
        let mut answers = Vec::new();
        while let Some(answer) = ask(&limit, answers.len() as u64) {
            answers.push(answer);
        }
        assert!(answers.len() > 20, "only {} reads since {limit}", answers.len());
        for (at, answer) in answers.iter().enumerate() {
            match answer {
                Err(error) => assert_eq!(error.kind(), kind, "read {at} since {limit}: {error}"),
                Ok(ranges) => {
                    assert_eq!(*ranges, expected, "read {at} since {limit}");
                    assert_eq!(at + 1, answers.len(), "read {at} since {limit} is not the last");
                }
            }
        }
    }
}

#[test]
fn a_job_cancelled_in_a_read_ends_with_it() {
    let files = chain();
    let ask = |limit: &Limit, at| {
        let (job, gate) = blocked(&files, limit, at, None)?;
        assert!(matches!(job.state(), JobState::Starting | JobState::Running), "read {at}");
        job.cancel();
        assert_eq!(job.state(), JobState::ShuttingDown, "read {at}");
        let job = job.wait_for(Duration::from_millis(2)).expect_err("it is still in the read");
        assert!(job.percent_complete() < 100, "read {at}");
        gate.open();
        Some(job.wait().map(|changes| changes.ranges))
    };
    block_each(ask, ErrorKind::Cancelled);
}

#[test]
fn a_deadline_that_passes_in_a_read_counts_when_it_comes_back() {
    let files = chain();
    let ask = |limit: &Limit, at| {
        // On a busy machine a short one may pass before the read.
        let (deadline, (job, gate)) = [10, 100, 1000].into_iter().find_map(|milliseconds| {
            let deadline = Instant::now() + Duration::from_millis(milliseconds);
            Some((deadline, blocked(&files, limit, at, Some(deadline))?))
        })?;
        std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
        // Nobody answers for a read that did not come back.
        let job = job.wait_for(Duration::ZERO).expect_err("it is still in the read");
        assert!(!job.state().is_final() && job.percent_complete() < 100, "read {at}");
        gate.open();
        Some(job.wait().map(|changes| changes.ranges))
    };
    block_each(ask, ErrorKind::TimedOut);
}

/// A read that takes long and then comes back changes nothing.
#[test]
fn a_read_that_comes_back_late_is_a_read() {
    let files = chain();
    for (limit, expected) in limits() {
        for at in [0, 5, 10, 20] {
            let (job, gate) = blocked(&files, &limit, at, None).unwrap();
            let job = job.wait_for(Duration::from_millis(5)).expect_err("it is in the read");
            gate.open();
            assert_eq!(job.wait().unwrap().ranges, expected, "read {at} since {limit}");
        }
    }
}
