//! A file mapped into memory. The only `unsafe` of the crate lies here and in the option
//! that asks for it.

use super::file::open_regular;
use super::{SliceSource, Source};
use std::io;
use std::path::Path;

/// A file mapped into memory.
#[derive(Debug)]
pub struct MapSource(memmap2::Mmap);

impl MapSource {
    /// Maps a regular file, under a shared lock as [`FileSource::open`](super::FileSource::open) takes it.
    ///
    /// # Safety
    /// While the map lives, no process may truncate the file (the read that follows ends this
    /// process with SIGBUS, or an access violation) nor change it (bytes would change under a
    /// shared reference). The lock is advisory on Unix: it does not prevent either.
    pub unsafe fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = open_regular(path.as_ref())?;
        // SAFETY: the caller promises that the file stays as it is.
        unsafe { memmap2::Mmap::map(&file) }.map(MapSource)
    }
}

impl Source for MapSource {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        SliceSource(&*self.0).read_exact_at(buffer, offset)
    }
}
