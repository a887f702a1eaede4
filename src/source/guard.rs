//! What a request may use: time, memory, and the caller's patience.

use crate::error::{Error, ErrorKind, Result};
use std::sync::atomic::{AtomicBool, Ordering};
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
        Guard { deadline: None, memory: DEFAULT_MEMORY, control: Arc::default() }
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

    /// Fails where `bytes` for `what` would exceed the memory budget.
    pub fn need(&self, bytes: u64, what: &str) -> Result<()> {
        if bytes <= self.memory {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::OutOfMemory,
            format!(
                "{what} needs {bytes} bytes of memory and the budget is {}; raise it, or ask for a \
                 smaller region or fewer ranges at a time",
                self.memory
            ),
        ))
    }
}
