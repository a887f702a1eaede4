//! Byte ranges of a virtual disk, and sequences of them.

use std::ops::Range;

/// A non-empty range of bytes of a virtual disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ByteRange {
    /// The offset of the first byte, from the start of the virtual disk.
    pub offset: u64,
    /// The length in bytes; never 0 in an answer.
    pub length: u64,
}

impl ByteRange {
    /// Returns the end of the range: the offset of the first byte after it.
    #[must_use]
    pub fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    /// Splits the range into consecutive parts of at most `length` bytes, to fit a buffer. A length
    /// of 0 counts as 1.
    pub fn chunks(self, length: usize) -> impl Iterator<Item = ByteRange> {
        let step = length.max(1);
        (self.offset..self.end()).step_by(step).map(move |offset| {
            ByteRange::from(offset..self.end().min(offset.saturating_add(step as u64)))
        })
    }
}

impl From<Range<u64>> for ByteRange {
    fn from(range: Range<u64>) -> Self {
        ByteRange { offset: range.start, length: range.end.saturating_sub(range.start) }
    }
}

impl From<ByteRange> for Range<u64> {
    fn from(range: ByteRange) -> Self {
        range.offset..range.end()
    }
}
