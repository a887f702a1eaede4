//! What all of Windows' formats write alike.

use uuid::Uuid;

/// A mixed-endian GUID at the start of `bytes`.
pub(crate) fn guid(bytes: &[u8]) -> Uuid {
    let mut raw = [0; 16];
    raw.copy_from_slice(&bytes[..16]);
    Uuid::from_bytes_le(raw)
}

/// CRC-32C over `bytes` with the four bytes at `field`, where the sum itself stands, taken as
/// zero.
pub(crate) fn checksum(bytes: &[u8], field: usize) -> u32 {
    let crc = crc32c::crc32c(&bytes[..field]);
    let crc = crc32c::crc32c_append(crc, &[0; 4]);
    crc32c::crc32c_append(crc, &bytes[field + 4..])
}
