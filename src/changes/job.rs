//! A question that runs in the background: the method's return value 4096 with its job.

use super::{ChangeQuery, VirtualDiskChanges};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{CancelToken, Gate};
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// The state of a job, with the numbers of `CIM_ConcreteJob` in WMI.
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
    /// Returns whether the job is finished.
    #[must_use]
    pub fn is_final(self) -> bool {
        self as u8 >= JobState::Completed as u8
    }
}

/// A question that runs in the background; created by [`ChangeQuery::start`].
///
/// It corresponds to the job that the method returns with the value 4096.
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
#[derive(Debug)]
pub struct Job {
    handle: JobHandle,
}

/// A handle to watch and control a [`Job`] from any thread: clone it into the thread that shows the
/// progress or handles user input.
#[derive(Clone)]
pub struct JobHandle {
    shared: Arc<Shared>,
    token: CancelToken,
    gate: Arc<Gate>,
}

impl_debug!(JobHandle, |job| state: job.state(), percent_complete: job.percent_complete());

/// The state that the worker publishes.
struct Shared {
    status: Mutex<Status>,
    finished: Condvar,
    /// The region and how far it was scanned, once the question is prepared.
    progress: OnceLock<(Range<u64>, Arc<AtomicU64>)>,
    percent: AtomicU8,
}

struct Status {
    state: JobState,
    /// The result of a job that is finished; None if its worker was lost.
    result: Option<Result<VirtualDiskChanges>>,
}

impl Job {
    pub(super) fn start(mut query: ChangeQuery) -> Self {
        let (token, gate) = (CancelToken::default(), Arc::new(Gate::default()));
        query.limits.job = Some((token.clone(), gate.clone()));
        let shared = Arc::new(Shared {
            status: Mutex::new(Status { state: JobState::New, result: None }),
            finished: Condvar::new(),
            progress: OnceLock::new(),
            percent: AtomicU8::new(0),
        });
        let worker = Worker(shared.clone());
        let thread = thread::Builder::new().name("vhdx-rct".into());
        if let Err(cause) = thread.spawn(move || worker.run(query)) {
            let error = Error::io("the job's thread cannot be started", cause);
            shared.set(JobState::Exception, Some(Err(error)));
        }
        Job { handle: JobHandle { shared, token, gate } }
    }

    /// Returns a handle to watch and control the job, also from another thread.
    #[must_use]
    pub fn handle(&self) -> &JobHandle {
        &self.handle
    }

    /// Waits at most `timeout` until the job has finished, and returns whether it has.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let shared = &*self.handle.shared;
        let status = shared.finished.wait_timeout_while(shared.status(), timeout, Status::is_open);
        let (status, _) = status.unwrap_or_else(PoisonError::into_inner);
        status.state.is_final()
    }

    /// Waits for the result and returns it.
    ///
    /// # Errors
    /// Like [`ChangeQuery::collect`]; [`ErrorKind::Cancelled`]; [`ErrorKind::WorkerLost`] if the
    /// worker ended without a result.
    pub fn join(self) -> Result<VirtualDiskChanges> {
        let shared = &*self.handle.shared;
        let status = shared.finished.wait_while(shared.status(), Status::is_open);
        let result = status.unwrap_or_else(PoisonError::into_inner).result.take();
        result.unwrap_or_else(|| {
            let message = "the job's worker ended without a result, so nothing is known; ask again";
            Err(Error::new(ErrorKind::WorkerLost, message))
        })
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
    /// 100 only if the job has completed; an answer that ends at the limit on the number of ranges
    /// is complete too.
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

    /// Resumes a suspended job. Has no effect on any other.
    pub fn resume(&self) {
        self.gate.set_suspended(false);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.handle.cancel();
    }
}

impl Status {
    fn is_open(&mut self) -> bool {
        !self.state.is_final()
    }
}

impl Shared {
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> JobState {
        self.status().state
    }

    fn set(&self, state: JobState, result: Option<Result<VirtualDiskChanges>>) {
        *self.status() = Status { state, result };
        self.finished.notify_all();
    }
}

struct Worker(Arc<Shared>);

impl Worker {
    fn run(self, query: ChangeQuery) {
        self.0.set(JobState::Starting, None);
        let result = self.answer(query);
        let state = match &result {
            Ok(_) => JobState::Completed,
            Err(error) if error.kind() == ErrorKind::Cancelled => JobState::Terminated,
            Err(_) => JobState::Exception,
        };
        self.0.set(state, Some(result));
    }

    fn answer(&self, query: ChangeQuery) -> Result<VirtualDiskChanges> {
        let changes = query.ranges()?;
        // The cell is empty: a job has one worker.
        let _ = self.0.progress.set((changes.region(), changes.position()));
        self.0.set(JobState::Running, None);
        changes.collect_all()
    }
}

impl Drop for Worker {
    /// Marks the job as killed if it has no result, for example because a caller's source panicked.
    fn drop(&mut self) {
        if self.0.status().is_open() {
            self.0.set(JobState::Killed, None);
        }
    }
}
