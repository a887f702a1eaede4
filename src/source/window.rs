//! A table read in windows: large sequential reads, constant memory.

use super::FileView;
use crate::error::Result;
use crate::size::to_usize;

/// The size of a window: large enough to make system calls cheap, small enough that the windows of
/// a long chain stay in cache.
const WINDOW: u64 = 64 << 10;

/// A moving view of the bytes `start..end` of a file.
pub(crate) struct Window {
    what: &'static str,
    start: u64,
    end: u64,
    /// The maximum size of the window.
    size: u64,
    /// The offset of `bytes` in the file.
    at: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(crate) fn new(what: &'static str, start: u64, end: u64) -> Self {
        Window { what, start, end, size: WINDOW, at: start, bytes: Vec::new() }
    }

    /// Returns the same view with windows of another size.
    pub(crate) fn with_size(self, size: u64) -> Self {
        Window { size, ..self }
    }

    /// Returns `length` bytes at `offset`, if the window has them.
    pub(crate) fn get(&self, offset: u64, length: u64) -> Option<&[u8]> {
        let from = to_usize(offset.checked_sub(self.at)?);
        self.bytes.get(from..)?.get(..to_usize(length))
    }

    /// Returns the bytes from `offset` on: at least `minimum` of them (a small constant), and more
    /// if the window has them and the table continues until `until`. Both are offsets in the file.
    pub(crate) fn bytes(
        &mut self,
        file: FileView<'_>,
        offset: u64,
        minimum: u64,
        until: u64,
    ) -> Result<&[u8]> {
        let until = until.min(self.end).max(offset + minimum);
        let end = self.at + self.bytes.len() as u64;
        if offset < self.at || offset + minimum > end {
            // The first read loads what the caller needs; sequential reads load whole windows.
            let length = (until - offset).min(self.size);
            self.bytes.resize(to_usize(length), 0);
            self.at = offset;
            if let Err(error) = file.read(&mut self.bytes, offset, self.what) {
                self.bytes.clear();
                return Err(error);
            }
        }
        debug_assert!(offset >= self.start);
        let from = to_usize(offset - self.at);
        let to = to_usize(until - self.at).min(self.bytes.len());
        Ok(&self.bytes[from..to])
    }
}
