//! The checksum that the formats share.

/// Returns the CRC-32C of `bytes` with the four bytes at `field`, which hold the checksum itself,
/// taken as zero.
pub(crate) fn checksum(bytes: &[u8], field: usize) -> u32 {
    let crc = crc32c::crc32c(&bytes[..field]);
    let crc = crc32c::crc32c_append(crc, &[0; 4]);
    crc32c::crc32c_append(crc, &bytes[field + 4..])
}
