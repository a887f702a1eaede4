//! A file mapped into memory.

use super::{FileSource, SliceSource, Source, Version};
use std::fs::File;
use std::io;
use std::path::Path;

/// A file of this machine that is mapped into memory.
#[derive(Debug)]
pub struct MapSource {
    map: memmap2::Mmap,
    file: FileSource,
}

impl MapSource {
    /// Maps a regular file, if no other program writes to it: see
    /// [`FileSource::open`](super::FileSource::open).
    ///
    /// # Safety
    /// While the map lives, no process may truncate the file (the read that follows ends this
    /// process with SIGBUS, or an access violation) nor change it (bytes would change under a
    /// shared reference). Nothing prevents either on Unix.
    pub unsafe fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = FileSource::open(path)?;
        // SAFETY: the caller promises that the file stays as it is.
        let map = unsafe { memmap2::Mmap::map(&file.file) }?;
        Ok(MapSource { map, file })
    }
}

impl Source for MapSource {
    fn size(&self) -> io::Result<u64> {
        Ok(self.map.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        SliceSource(&*self.map).read_exact_at(buffer, offset)
    }

    fn version(&self) -> io::Result<Version> {
        self.file.version()
    }

    fn as_file(&self) -> Option<&File> {
        self.file.as_file()
    }
}
