//! The method's form that starts a job.

use super::{ChangeQuery, VirtualDiskChanges};
use crate::error::{Error, ErrorKind, Result, ReturnValue};
use crate::source::Control;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// The states of `CIM_ConcreteJob`, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum JobState {
    /// Made, not begun.
    New = 2,
    /// Opens files.
    Starting = 3,
    /// Looks for changes.
    Running = 4,
    /// Held by [`JobControl::suspend`].
    Suspended = 5,
    /// Cancelled, and about to stop.
    ShuttingDown = 6,
    /// Done; the answer waits.
    Completed = 7,
    /// Stopped because it was cancelled.
    Terminated = 8,
    /// Its worker is gone without a result.
    Killed = 9,
    /// Done; an error waits.
    Exception = 10,
}

impl JobState {
    const ALL: [JobState; 9] = {
        use JobState::*;
        [New, Starting, Running, Suspended, ShuttingDown, Completed, Terminated, Killed, Exception]
    };

    /// Is there nothing more to wait for?
    pub fn is_final(self) -> bool {
        self as u8 >= JobState::Completed as u8
    }
}

/// A query that runs in the background: the method's return value 4096 with its `Job`.
///
/// Starting never fails: a refusal comes as the result, with [`JobState::Exception`]. The result
/// is had once, from [`wait`](Self::wait) or [`wait_for`](Self::wait_for), which
/// consume the job. Dropping it stops its work.
///
/// ```no_run
/// # use vhdx_rct::{ChangeQuery, Limit};
/// # use std::time::Duration;
/// let mut job = ChangeQuery::new("disk.avhdx").since(Limit::Allocated).start();
/// let changes = loop {
///     match job.wait_for(Duration::from_millis(500)) {
///         Ok(result) => break result?,
///         Err(running) => job = running,
///     }
///     eprintln!("{} %", job.percent_complete());
/// };
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
pub struct Job {
    control: JobControl,
    result: Receiver<Result<VirtualDiskChanges>>,
}

/// What may be asked and told of a [`Job`] from anywhere: clone it into the thread that shows
/// the progress or waits for the user to give up. A job has all its methods too.
#[derive(Clone)]
pub struct JobControl {
    shared: Arc<Shared>,
    control: Arc<Control>,
}

impl std::ops::Deref for Job {
    type Target = JobControl;

    fn deref(&self) -> &JobControl {
        &self.control
    }
}

/// What the worker tells while it works.
struct Shared {
    state: AtomicU8,
    /// The region and how far it was looked at, once the files are open.
    progress: OnceLock<(Range<u64>, Arc<AtomicU64>)>,
    percent: AtomicU64,
}

impl Job {
    pub(super) fn start(mut query: ChangeQuery) -> Self {
        let control = Arc::new(Control::default());
        query.guard_mut().control = control.clone();
        let shared = Arc::new(Shared {
            state: AtomicU8::new(JobState::New as u8),
            progress: OnceLock::new(),
            percent: AtomicU64::new(0),
        });
        let (sender, result) = sync_channel(1);
        let worker = Worker { shared: shared.clone(), sender: sender.clone() };
        if let Err(cause) =
            thread::Builder::new().name("vhdx-rct".into()).spawn(move || worker.run(query))
        {
            shared.set(JobState::Exception);
            // There is room for one, and nobody else sends.
            let _ = sender.try_send(Err(Error::io("the job's thread cannot be started", cause)));
        }
        Job { control: JobControl { shared, control }, result }
    }

    /// Something to watch and to stop the job with, for another thread.
    pub fn control(&self) -> JobControl {
        self.control.clone()
    }

    /// What the method returns when it starts a job: 4096.
    pub fn return_value(&self) -> ReturnValue {
        ReturnValue::JobStarted
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// As [`ChangeQuery::run`]; [`ErrorKind::Cancelled`]; [`ErrorKind::WorkerVanished`] where
    /// the worker ended without a result.
    pub fn wait(self) -> std::result::Result<VirtualDiskChanges, Error> {
        self.result.recv().unwrap_or_else(|_| Err(vanished()))
    }

    /// Waits for the result at most so long; gives the job back where there is none yet.
    ///
    /// # Errors
    /// The job itself, still running; inside, as [`wait`](Self::wait).
    pub fn wait_for(
        self,
        limit: Duration,
    ) -> std::result::Result<std::result::Result<VirtualDiskChanges, Error>, Job> {
        match self.result.recv_timeout(limit) {
            Ok(result) => Ok(result),
            Err(RecvTimeoutError::Disconnected) => Ok(Err(vanished())),
            Err(RecvTimeoutError::Timeout) => Err(self),
        }
    }
}

impl JobControl {
    /// What the job does now.
    pub fn state(&self) -> JobState {
        match self.shared.state() {
            state if state.is_final() => state,
            _ if self.control.is_cancelled() => JobState::ShuttingDown,
            _ if self.control.is_held() => JobState::Suspended,
            state => state,
        }
    }

    /// How much of the region is dealt with, 0 to 100; it only grows, and is 100 exactly when
    /// the job has completed, be it because a limit on the number of ranges was hit.
    pub fn percent_complete(&self) -> u8 {
        if self.shared.state() == JobState::Completed {
            return 100;
        }
        let Some((region, position)) = self.shared.progress.get() else { return 0 };
        let length = u128::from(region.end - region.start).max(1);
        let done = u128::from(position.load(Ordering::Relaxed) - region.start);
        let percent = (done * 100 / length).min(99) as u64;
        self.shared.percent.fetch_max(percent, Ordering::Relaxed).max(percent) as u8
    }

    /// Stops the work, as often as it is called; the result is an error of kind [`ErrorKind::Cancelled`] unless the job
    /// was done already. Returns at once; a read that is under way is finished first.
    pub fn cancel(&self) {
        self.control.cancel();
    }

    /// Holds the work until [`resume`](Self::resume); a deadline goes on. Whoever waits for the
    /// result waits on.
    pub fn suspend(&self) {
        self.control.hold(true);
    }

    /// Lets suspended work go on.
    pub fn resume(&self) {
        self.control.hold(false);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.cancel();
    }
}

fn vanished() -> Error {
    let message = "the job's worker ended without a result, so nothing is known; ask again";
    Error::new(ErrorKind::WorkerVanished, message)
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
        // Whoever dropped the job does not want the result.
        let _ = self.sender.send(result);
    }

    fn answer(&self, query: ChangeQuery) -> Result<VirtualDiskChanges> {
        let guard = query.guard().clone();
        guard.check()?;
        let changes = query.stream()?;
        // The cell is empty: a job has one worker.
        let _ = self.shared.progress.set((changes.region(), changes.position()));
        self.shared.set(JobState::Running);
        changes.collect_within(&guard)
    }
}

impl Drop for Worker {
    /// Also runs when a caller's own source panics: the job must not look alive for ever.
    fn drop(&mut self) {
        if !self.shared.state().is_final() {
            self.shared.set(JobState::Killed);
        }
    }
}
