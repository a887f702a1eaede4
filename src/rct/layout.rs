//! Everything that is known, derived or assumed about the `.rct` file. Microsoft publishes no
//! specification of it: the day a real file disagrees, this module changes and no other.
//!
//! [`FACTS`] carries each with its confidence; the README's table is checked against it. All
//! integers are little-endian, GUIDs mixed-endian as in VHDX.

use crate::bytes::checksum;
use crate::fact::Confidence::{Assumed, Derived, Published};
use crate::fact::{Fact, fact};

/// Every fact that this crate's reading of `.rct` files rests on.
pub const FACTS: &[Fact] = &[
    fact(
        "names",
        Published,
        "the table of DISK is DISK.rct, beside it; a disk without one is not tracked",
    ),
    fact("pages", Published, "the file consists of 4 KB pages"),
    fact("first-page", Assumed, "the page at 0 says nothing that an answer needs"),
    fact("header-places", Published, "two header copies of 0x4000 bytes lie at 0x1000 and 0x5000"),
    fact(
        "header-signature",
        Assumed,
        "the u32 at 0x00 of a header is a signature of unknown value",
    ),
    fact(
        "header-checksum",
        Assumed,
        "a CRC-32C in each header holds by one of the probed conventions",
    ),
    fact(
        "header-counter",
        Assumed,
        "the u64 at 0x08 is an update counter; the valid copy with the greater one is current",
    ),
    fact("header-units", Published, "the u64 at 0x28 is the tracked disk's size in units"),
    fact("header-branch", Published, "the GUID at 0x30 is the branch of the current RCT id"),
    fact(
        "header-number",
        Published,
        "the u32 at 0x40 is the sequence number of the current RCT id",
    ),
    fact(
        "header-branches",
        Published,
        "the u16 at 0x44 counts the branch history; outside 1 to 511 the copy is invalid",
    ),
    fact("header-new-id", Published, "the byte at 0x46 is a flag for a new id"),
    fact(
        "branch-size",
        Published,
        "the branch history lies at 0x1000 of a header, 24 bytes an entry",
    ),
    fact(
        "branch-fields",
        Assumed,
        "a branch is a GUID, the u32 number that it begins with and a u32 limit, oldest first",
    ),
    fact(
        "offset-table",
        Published,
        "the offset table begins at 0x9000, a u32 entry for each chunk of 1021 units",
    ),
    fact("offset-pages", Derived, "it has ceil(ceil(units / 1021) / 1021) pages"),
    fact(
        "offset-page",
        Published,
        "an offset page is u32 \"offp\", u32 CRC-32C over bytes 8 to 4096, u32 page index, 1021 entries",
    ),
    fact(
        "entry-uniform",
        Published,
        "an entry of 0 or more is the sequence number of every unit of its chunk",
    ),
    fact(
        "entry-detailed",
        Published,
        "a negative entry is minus the number of the chunk's sequence page, which only it names",
    ),
    fact(
        "sequence-page",
        Published,
        "a sequence page is 12 bytes of header and 1021 u32 sequence numbers",
    ),
    fact(
        "sequence-header",
        Assumed,
        "the header's three words are a checksum, by one of the probed conventions, and two unknowns",
    ),
    fact(
        "unit-size",
        Derived,
        "a unit is 16 KB of virtual disk, or what else between 4 KB and 1 MB fits the disk's size",
    ),
    fact(
        "changed",
        Derived,
        "a unit changed since (G, n) if its sequence number is greater than n",
    ),
    fact(
        "id-text",
        Published,
        "an id reads rctX: and GUID and number in hexadecimal, with colons between",
    ),
    fact(
        "resolve",
        Assumed,
        "a file knows (G, n) if n lies in the part of its history that branch G had",
    ),
    fact(
        "preserved",
        Published,
        "a child that keeps its parent's ids starts at zero, so the parent's table counts too",
    ),
    fact("lazy", Published, "a file that was not closed cleanly may have a table that lags behind"),
];

