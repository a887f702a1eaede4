//! A question that runs in the background: the method's return value 4096 with its job.

use super::{ChangeQuery, VirtualDiskChanges};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{CancelToken, Gate};
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// The states of `CIM_ConcreteJob`, with the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
#[non_exhaustive]
pub enum JobState {
    /// Created, but not started.
    New = 2,
    /// Preparing the question.
    Starting = 3,
    /// Searching for changes.
    Running = 4,
    /// Suspended by [`JobHandle::suspend`].
    Suspended = 5,
    /// Cancelled, but not stopped yet.
    ShuttingDown = 6,
    /// Finished with an answer.
    Completed = 7,
    /// Stopped because it was cancelled.
    Terminated = 8,
    /// Its worker was lost without a result.
    Killed = 9,
    /// Finished with an error.
    Exception = 10,
}

impl JobState {
    const ALL: [JobState; 9] = {
        use JobState::*;
        [New, Starting, Running, Suspended, ShuttingDown, Completed, Terminated, Killed, Exception]
    };

    /// Returns whether the job is finished.
    #[must_use]
    pub fn is_final(self) -> bool {
        self as u8 >= JobState::Completed as u8
    }
}

/// A question that runs in the background: the method's return value 4096 with its job.
///
/// Starting never fails: a refusal is the job's result, with [`JobState::Exception`]. Dropping
/// the job cancels it.
///
/// ```
/// # if !std::path::Path::new("testdata").exists() { return Ok(()); } // not in the packaged crate
/// # use std::time::Duration;
/// use vhdx_rct::{Baseline, Disk};
///
/// let job = Disk::open("testdata/child.avhdx")?.changes(Baseline::Allocated).start();
/// while !job.wait_timeout(Duration::from_millis(500)) {
///     eprintln!("{} %", job.handle().percent_complete());
/// }
/// let changes = job.join()?;
/// # assert!(!changes.ranges.is_empty());
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
pub struct Job {
    handle: JobHandle,
    result: Receiver<Result<VirtualDiskChanges>>,
    /// A result that was received but not returned yet.
    received: Mutex<Option<Result<VirtualDiskChanges>>>,
}

/// A handle to watch and control a [`Job`] from any thread: clone it into the thread that shows the
/// progress or handles user input.
#[derive(Clone)]
pub struct JobHandle {
    shared: Arc<Shared>,
    token: CancelToken,
    gate: Arc<Gate>,
}

/// The state that the worker publishes.
struct Shared {
    state: AtomicU8,
    /// The region and how far it was scanned, once the question is prepared.
    progress: OnceLock<(Range<u64>, Arc<AtomicU64>)>,
    percent: AtomicU8,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobHandle")
            .field("state", &self.state())
            .field("percent_complete", &self.percent_complete())
            .finish_non_exhaustive()
    }
}

impl Job {
    pub(super) fn start(mut query: ChangeQuery) -> Self {
        let (token, gate) = (CancelToken::default(), Arc::new(Gate::default()));
        query.limits_mut().job = Some((token.clone(), gate.clone()));
        let shared = Arc::new(Shared {
            state: AtomicU8::new(JobState::New as u8),
            progress: OnceLock::new(),
            percent: AtomicU8::new(0),
        });
        let (sender, result) = sync_channel(1);
        let worker = Worker { shared: shared.clone(), sender: sender.clone() };
        if let Err(cause) =
            thread::Builder::new().name("vhdx-rct".into()).spawn(move || worker.run(query))
        {
            shared.set(JobState::Exception);
            // The channel has room for one message, and nothing else is sent.
            let _ = sender.try_send(Err(Error::io("the job's thread cannot be started", cause)));
        }
        let handle = JobHandle { shared, token, gate };
        Job { handle, result, received: Mutex::default() }
    }

    /// Returns a handle to watch and control the job, also from another thread.
    #[must_use]
    pub fn handle(&self) -> &JobHandle {
        &self.handle
    }

