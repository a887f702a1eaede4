//! What is known of the `.vhds` format, all of it from one real file that Windows 10.0.10011
//! wrote (V: verified on it). Microsoft publishes no specification. [`FACTS`] carries each with
//! its confidence, as for `.rct`.

use crate::fact::Confidence::{Assumed, Verified};
use crate::fact::{Fact, fact};

/// Every fact that this crate's reading of `.vhds` files rests on.
pub const FACTS: &[Fact] = &[
    fact(
        "file-signature",
        Verified,
        "the file begins \"vhdsetv1\"; behind it stands its creator's name in 512 bytes of UTF-16",
    ),
    fact(
        "headers",
        Verified,
        "two header copies of 4 KB lie at 0x10000 and 0x20000, signed \"shdr\"",
    ),
    fact(
        "header-sequence",
        Verified,
        "the u64 at 0x08 is a sequence number; the valid copy with the greater one is current",
    ),
    fact("header-version", Verified, "the u32 at 0x10 is 1"),
    fact(
        "header-checksum",
        Verified,
        "the u32 at 0x14 is a CRC-32C over the header with this field zero",
    ),
    fact(
        "active-name",
        Verified,
        "the u32s at 0x1C and 0x20 are offset and length of the active file's name, in UTF-16",
    ),
    fact(
        "records",
        Assumed,
        "what is not zero from 0x24 of the header on, or behind the name, are snapshots' records",
    ),
    fact(
        "changes",
        Assumed,
        "what changed since a snapshot is what the files above the snapshot's file hold",
    ),
];

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
