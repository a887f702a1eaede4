//! Everything that is known, derived or assumed about the `.rct` file. Microsoft publishes no
//! specification of it: if a real file contradicts it, only this module has to change.
//!
//! [`FACTS`] lists each with its confidence; the table in `facts.md` is checked against it. All
//! integers are little-endian, GUIDs mixed-endian as in VHDX.

use super::checksum::{Checksum, Conventions, End};
use crate::facts::{Fact, facts};

/// Every fact that this crate's reading of `.rct` files rests on.
pub const FACTS: &[Fact] = facts! {
    "names" Published "the table of DISK is DISK.rct, beside it; a disk without one is not tracked";
    "pages" Published "the file consists of 4 KiB pages";
    "first-page" Assumed "the page at 0 holds nothing that an answer needs";
    "header-places" Published "two header copies of 0x4000 bytes lie at 0x1000 and 0x5000";
    "header-signature" Assumed "the u32 at 0x00 of a header is a signature of unknown value";
    "header-checksum" Assumed "a CRC-32C in each header, standard or raw, holds by one of the probed conventions";
    "header-counter" Assumed "the u64 at 0x08 is an update counter; the valid copy with the greater one is current";
    "header-units" Published "the u64 at 0x28 is the tracked disk's size in units";
    "header-branch" Published "the GUID at 0x30 is the branch of the current RCT id";
    "header-number" Published "the u32 at 0x40 is the sequence number of the current RCT id";
    "header-branches" Published "the u16 at 0x44 counts the branch history; outside 1 to 511 the copy is invalid";
    "header-new-id" Published "the byte at 0x46 is a flag for a new id";
    "branch-size" Published "the branch history lies at 0x1000 of a header, 24 bytes an entry";
    "branch-fields" Assumed "a branch is a GUID, the u32 number that it begins with and a u32 limit, oldest first";
    "offset-table" Published "the offset table begins at 0x9000, a u32 entry for each chunk of 1021 units";
    "offset-pages" Derived "it has ceil(ceil(units / 1021) / 1021) pages";
    "offset-page" Published
        "an offset page is u32 \"offp\", u32 CRC-32C over bytes 8 to 4096, u32 page index, 1021 entries";
    "entry-uniform" Published "an entry of 0 or more is the sequence number of every unit of its chunk";
    "entry-detailed" Published
        "a negative entry is minus the number of the chunk's sequence page, which only it names";
    "sequence-page" Published "a sequence page is 12 bytes of header and 1021 u32 sequence numbers";
    "sequence-header" Assumed
        "the header's three words are a checksum, by one of the probed conventions, and two unknowns";
    "unit-size" Derived
        "a unit is 16 KiB of virtual disk; units = ceil(size / 16 KiB), or the table is another disk's";
    "changed" Derived "a unit changed since (G, n) if its sequence number is greater than n";
    "id-text" Published "an id reads rctX: and GUID and number in hexadecimal, with colons between";
    "consistent-history" Assumed
        "a history begins at 0, unless it is full, does not decrease, has no branch twice and ends with the current one";
    "resolve" Assumed
        "a table resolves (G, n) if G is the current branch, or n lies in what G had of a consistent history";
    "preserved" Published "a child that keeps its parent's ids starts at zero, so the parent's table counts too";
    "lazy" Published "a file that was not closed cleanly may have a table that lacks the last writes";
};

/// The size of a page in bytes (pages).
pub const PAGE: u64 = PAGE_BYTES as u64;
pub(super) const PAGE_BYTES: usize = 4096;
/// The offsets of the two header copies in the file, in bytes (header-places).
pub const HEADER_OFFSETS: [u64; 2] = [0x1000, 0x5000];
/// The size of a header copy in bytes (header-places).
pub const HEADER_BYTES: usize = 0x4000;
/// The offset of a header's branch count (header-branches).
pub(super) const BRANCH_COUNT_AT: usize = 0x44;
/// The offset of a header's history (branch-size).
pub(super) const HISTORY_AT: usize = 0x1000;
/// branch-size; 511 entries end at 0x3FE8, inside the copy.
pub(super) const BRANCH_BYTES: usize = 24;
pub(super) const MAX_BRANCHES: usize = 511;

/// The offset of the offset table in the file, in bytes (offset-table).
pub const OFFSET_TABLE: u64 = 0x9000;
/// The signature of an offset page: "offp" (offset-page).
pub const OFFSET_SIGNATURE: u32 = 0x7066_666F;
/// Bytes before the entries of an offset page, and before the numbers of a sequence page.
pub(super) const PAGE_HEADER: usize = 12;
/// The number of units per chunk, and of chunks per offset page (offset-page, sequence-page).
pub const PER_PAGE: u64 = CHUNK_UNITS as u64;
pub(super) const CHUNK_UNITS: u32 = 1021;

/// The size of a unit in bytes of the virtual disk (unit-size).
pub const UNIT: u64 = 16 << 10;
pub(crate) const UNIT_BYTES: u32 = 16 << 10;

/// Returns the number of pages of the offset table of a disk of this many units (offset-pages).
#[must_use]
pub fn offset_pages(units: u64) -> u64 {
    units.div_ceil(PER_PAGE).div_ceil(PER_PAGE)
}

/// Returns the number of units of a disk of this many bytes (unit-size).
#[must_use]
pub fn units(disk_size: u64) -> u64 {
    disk_size.div_ceil(UNIT)
}

/// The checksum of an offset page (offset-page): published, so it is not probed.
pub const OFFSET_CHECKSUM: Checksum = Checksum::new(4, 8, 0x1000);

/// The probed conventions of headers (header-checksum). The likely ones, in order: as in an offset
/// page; the same with the whole copy; from the start of the page or copy; in the place of the
/// signature; in the place of the counter; as in a `.vhds`. Other possible offsets: any word of the
/// first 128 bytes except those that are known to hold something else (header-units, header-branch,
/// header-number, header-branches, header-new-id).
pub(super) const HEADER_CHECKSUMS: Conventions = Conventions {
    likely: &[
        Checksum::new(0x04, 0x08, 0x1000),
        Checksum::new(0x04, 0x08, 0x4000),
        Checksum::new(0x04, 0, 0x1000),
        Checksum::new(0x04, 0, 0x4000),
        Checksum::new(0x00, 0x04, 0x1000),
        Checksum::new(0x08, 0x0C, 0x1000),
        Checksum::new(0x14, 0, 0x1000),
    ],
    places: &[
        0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x1C, 0x20, 0x24, 0x48, 0x4C, 0x50, 0x54, 0x58,
        0x5C, 0x60, 0x64, 0x68, 0x6C, 0x70, 0x74, 0x78, 0x7C,
    ],
    ends: &[End::At(0x1000), End::At(0x4000), End::History],
};

/// The probed conventions of sequence pages: in one of the three words of the header
/// (sequence-header).
pub(super) const SEQUENCE_CHECKSUMS: Conventions = Conventions {
    likely: &[
        Checksum::new(4, 8, 0x1000),
        Checksum::new(4, 0, 0x1000),
        Checksum::new(0, 4, 0x1000),
        Checksum::new(8, 12, 0x1000),
    ],
    places: &[0, 4, 8],
    ends: &[End::At(0x1000)],
};
