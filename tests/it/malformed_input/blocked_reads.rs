//! A medium on which one read blocks: it does not make an answer shorter, the job shows it, and a
//! deadline or a cancellation applies after that read.

use super::media::{FILES, LEAF, baselines, chain};
use crate::common::prelude::*;
use std::sync::{Condvar, LazyLock, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use vhdx_rct::{CancelToken, Job, JobState};

/// Blocks one read until the gate is opened.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The number of reads that do not block; None if none does.
    remaining: Option<u64>,
    reached: bool,
}

impl Gate {
    /// Lets this many reads through from now on, and blocks the next.
    fn close_after(&self, reads: u64) {
        self.state.lock().unwrap().remaining = Some(reads);
    }

    fn read(&self) {
        let mut state = self.state.lock().unwrap();
        match state.remaining {
            None => {}
            Some(0) => {
                state.reached = true;
                self.changed.notify_all();
                drop(self.changed.wait_while(state, |state| state.remaining.is_some()).unwrap());
            }
            Some(reads) => state.remaining = Some(reads - 1),
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
        self.state.lock().unwrap().remaining = None;
        self.changed.notify_all();
    }
}

struct BlockingSource {
    file: Arc<dyn Source>,
    gate: Arc<Gate>,
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
    static CHAIN: LazyLock<MemoryStorage> = LazyLock::new(chain);
    let gate = Arc::new(Gate::default());
    let mut files = CHAIN.clone();
    for path in FILES {
        let file = files.open(path.as_ref()).unwrap();
        files.insert(path, Arc::new(BlockingSource { file, gate: gate.clone() }));
    }
    let mut options = OpenOptions::new();
    options.storage(Arc::new(files));
    (options, gate)
}

type Opening = JoinHandle<Result<Disk, Error>>;
type Answer = Result<Vec<ByteRange>, Error>;

/// Starts a question whose read `at` blocks; None if it has no such read.
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

/// Starts an opening whose read `at` blocks; None if it has no such read.
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

/// Blocks each read in turn; `ask` returns the result. Only the last read may have no check of the
/// deadline and the token after it.
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

/// Verifies that a job is still in the read, and lets it finish.
fn finish((job, gate): (Job, Arc<Gate>), at: u64) -> Answer {
    assert!(!job.wait_timeout(Duration::from_millis(2)), "read {at} does not block");
    let handle = job.handle();
    assert!(!handle.state().is_final() && handle.percent_complete() < 100, "read {at}");
    gate.open();
    job.join().map(|changes| changes.ranges)
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
            Some(finish((job, gate), at))
        });
    }
}

/// Calls `attempt` with longer and longer deadlines, until the read is reached before
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
            Some(finish(after_deadline(attempt)?, at))
        });
    }
}

/// The deadline and the token of the opening do not apply to questions about the opened disk.
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

#[test]
fn slow_read_does_not_change_the_answer() {
    for (since, expected) in baselines() {
        for at in [0, 1, 3, 5] {
            let blocked = blocked_question(&since, at, None).unwrap();
            assert_eq!(finish(blocked, at).unwrap(), expected, "read {at} since {since}");
        }
    }
}