pub const PAGE: u64 = 4096;
/// header-places
pub const HEADER_OFFSETS: [u64; 2] = [0x1000, 0x5000];
pub const HEADER_BYTES: usize = 0x4000;
pub const SIGNATURE_AT: usize = 0x00;
pub const COUNTER_AT: usize = 0x08;
pub const UNITS_AT: usize = 0x28;
pub const BRANCH_AT: usize = 0x30;
pub const NUMBER_AT: usize = 0x40;
pub const BRANCH_COUNT_AT: usize = 0x44;
pub const NEW_ID_AT: usize = 0x46;
/// branch-size; 511 entries end at 0x3FE8, inside the copy.
pub const HISTORY_AT: usize = 0x1000;
pub const BRANCH_BYTES: usize = 24;
pub const MAX_BRANCHES: usize = 511;
/// branch-fields
pub const BRANCH_FIRST_AT: usize = 16;
pub const BRANCH_LIMIT_AT: usize = 20;

/// offset-table
pub const OFFSET_TABLE: u64 = 0x9000;
pub const OFFSET_SIGNATURE: u32 = 0x7066_666F;
/// Words in front of the entries of an offset page, and of the numbers of a sequence page.
pub const PAGE_HEADER: usize = 12;
/// Units per chunk, and chunks per offset page.
pub const PER_PAGE: u64 = 1021;

/// unit-size
pub const UNIT: u64 = 16 << 10;
pub const UNIT_SIZES: std::ops::RangeInclusive<u32> = 12..=20;

/// Pages of the offset table of a disk of so many units (offset-pages).
pub fn offset_pages(units: u64) -> u64 {
    units.div_ceil(PER_PAGE).div_ceil(PER_PAGE)
}

/// The unit size with which a disk of this size has this number of units. Where several fit
/// there is one unit, and they mean the same.
pub fn unit_size(units: u64, disk_size: u64) -> Option<u64> {
    let fits = |unit: &u64| disk_size.div_ceil(*unit) == units;
    std::iter::once(UNIT).chain(UNIT_SIZES.rev().map(|bits| 1 << bits)).find(fits)
}

/// A convention for a page's checksum: where it stands and what it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    pub name: &'static str,
    pub at: usize,
    /// The bytes that it covers; the checksum's own four count as zero where they lie inside.
    pub covers: (usize, usize),
}

const fn convention(name: &'static str, at: usize, from: usize, until: usize) -> Checksum {
    Checksum { name, at, covers: (from, until) }
}

/// The offset page's own (offset-page): published, so nothing is probed.
pub const OFFSET_CHECKSUM: Checksum = convention("at 4 over 8..4096", 4, 8, 4096);

/// What headers are probed for, in order (header-checksum).
pub const HEADER_CHECKSUMS: &[Checksum] = &[
    convention("at 4 over 8..4096", 4, 8, 4096),
    convention("at 4 over 8..0x4000", 4, 8, 0x4000),
    convention("at 4 over 0..4096", 4, 0, 4096),
    convention("at 4 over 0..0x4000", 4, 0, 0x4000),
    convention("at 0 over 4..4096", 0, 4, 4096),
    convention("at 8 over 12..4096", 8, 12, 4096),
    convention("at 0x14 over 0..4096", 0x14, 0, 4096),
];

/// What sequence pages are probed for, in order (sequence-header).
pub const SEQUENCE_CHECKSUMS: &[Checksum] = &[
    convention("at 4 over 8..4096", 4, 8, 4096),
    convention("at 4 over 0..4096", 4, 0, 4096),
    convention("at 0 over 4..4096", 0, 4, 4096),
    convention("at 8 over 12..4096", 8, 12, 4096),
    convention("at 0x14 over 0..4096", 0x14, 0, 4096),
];

impl Checksum {
    /// Does it hold on these bytes?
    pub fn holds(&self, bytes: &[u8]) -> bool {
        let (from, until) = self.covers;
        let stored = u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[self.at + i]));
        let covered = &bytes[from..until];
        let crc = match self.at.checked_sub(from) {
            Some(inside) if self.at < until => checksum(covered, inside),
            _ => crc32c::crc32c(covered),
        };
        crc == stored
    }
}
