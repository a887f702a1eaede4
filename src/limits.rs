//! The limits of a question: time, memory and cancellation.

use crate::error::{Error, ErrorKind, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Cancels an opening or a question from another thread.
///
/// Clones cancel the same work, which then fails with
/// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled). A read that has begun is finished first.
///
/// ```
/// let token = vhdx_rct::CancelToken::default();
/// let other = token.clone();
/// std::thread::spawn(move || other.cancel()).join().unwrap();
/// assert!(token.is_cancelled());
/// ```
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Cancels the work. Calling it again has no effect.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether the work was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Lets a job's handle suspend and resume its worker.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    suspended: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn set_suspended(&self, suspended: bool) {
        *self.suspended() = suspended;
        self.changed.notify_all();
    }

    pub(crate) fn is_suspended(&self) -> bool {
        *self.suspended()
    }

    /// Blocks while the work is suspended, but not past its deadline.
    fn wait(&self, deadline: Option<Instant>) {
        let suspended = self.suspended();
        match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            None => drop(self.changed.wait_while(suspended, |suspended| *suspended)),
            Some(rest) => {
                drop(self.changed.wait_timeout_while(suspended, rest, |suspended| *suspended));
            }
        }
    }

    fn suspended(&self) -> MutexGuard<'_, bool> {
        self.suspended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The limits of an opening or of one question. Every read checks them first, so every loop
/// that reads ends. Clones share the memory budget and are cancelled together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    pub deadline: Option<Instant>,
    pub cancel: Option<CancelToken>,
    /// A job's own token and gate, in addition to the caller's token.
    pub job: Option<(CancelToken, Arc<Gate>)>,
    pub memory: MemoryBudget,
}

impl Limits {
    /// Fails once the deadline has passed or the work was cancelled.
    pub(crate) fn check(&self) -> Result<()> {
        let mut cancelled = self.cancel.as_ref().is_some_and(CancelToken::is_cancelled);
        if let Some((token, gate)) = &self.job {
            gate.wait(self.deadline);
            cancelled |= token.is_cancelled();
        }
        if cancelled {
            return Err(Error::new(ErrorKind::Cancelled, "the question was cancelled"));
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let message = "the deadline passed before the question was answered; allow more time, or ask for a \
                           smaller region";
            return Err(Error::new(ErrorKind::TimedOut, message));
        }
        Ok(())
    }
}

/// The default memory budget shared by all questions of an opened disk: enough for a chain of 256
/// files with full windows, and more.
const DEFAULT_MEMORY: u64 = 256 << 20;

/// A number of bytes shared by everything that a disk's questions keep in memory.
#[derive(Debug, Clone)]
pub(crate) struct MemoryBudget {
    bytes: u64,
    reserved: Arc<AtomicU64>,
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self::new(DEFAULT_MEMORY)
    }
}

impl MemoryBudget {
    pub(crate) fn new(bytes: u64) -> Self {
        MemoryBudget { bytes, reserved: Arc::default() }
    }

    /// Returns a budget of the same size that nothing uses yet.
    pub(crate) fn unused(&self) -> Self {
        Self::new(self.bytes)
    }

    /// Fails if another `bytes` for `what` would exceed the budget.
    pub(crate) fn check(&self, bytes: u64, what: &str) -> Result<()> {
        let reserved = self.reserved.load(Ordering::Relaxed);
        if reserved.saturating_add(bytes) <= self.bytes {
            return Ok(());
        }
        Err(self.exceeded(bytes, reserved, what))
    }

    /// Creates an empty reservation.
    pub(crate) fn reservation(&self) -> MemoryReservation {
        MemoryReservation { budget: self.clone(), bytes: 0 }
    }

    fn exceeded(&self, bytes: u64, reserved: u64, what: &str) -> Error {
        let message = format!(
            "{what} needs {bytes} bytes of memory, but {reserved} bytes of the budget of {} bytes are in use; raise \
             the budget, or ask for a smaller region or fewer ranges at a time",
            self.bytes
        );
        Error::new(ErrorKind::OutOfMemory, message)
    }
}

/// A part of a memory budget, returned to the budget on drop.
#[derive(Debug, Default)]
pub(crate) struct MemoryReservation {
    budget: MemoryBudget,
    bytes: u64,
}

impl MemoryReservation {
    /// Raises the reservation to `bytes` if it is smaller. Fails if that exceeds the budget.
    pub(crate) fn grow_to(&mut self, bytes: u64, what: &str) -> Result<()> {
        let more = bytes.saturating_sub(self.bytes);
        let within =
            |reserved: u64| reserved.checked_add(more).filter(|&all| all <= self.budget.bytes);
        let reserved = &self.budget.reserved;
        reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, within)
            .map_err(|reserved| self.budget.exceeded(more, reserved, what))?;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        self.budget.reserved.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_add_up_and_are_given_back() {
        let budget = MemoryBudget::new(100);
        let (mut one, mut other) = (budget.reservation(), budget.clone().reservation());
        one.grow_to(60, "one").unwrap();
        one.grow_to(50, "one").unwrap();
        assert!(other.grow_to(41, "the other").is_err());
        other.grow_to(40, "the other").unwrap();
        assert!(budget.check(1, "more").is_err() && budget.check(0, "nothing").is_ok());
        drop(one);
        assert!(budget.check(60, "more").is_ok() && budget.check(61, "more").is_err());
        assert!(other.grow_to(u64::MAX, "all").is_err());
    }

    #[test]
    fn limits_of_one_question_do_not_concern_another() {
        let shared = Limits::default();
        let token = CancelToken::default();
        let cancelled = Limits { cancel: Some(token.clone()), ..shared.clone() };
        let late = Limits { deadline: Some(Instant::now()), ..shared.clone() };
        token.cancel();
        assert_eq!(cancelled.check().unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(late.check().unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(shared.check().is_ok());
    }
}
