//! Runs a question under a bound on time and one on memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

pub use crate::common::prelude::*;

/// A question that includes the opening of its disk: both are bounded together.
#[derive(Clone)]
pub struct Question {
    pub path: PathBuf,
    pub options: OpenOptions,
    pub since: Baseline,
}

impl Question {
    /// Asks about a file of this machine.
    pub fn new(path: impl Into<PathBuf>, since: impl Into<Baseline>) -> Self {
        Question { path: path.into(), options: OpenOptions::new(), since: since.into() }
    }

    /// Asks about a file of a storage.
    pub fn within(
        storage: impl Storage + 'static,
        path: impl Into<PathBuf>,
        since: impl Into<Baseline>,
    ) -> Self {
        Question::new(path, since).with(|options| options.storage(Arc::new(storage)))
    }

    pub fn with(mut self, set: impl FnOnce(&mut OpenOptions) -> &mut OpenOptions) -> Self {
        set(&mut self.options);
        self
    }

    pub fn memory_budget(self, bytes: usize) -> Self {
        self.with(|options| options.memory_budget(bytes as u64))
    }

    pub fn open(&self) -> Result<Disk, Error> {
        self.options.open(&self.path)
    }

    pub fn ask(&self) -> Result<VirtualDiskChanges, Error> {
        self.open()?.changes(self.since.clone()).collect()
    }

    /// Asks for the extents and drops them.
    pub fn ask_extents(&self) -> Result<(), Error> {
        let mut extents = self.open()?.changes(self.since.clone()).extents()?;
        extents.try_for_each(|extent| extent.map(drop))
    }

    /// Asks within [`TIME`] and this many bytes.
    #[track_caller]
    pub fn bounded(&self, name: &str, memory: usize) -> Result<VirtualDiskChanges, Error> {
        let question = self.clone();
        bounded(name, memory, move || question.ask())
    }
}

/// Long for any of the questions, even unoptimized and on a busy machine.
pub const TIME: Duration = Duration::from_secs(20);
/// A few windows and tables; far below the 256 MiB that a request may use.
pub const MEMORY: usize = 8 << 20;

thread_local! {
    /// The current and the maximum number of bytes that this thread holds, negative if it frees
    /// memory of another one.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(change: isize) {
    // A thread may allocate at its end, after its counters were dropped.
    let held = HELD.try_with(|held| {
        held.set(held.get() + change);
        held.get()
    });
    if let Ok(held) = held {
        let _ = MOST.try_with(|most| most.set(most.get().max(held)));
    }
}

// SAFETY: every call is passed to the system's allocator unchanged; counting accesses no memory
// except this thread's two cells, which are initialized at compile time and never allocate.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `work` on a thread of its own: it must end within [`TIME`], use at most `memory`
/// bytes, and not panic.
#[track_caller]
pub fn bounded<T: Send + 'static>(
    name: &str,
    memory: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, result) = sync_channel(1);
    let worker = thread::spawn(move || {
        let before = HELD.get();
        MOST.set(before);
        let value = work();
        let used = MOST.get() - before;
        let _ = sender.send((value, used));
    });
    match result.recv_timeout(TIME) {
        Ok((value, used)) => {
            assert!(used <= memory as isize, "{name} used {used} bytes");
            value
        }
        Err(RecvTimeoutError::Timeout) => panic!("{name} did not end within {TIME:?}"),
        Err(RecvTimeoutError::Disconnected) => {
            drop(worker.join());
            panic!("{name} panicked")
        }
    }
}

#[track_caller]
pub fn must_fail<T: std::fmt::Debug>(name: &str, result: Result<T, Error>, code: Code) {
    match result {
        Ok(answer) => panic!("{name}: accepted, with {answer:?}"),
        Err(error) => {
            let found = (error.return_value().code(), error.win32_code());
            assert!(found == code, "{name}: {found:x?} instead of {code:x?}: {error}");
        }
    }
}

#[test]
fn bounds_detect_excess() {
    assert_eq!(bounded("a vector", 5000, || vec![0_u8; 4096].len()), 4096);
    let caught = std::panic::catch_unwind(|| bounded("a vector", 4095, || vec![0_u8; 4096].len()));
    assert!(caught.is_err());
    assert!(std::panic::catch_unwind(|| bounded("a panic", 1 << 20, || panic!())).is_err());
}
