//! Shared by both measurements: the files, the queries about them, and the baseline.

// Either of them uses a part.
#![allow(dead_code)]

pub mod plans;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use vhdx_rct::source::{LocalStorage, Storage};
use vhdx_rct::{Baseline, OpenOptions};

/// How large the files are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Large enough that opening does not matter, and no table fits into a cache.
    Full,
    /// Written in a moment.
    Quick,
}

impl Scale {
    /// Returns true if cargo passes `--test`, so that everything is run only once.
    pub fn is_trial() -> bool {
        std::env::args().any(|argument| argument == "--test")
    }

    /// Returns the value for this scale.
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
    File,
    Map,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::File, Kind::Map];

    pub fn name(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Map => "map",
        }
    }

    fn storage(self) -> Arc<dyn Storage> {
        match self {
            Kind::File => Arc::new(LocalStorage::new()),
            // SAFETY: the files lie in a private directory, and were written before.
            Kind::Map => Arc::new(unsafe { LocalStorage::memory_mapped() }),
        }
    }
}

/// Creates a temporary directory, in memory if possible, so that no hard disk's speed is measured.
pub fn directory() -> TempDir {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    directory.expect("a temporary directory can be made")
}

/// Whether a file there can have this length, as a hole.
pub fn holds(directory: &Path, length: u64) -> bool {
    let file = tempfile::tempfile_in(directory).expect("a file can be made");
    file.set_len(length).is_ok()
}

/// A query of a disk. Each run reopens the disk, because an opened disk keeps
/// what it has read.
#[derive(Clone)]
pub struct Question {
    pub path: PathBuf,
    pub since: Baseline,
}

impl Question {
    /// Opens the disk, asks about a region of it (all of it if None), and counts the ranges and
    /// their bytes without keeping any.
    pub fn count(&self, kind: Kind, region: Option<Range<u64>>) -> (u64, u64) {
        let disk = OpenOptions::new().storage(kind.storage()).open(&self.path);
        let disk = disk.expect("the disk opens");
        let region = region.unwrap_or(0..disk.identity().virtual_size);
        let changes = disk.changes(self.since.clone()).region(region).ranges();
        changes.expect("the disk can be asked").fold((0, 0), |(ranges, bytes), range| {
            (ranges + 1, bytes + range.expect("the tables are good").length)
        })
    }
}

/// A table that was written, and the question that makes the library read all of it.
pub struct Case {
    /// The parts of files that have to be read.
    pub parts: Vec<(PathBuf, Range<u64>)>,
    pub question: Question,
    /// How many ranges the correct answer has, and how many bytes.
    pub right: (u64, u64),
    /// Removed with the case.
    _directory: TempDir,
}

impl Case {
    /// Asks, and counts the ranges and their bytes.
    pub fn ask(&self, kind: Kind) -> (u64, u64) {
        self.question.count(kind, None)
    }

    /// Reads the same bytes through the same kind of source, and sums them: the baseline of the
    /// measurement.
    pub fn sum(&self, kind: Kind) -> u64 {
        // As fast as any size: smaller reads are slower, larger ones no faster.
        let mut buffer = vec![0; 64 << 10];
        let storage = kind.storage();
        let mut sum = 0_u64;
        for (path, range) in &self.parts {
            let source = storage.open(path).expect("the file opens");
            for at in range.clone().step_by(buffer.len()) {
                let length = buffer.len().min((range.end - at) as usize);
                source.read_exact_at(&mut buffer[..length], at).expect("the bytes are there");
                let (words, _) = buffer[..length].as_chunks();
                let values = words.iter().map(|word| u64::from_le_bytes(*word));
                sum = values.fold(sum, u64::wrapping_add);
            }
        }
        sum
    }

    /// How many bytes have to be read.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|(_, range)| range.end - range.start).sum()
    }
}
