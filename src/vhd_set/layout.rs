//! What is known of the `.vhds` format, all of it from one real file that Windows 10.0.10011
//! wrote (V: verified on it). Microsoft publishes no specification.

/// V: the file begins so; behind it the creator text, 256 UTF-16 units.
pub const FILE_SIGNATURE: &[u8; 8] = b"vhdsetv1";
pub const CREATOR_BYTES: usize = 512;

/// V: two headers of 4 KB.
pub const HEADER_OFFSETS: [u64; 2] = [0x10000, 0x20000];
pub const HEADER_BYTES: usize = 4096;
pub const HEADER_SIGNATURE: &[u8; 4] = b"shdr";
/// V: 0xFFFFE000 in the sample; meaning unknown.
pub const UNKNOWN_4_AT: usize = 0x04;
/// V: u64; the valid copy with the greater one is current.
pub const SEQUENCE_AT: usize = 0x08;
/// V: u32, 1.
pub const VERSION_AT: usize = 0x10;
/// V: CRC-32C over the 4 KB with this field zero.
pub const CHECKSUM_AT: usize = 0x14;
/// V: 7 in the sample; meaning unknown.
pub const UNKNOWN_18_AT: usize = 0x18;
/// V: u32 byte offset of the active file's name, 0x40000 in the sample, and its length in bytes.
pub const NAME_OFFSET_AT: usize = 0x1C;
pub const NAME_LENGTH_AT: usize = 0x20;
/// Zero from here on in the sample. Anything else is records that this version cannot read.
pub const RECORDS_AT: usize = 0x24;

/// A file name on Windows has at most 255 UTF-16 units; twice that leaves room.
pub const MAX_NAME_BYTES: usize = 1020;

/// The sample ends 0x41000 bytes in. A file that goes on for longer than this behind the
/// active name holds something that this version does not know, whatever it is.
pub const MAX_DATA_BYTES: u64 = 16 << 20;
