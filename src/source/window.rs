//! A table read in windows: large sequential reads, constant memory.

use super::Reader;
use crate::error::Result;

/// How much of a table is held at once: large enough to make system calls cheap, small
/// enough that the windows of a long chain stay in cache.
const WINDOW: u64 = 64 << 10;

/// A moving view of the bytes `start..end` of a file.
pub(crate) struct Window {
    what: &'static str,
    start: u64,
    end: u64,
    /// Where `bytes` begins in the file.
    at: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub fn new(what: &'static str, start: u64, end: u64) -> Self {
        Window { what, start, end, at: start, bytes: Vec::new() }
    }

    /// The bytes from `offset` on, at least `least` of them (a small constant), more where
    /// the window has them and the table goes on until `until`. Both are offsets in the file.
    pub fn bytes(&mut self, file: &Reader, offset: u64, least: u64, until: u64) -> Result<&[u8]> {
        let until = until.min(self.end).max(offset + least);
        let have = self.at + self.bytes.len() as u64;
        if offset < self.at || offset + least > have {
            // A first read asks for what the caller needs; sequential ones, for whole windows.
            let length = (until - offset).min(WINDOW);
            self.bytes.resize(length as usize, 0);
            self.at = offset;
            if let Err(error) = file.read(&mut self.bytes, offset, self.what) {
                self.bytes.clear();
                return Err(error);
            }
        }
        debug_assert!(offset >= self.start);
        let from = (offset - self.at) as usize;
        let to = ((until - self.at) as usize).min(self.bytes.len());
        Ok(&self.bytes[from..to])
    }
}
