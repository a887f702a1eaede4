//! What both measurements share: the files, the questions about them, and the baseline.

mod cases;
mod files;

pub use cases::{Case, cases};
pub use files::Scratch;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use vhdx_rct::source::{LocalStorage, Storage};

/// How large the files are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Large enough that opening and the caches do not count.
    Full,
    /// Small enough to try that everything works.
    Quick,
}

impl Scale {
    /// Cargo hands `--test` to benchmarks that shall only be tried.
    pub fn from_arguments() -> Self {
        let quick = std::env::args().any(|argument| argument == "--test" || argument == "--quick");
        if quick { Scale::Quick } else { Scale::Full }
    }

    /// The one or the other.
    pub fn pick<T>(self, full: T, quick: T) -> T {
        match self {
            Scale::Full => full,
            Scale::Quick => quick,
        }
    }
}

/// How files are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By position.
    File,
    /// Mapped into memory.
    Map,
}

impl Kind {
    /// The storage of this kind.
    #[allow(unsafe_code)]
    pub fn storage(self) -> Arc<dyn Storage> {
        match self {
            Kind::File => Arc::new(LocalStorage::new()),
            // SAFETY: the files lie in a folder of this process, which has written them before.
            Kind::Map => Arc::new(unsafe { LocalStorage::memory_mapped() }),
        }
    }
}

/// What the baseline reads at once: the size that is the fastest for it, since it stays in the
/// second-level cache.
const CHUNK: usize = 64 << 10;

/// The baseline: reads the same bytes through the same kind of source, and sums them.
pub fn sum(storage: &dyn Storage, parts: &[(PathBuf, Range<u64>)]) -> u64 {
    let mut buffer = vec![0; CHUNK];
    let mut sum = 0_u64;
    for (path, range) in parts {
        let source = storage.open(path).expect("the file opens");
        for at in range.clone().step_by(CHUNK) {
            let buffer = &mut buffer[..CHUNK.min((range.end - at) as usize)];
            source.read_exact_at(buffer, at).expect("the bytes are there");
            let (words, _) = buffer.as_chunks::<8>();
            sum = words.iter().fold(sum, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
        }
    }
    sum
}
