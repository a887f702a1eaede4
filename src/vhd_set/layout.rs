//! Everything that is known of the `.vhds` format, all of it from one real file that Windows
//! 10.0.10011 wrote. Microsoft publishes no specification. [`FACTS`] lists each with its
//! confidence, as for `.rct`.

use crate::facts::{Fact, facts};

/// Every fact that this crate's reading of `.vhds` files rests on.
pub const FACTS: &[Fact] = facts! {
    "file-signature" Verified
        "the file begins \"vhdsetv1\"; after it comes its creator's name in 512 bytes of UTF-16";
    "headers" Verified "two header copies of 4 KB lie at 0x10000 and 0x20000, signed \"shdr\"";
    "header-sequence" Verified "the u64 at 0x08 is a sequence number; the valid copy with the greater one is current";
    "header-version" Verified "the u32 at 0x10 is 1";
    "header-checksum" Verified "the u32 at 0x14 is a CRC-32C over the header with this field zero";
    "active-name" Verified "the u32s at 0x1C and 0x20 are offset and length of the active file's name, in UTF-16";
    "records" Assumed "whatever is not zero from 0x24 of the header on, or after the name, is a snapshot's record";
    "changes" Assumed "what changed since a snapshot is what the files above the snapshot's file hold";
};

/// The signature at the start of the file (file-signature).
pub const FILE_SIGNATURE: &[u8; 8] = b"vhdsetv1";

/// The offsets of the two header copies in the file, in bytes (headers).
pub const HEADER_OFFSETS: [u64; 2] = [0x10000, 0x20000];
/// The size of a header copy in bytes (headers).
pub const HEADER_BYTES: usize = 4096;
/// The signature of a header copy (headers).
pub const HEADER_SIGNATURE: &[u8; 4] = b"shdr";
/// header-checksum: a CRC-32C over the 4 KiB with this field zero.
pub(super) const CHECKSUM_AT: usize = 0x14;
/// Zero from here on in the sample. Other bytes are records that this version cannot read.
pub(super) const RECORDS_AT: usize = 0x24;

/// A file name on Windows has at most 255 UTF-16 units of 2 bytes; this is twice that.
pub(super) const MAX_NAME_BYTES: usize = 1020;

/// The sample ends 0x41000 bytes in. A file with more than this many bytes after the active name
/// holds something that this version does not support.
pub(super) const MAX_DATA_BYTES: u64 = 16 << 20;
