//! A medium of which one read does not come back until it is let through: no answer is shorter
//! for it, the caller can tell, and a deadline or a cancellation ends with that read.

use super::media::{LEAF, baselines, chain};
use crate::common::memory::MemoryStorage;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use vhdx_rct::source::{Source, Storage};
use vhdx_rct::{
    Baseline, ByteRange, CancelToken, Disk, Error, ErrorKind, Job, JobState, OpenOptions,
};

/// Blocks one read from when it is made until the gate is opened.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// How many more reads come back at once; None if all do.
    left: Option<u64>,
    reached: bool,
}

impl Gate {
    /// Lets this many reads through from now on, and blocks the next.
    fn close_after(&self, reads: u64) {
        self.state.lock().unwrap().left = Some(reads);
    }

    fn read(&self) {
        let mut state = self.state.lock().unwrap();
        match state.left {
            None => {}
            Some(0) => {
                state.reached = true;
                self.changed.notify_all();
                drop(self.changed.wait_while(state, |state| state.left.is_some()).unwrap());
            }
            Some(left) => state.left = Some(left - 1),
        }
    }

    /// Waits until the read is made; false if the work ends without it.
    fn is_reached(&self, has_ended: impl Fn() -> bool) -> bool {
        let mut state = self.state.lock().unwrap();
        while !state.reached {
            if has_ended() {
                return false;
            }
            state = self.changed.wait_timeout(state, Duration::from_millis(1)).unwrap().0;
        }
        true
    }

    fn open(&self) {
        self.state.lock().unwrap().left = None;
        self.changed.notify_all();
    }
}

struct Blocking {
    files: MemoryStorage,
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

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        self.files.list(directory)
    }
}

impl Source for BlockingSource {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.gate.read();
        self.file.read_exact_at(buffer, offset)
    }
}

/// The chain, and the gate in front of it.
fn gated() -> (OpenOptions, Arc<Gate>) {
    static FILES: LazyLock<MemoryStorage> = LazyLock::new(chain);
    let gate = Arc::new(Gate::default());
    let mut options = OpenOptions::new();
    options.storage(Arc::new(Blocking { files: FILES.clone(), gate: gate.clone() }));
    (options, gate)
}

type Opening = JoinHandle<Result<Disk, Error>>;
type Answer = Result<Vec<ByteRange>, Error>;

/// A question about the opened disk of which read `at` blocks; None if it has no such read.
fn blocked_question(
    since: &Baseline,
    at: u64,
    deadline: Option<Instant>,
) -> Option<(Job, Arc<Gate>)> {
    let (options, gate) = gated();
    let question = options.open(LEAF).unwrap().changes(since.clone());
    gate.close_after(at);
    let job = deadline.into_iter().fold(question, |question, at| question.deadline(at)).start();
    gate.is_reached(|| job.handle().state().is_final()).then_some((job, gate))
}

/// An opening of which read `at` blocks; None if it has no such read.
fn blocked_opening(
    at: u64,
    set: impl FnOnce(&mut OpenOptions) -> &mut OpenOptions,
) -> Option<(Opening, Arc<Gate>)> {
    let (mut options, gate) = gated();
    set(&mut options);
    gate.close_after(at);
    let opening = thread::spawn(move || options.open(LEAF));
    gate.is_reached(|| opening.is_finished()).then_some((opening, gate))
}

/// Blocks each read in turn; `ask` returns what comes of it. Only after the very last read may
/// there be nothing left that asks whether to go on.
fn block_each(
    since: &Baseline,
    expected: &[ByteRange],
    kind: ErrorKind,
    ask: impl Fn(u64) -> Option<Answer>,
) {
    let answers: Vec<Answer> = (0..).map_while(ask).collect();
    assert!(answers.len() > 5, "only {} reads since {since}", answers.len());
    for (at, answer) in answers.iter().enumerate() {
        match answer {
            Err(error) => assert_eq!(error.kind(), kind, "read {at} since {since}: {error}"),
            Ok(ranges) => {
                assert_eq!(ranges, expected, "read {at} since {since}");
                assert_eq!(at + 1, answers.len(), "read {at} since {since} is not the last");
            }
        }
    }
}

#[test]
fn cancelled_job_ends_after_the_current_read() {
    for (since, expected) in baselines() {
        block_each(&since, &expected, ErrorKind::Cancelled, |at| {
            let (job, gate) = blocked_question(&since, at, None)?;
            let handle = job.handle();
            assert!(matches!(handle.state(), JobState::Starting | JobState::Running), "read {at}");
            handle.cancel();
            assert_eq!(handle.state(), JobState::ShuttingDown, "read {at}");
            assert!(!job.wait_timeout(Duration::from_millis(2)), "it is still in the read");
            assert!(handle.percent_complete() < 100, "read {at}");
            gate.open();
            Some(job.join().map(|changes| changes.ranges))
        });
    }
}

/// Calls `attempt` with deadlines that are longer and longer, until the read is reached before
/// its deadline: on a busy machine a short one may pass before. Returns once it has passed.
fn after_deadline<T>(attempt: impl Fn(Instant) -> Option<T>) -> Option<T> {
    let (deadline, blocked) = [10, 100, 1000].into_iter().find_map(|milliseconds| {
        let deadline = Instant::now() + Duration::from_millis(milliseconds);
        Some((deadline, attempt(deadline)?))
    })?;
    thread::sleep(deadline.saturating_duration_since(Instant::now()));
    Some(blocked)
}

#[test]
fn deadline_that_passes_during_a_read_applies_after_it() {
    for (since, expected) in baselines() {
        block_each(&since, &expected, ErrorKind::TimedOut, |at| {
            let attempt = |deadline| blocked_question(&since, at, Some(deadline));
            let (job, gate) = after_deadline(attempt)?;
            assert!(!job.wait_timeout(Duration::ZERO), "it is still in the read");
            let handle = job.handle();
            assert!(!handle.state().is_final() && handle.percent_complete() < 100, "read {at}");
            gate.open();
            Some(job.join().map(|changes| changes.ranges))
        });
    }
}

/// The opening has a deadline and a token of its own; a disk that was opened nevertheless is
/// whole, and its questions know nothing of them.
#[test]
fn opening_ends_after_the_read_in_which_it_is_cancelled_or_late() {
    let (since, expected) = &baselines()[0];
    let finish = |(opening, gate): (Opening, Arc<Gate>)| {
        assert!(!opening.is_finished());
        gate.open();
        let disk = opening.join().unwrap()?;
        Ok(disk.changes(since.clone()).collect().unwrap().ranges)
    };
    block_each(since, expected, ErrorKind::Cancelled, |at| {
        let token = CancelToken::default();
        let blocked = blocked_opening(at, |options| options.cancel_token(token.clone()))?;
        token.cancel();
        Some(finish(blocked))
    });
    block_each(since, expected, ErrorKind::TimedOut, |at| {
        let attempt = |deadline| blocked_opening(at, |options| options.deadline(deadline));
        after_deadline(attempt).map(finish)
    });
}

/// A read that takes long and then comes back changes nothing.
#[test]
fn slow_read_does_not_change_the_answer() {
    for (since, expected) in baselines() {
        for at in [0, 1, 3, 5] {
            let (job, gate) = blocked_question(&since, at, None).unwrap();
            assert!(!job.wait_timeout(Duration::from_millis(5)), "it is in the read");
            gate.open();
            assert_eq!(job.join().unwrap().ranges, expected, "read {at} since {since}");
        }
    }
}
