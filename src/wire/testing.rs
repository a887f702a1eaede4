//! Bytes for the tests of structures.

/// Returns bytes that each depend on their own offset, so that a field shows where it was read.
pub(crate) fn sample(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

/// Reads the little-endian number of four bytes at an offset.
pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}
