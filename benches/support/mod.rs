//! What both measurements share: the files, the questions about them, and the baseline.

// Either of them uses a part.
#![allow(dead_code)]

pub mod plans;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use vhdx_rct::ChangeQuery;
use vhdx_rct::source::{LocalStorage, Storage};

/// How large the files are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// So large that opening does not count, and no table fits into a cache.
    Full,
    /// Written in a moment.
    Quick,
}

impl Scale {
    /// Does cargo hand over that everything shall only be tried?
    pub fn is_trial() -> bool {
        std::env::args().any(|argument| argument == "--test")
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
            // SAFETY: the files lie in a private folder, and were written before.
            Kind::Map => Arc::new(unsafe { LocalStorage::memory_mapped() }),
        }
    }
}

/// A folder of its own; in memory, where the system has such a place: what a disk takes is
/// not what is measured.
pub fn folder() -> TempDir {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    folder.expect("a temporary folder can be made")
}

/// Can a file there have this length, as a hole?
pub fn holds(folder: &Path, length: u64) -> bool {
    let file = tempfile::tempfile_in(folder).expect("a file can be made");
    file.set_len(length).is_ok()
}

/// A table that was written, and the question that makes the library read all of it.
pub struct Case {
    /// The parts of files that have to be read.
    pub parts: Vec<(PathBuf, Range<u64>)>,
    pub query: ChangeQuery,
    /// How many ranges the right answer has, and how many bytes.
    pub right: (u64, u64),
    /// Goes away with the case.
    _folder: TempDir,
}

impl Case {
    /// Asks, and counts the ranges and their bytes.
    pub fn ask(&self, kind: Kind) -> (u64, u64) {
        count(self.query.clone().storage(kind.storage()))
    }

    /// What the query is measured against: reads the same bytes through the same kind of
    /// source, and sums them.
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

/// The number of ranges of an answer, and of their bytes, without keeping any.
pub fn count(query: ChangeQuery) -> (u64, u64) {
    let changes = query.stream().expect("the disk opens");
    changes.fold((0, 0), |(ranges, bytes), range| {
        (ranges + 1, bytes + range.expect("the tables are good").length)
    })
}
