//! What a request may use: time, memory, and the caller's patience.

use crate::error::{Error, ErrorKind, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Memory that a query may use unless told otherwise: what a chain of 256 files with full
/// windows needs, with room to spare.
const DEFAULT_MEMORY: u64 = 256 << 20;

/// The limits of one request. Every read asks it first, and so every loop that reads ends.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    pub deadline: Option<Instant>,
    pub memory: u64,
    /// Bytes that are leased: the clones of a guard belong to one request and share them.
    leased: Arc<AtomicU64>,
    pub control: Arc<Control>,
}

/// How somebody else stops a request, or holds it.
#[derive(Debug, Default)]
pub(crate) struct Control {
    cancelled: AtomicBool,
    held: Mutex<bool>,
    changed: Condvar,
}

impl Control {
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.hold(false);
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Makes the next read wait, or go on.
    pub fn hold(&self, hold: bool) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = hold;
        self.changed.notify_all();
    }

    pub fn is_held(&self) -> bool {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while the request is held, at most until its deadline.
    fn wait(&self, deadline: Option<Instant>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while *held && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            held = match deadline {
                None => self.changed.wait(held).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    self.changed.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Default for Guard {
    fn default() -> Self {
        let (leased, control) = (Arc::default(), Arc::default());
        Guard { deadline: None, memory: DEFAULT_MEMORY, leased, control }
    }
}

impl Guard {
    /// Fails once the deadline has passed or the job was cancelled.
    pub fn check(&self) -> Result<()> {
        self.control.wait(self.deadline);
        if self.control.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "the query was cancelled"));
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Error::new(
                ErrorKind::TimedOut,
                "the deadline passed before the query was done; give it more time or a smaller region",
            ));
        }
        Ok(())
    }

    #[cfg(test)]
    pub fn of_memory(memory: u64) -> Self {
        Guard { memory, ..Guard::default() }
    }

    /// The same limits for another request.
    pub fn anew(&self) -> Self {
        Guard { leased: Arc::default(), ..self.clone() }
    }

    /// Fails where `bytes` for `what`, on top of all that is leased, would exceed the memory
    /// budget.
    pub fn need(&self, bytes: u64, what: &str) -> Result<()> {
        let leased = self.leased.load(Ordering::Relaxed);
        if leased.saturating_add(bytes) <= self.memory {
            return Ok(());
        }
        Err(self.exceeded(bytes, leased, what))
    }

    /// Memory that is kept for longer than a call, none so far.
    pub fn lease(&self) -> Lease {
        Lease { guard: self.clone(), bytes: 0 }
    }

    fn exceeded(&self, bytes: u64, leased: u64, what: &str) -> Error {
        Error::new(
            ErrorKind::OutOfMemory,
            format!(
                "{what} needs {bytes} bytes of memory, and of the budget of {} the request uses {leased} already; \
                 raise it, or ask for a smaller region or fewer ranges at a time",
                self.memory
            ),
        )
    }
}

/// A part of a request's memory budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    guard: Guard,
    bytes: u64,
}

impl Lease {
    /// Makes it so many bytes where it has fewer; fails where that exceeds the budget.
    pub fn grow_to(&mut self, bytes: u64, what: &str) -> Result<()> {
        let more = bytes.saturating_sub(self.bytes);
        let within = |leased: u64| leased.checked_add(more).filter(|&all| all <= self.guard.memory);
        match self.guard.leased.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within) {
            Ok(_) => {
                self.bytes += more;
                Ok(())
            }
            Err(leased) => Err(self.guard.exceeded(more, leased, what)),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.guard.leased.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_add_up_and_are_given_back() {
        let guard = Guard::of_memory(100);
        let (mut one, mut other) = (guard.lease(), guard.clone().lease());
        one.grow_to(60, "one").unwrap();
        one.grow_to(50, "one").unwrap();
        assert!(other.grow_to(41, "the other").is_err());
        other.grow_to(40, "the other").unwrap();
        assert!(guard.need(1, "more").is_err() && guard.need(0, "nothing").is_ok());
        assert!(guard.anew().need(100, "another request").is_ok());
        drop(one);
        assert!(guard.need(60, "more").is_ok() && guard.need(61, "more").is_err());
        assert!(other.grow_to(u64::MAX, "all").is_err());
    }
}
