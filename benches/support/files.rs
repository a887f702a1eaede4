//! The folder in which the files are made.

use std::fs::File;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder that goes away with the process; in memory, where the system has such a place.
pub struct Scratch {
    folder: TempDir,
    /// Whether the file system can hold a file of 65 TB, though only as a hole.
    pub huge: bool,
}

impl Scratch {
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
        let folder = folder.expect("a temporary folder can be made");
        let probe = folder.path().join("probe");
        let huge = File::create(&probe).and_then(|file| file.set_len(65 << 40)).is_ok();
        std::fs::remove_file(&probe).expect("what was made can be removed");
        Scratch { folder, huge }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
