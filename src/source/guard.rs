//! What a request may use: time, memory, and the caller's patience.

use crate::error::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Memory that a query may use unless told otherwise: what a chain of 256 files with full
/// windows needs, with room to spare.
const DEFAULT_MEMORY: u64 = 256 << 20;

/// The limits of one request. Every read asks it first, and so every loop that reads ends.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    pub deadline: Option<Instant>,
    pub cancelled: Arc<AtomicBool>,
    pub memory: u64,
}

impl Default for Guard {
    fn default() -> Self {
        Guard { deadline: None, cancelled: Arc::default(), memory: DEFAULT_MEMORY }
    }
}

impl Guard {
    /// Fails once the deadline has passed or the job was cancelled.
    pub fn check(&self) -> Result<()> {
        if self.cancelled.load(Ordering::Relaxed) {
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