    /// Waits at most `timeout` until the job has finished, and returns whether it has.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        if received.is_none() {
            *received = match self.result.recv_timeout(timeout) {
                Ok(result) => Some(result),
                Err(RecvTimeoutError::Disconnected) => Some(Err(worker_lost())),
                Err(RecvTimeoutError::Timeout) => None,
            };
        }
        received.is_some()
    }

    /// Waits for the result and returns it.
    ///
    /// # Errors
    /// Like [`ChangeQuery::collect`]; [`ErrorKind::Cancelled`]; [`ErrorKind::WorkerLost`] if the
    /// worker ended without a result.
    pub fn join(self) -> Result<VirtualDiskChanges> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner).take();
        received.unwrap_or_else(|| self.result.recv().unwrap_or_else(|_| Err(worker_lost())))
    }
}

impl JobHandle {
    /// Returns the current state of the job.
    #[must_use]
    pub fn state(&self) -> JobState {
        match self.shared.state() {
            state if state.is_final() => state,
            _ if self.token.is_cancelled() => JobState::ShuttingDown,
            _ if self.gate.is_suspended() => JobState::Suspended,
            state => state,
        }
    }

    /// Returns the processed part of the region in percent, 0 to 100. It never decreases, and is
    /// 100 only if the job has completed, including because the limit on the number of ranges was
    /// hit.
    #[must_use]
    pub fn percent_complete(&self) -> u8 {
        if self.shared.state() == JobState::Completed {
            return 100;
        }
        let Some((region, position)) = self.shared.progress.get() else { return 0 };
        let length = u128::from(region.end - region.start).max(1);
        let done = u128::from(position.load(Ordering::Relaxed) - region.start);
        let percent = u8::try_from(done * 100 / length).unwrap_or(99).min(99);
        self.shared.percent.fetch_max(percent, Ordering::Relaxed).max(percent)
    }

    /// Cancels the job: its result is an error of kind [`ErrorKind::Cancelled`] unless it has
    /// already finished. Returns at once; a read in progress is finished first.
    pub fn cancel(&self) {
        self.token.cancel();
        self.gate.set_suspended(false);
    }

    /// Suspends the job until [`resume`](Self::resume). A deadline still applies.
    pub fn suspend(&self) {
        self.gate.set_suspended(true);
    }

    /// Resumes the job.
    pub fn resume(&self) {
        self.gate.set_suspended(false);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.handle.cancel();
    }
}

fn worker_lost() -> Error {
    let message = "the job's worker ended without a result, so nothing is known; ask again";
    Error::new(ErrorKind::WorkerLost, message)
}

impl Shared {
    fn set(&self, state: JobState) {
        self.state.store(state as u8, Ordering::Release);
    }

    fn state(&self) -> JobState {
        let number = self.state.load(Ordering::Acquire);
        JobState::ALL.into_iter().find(|&state| state as u8 == number).unwrap_or(JobState::Killed)
    }
}

struct Worker {
    shared: Arc<Shared>,
    sender: SyncSender<Result<VirtualDiskChanges>>,
}

impl Worker {
    fn run(self, query: ChangeQuery) {
        self.shared.set(JobState::Starting);
        let result = self.answer(query);
        self.shared.set(match &result {
            Ok(_) => JobState::Completed,
            Err(error) if error.kind() == ErrorKind::Cancelled => JobState::Terminated,
            Err(_) => JobState::Exception,
        });
        // If the job was dropped, the result is not needed.
        let _ = self.sender.send(result);
    }

    fn answer(&self, query: ChangeQuery) -> Result<VirtualDiskChanges> {
        let changes = query.ranges()?;
        // The cell is empty: a job has one worker.
        let _ = self.shared.progress.set((changes.region(), changes.position()));
        self.shared.set(JobState::Running);
        changes.collect_all()
    }
}

impl Drop for Worker {
    /// Marks the job as killed if it has no result, for example because a caller's source panicked.
    fn drop(&mut self) {
        if !self.shared.state().is_final() {
            self.shared.set(JobState::Killed);
        }
    }
}
