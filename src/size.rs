//! Lengths of files as lengths in memory.

/// Converts a length or an offset within something that is in memory. On 32-bit targets, a value
/// that does not fit becomes the maximum, which no slice reaches.
#[inline]
pub(crate) fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
