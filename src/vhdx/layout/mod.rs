//! Every constant and structure of the VHDX format, with its source in [MS-VHDX] ("VHDX Format").
//! All integers are little-endian, GUIDs mixed-endian.

mod header;
mod log;
mod metadata;
#[cfg(test)]
mod tests;

pub(super) use header::{FileTypeIdentifier, RegionTableHeader, StoredTwice};
pub use header::{Header, Region};
pub(super) use log::{DataSector, LogDescriptor, LogEntry};
pub(super) use metadata::{
    FileParameters, MetadataTableEntry, MetadataTableHeader, ParentLocatorEntry,
    ParentLocatorHeader,
};

use uuid::{Uuid, uuid};

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;

/// File type identifier (2.2.1).
pub(super) const FILE_SIGNATURE: &[u8; 8] = b"vhdxfile";

/// The offset of the CRC-32C in a header, a region table and a log entry: after the signature.
pub(super) const CHECKSUM_AT: usize = 4;

/// The two headers (2.2.2): 4 KiB each.
pub(super) const HEADERS: StoredTwice =
    StoredTwice { what: "header", signature: "head", offsets: [64 * KIB, 128 * KIB], length: 4096 };

/// The two region tables (2.2.3): 64 KiB each; entries of 32 bytes.
pub(super) const REGION_TABLES: StoredTwice = StoredTwice {
    what: "region table",
    signature: "regi",
    offsets: [192 * KIB, 256 * KIB],
    length: 64 << 10,
};
/// 2.2.3.1: at most 2047 entries, as many as fit into 64 KiB after the 16-byte header.
pub(super) const MAX_TABLE_ENTRIES: u32 = 2047;
pub(super) const BAT_REGION: Uuid = uuid!("2DC27766-F623-4200-9D64-115E9BFD4A08");
pub(super) const METADATA_REGION: Uuid = uuid!("8B7CA206-4790-4B9A-B8FE-575F050F886E");

/// The end of the second region table, up to which opening reads the header section.
pub(super) const HEADER_TABLES_END: u64 = 320 * KIB;

/// Everything except the header section is 1 MiB aligned and begins after it (2.1).
pub(super) const HEADER_SECTION: u64 = MIB;

/// The log (2.3): entries and their parts are whole sectors of 4 KiB.
pub(super) const LOG_SECTOR: u64 = LOG_SECTOR_BYTES as u64;
pub(super) const LOG_SECTOR_BYTES: usize = 4096;
pub(super) const LOG_ENTRY_SIGNATURE: &[u8; 4] = b"loge";
pub(super) const LOG_ENTRY_HEADER: u64 = 64;
pub(super) const LOG_DESCRIPTOR: u64 = 32;
pub(super) const LOG_DATA_SIGNATURE: &[u8; 4] = b"data";

/// The metadata table (2.6.1): the first 64 KiB of its region; an item is at most 1 MiB.
pub(super) const METADATA_TABLE_BYTES: usize = 64 << 10;
/// The length of the region that is read at once: the table and what writers put after it.
pub(super) const METADATA_READ: u64 = 128 * KIB;
pub(super) const METADATA_SIGNATURE: &[u8; 8] = b"metadata";
pub(super) const MAX_ITEM_BYTES: u32 = 1 << 20;

pub(super) const FILE_PARAMETERS: Uuid = uuid!("CAA16737-FA36-4D43-B3B6-33F0AA44E76B");
pub(super) const VIRTUAL_DISK_SIZE: Uuid = uuid!("2FA54224-CD1B-4876-B211-5DBED83BF4B8");
pub(super) const VIRTUAL_DISK_ID: Uuid = uuid!("BECA12AB-B2E6-4523-93EF-C309E000C746");
pub(super) const LOGICAL_SECTOR_SIZE: Uuid = uuid!("8141BF1D-A96F-4709-BA47-F233A8FAAB5F");
pub(super) const PHYSICAL_SECTOR_SIZE: Uuid = uuid!("CDA348C7-445D-4471-9CC9-E9885251C556");
pub(super) const PARENT_LOCATOR: Uuid = uuid!("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C");
/// Present until Windows has finished creating the file (seen in its driver, not in the
/// specification).
pub(super) const INCOMPLETE_FILE: Uuid = uuid!("71CC85F0-1B69-4E28-9558-C3BF83AE75D3");
/// The label area of a disk for persistent memory; does not affect blocks.
pub(super) const PMEM_LABEL_AREA: Uuid = uuid!("10E1AE8A-4B7E-4169-A40F-CD70DE928393");

/// The geometry reported to old firmware; does not affect blocks.
pub(super) const CHS_PARAMETERS: Uuid = uuid!("DA02D7BC-3D3A-423C-AC88-2A36AB21479B");

/// The bytes of a parent locator entry (2.6.2.6.2).
pub(super) const LOCATOR_ENTRY: usize = 12;
/// The parent locator type that this format defines (2.6.2.6.1).
pub(super) const VHDX_LOCATOR_TYPE: Uuid = uuid!("B04AEFB7-D19E-4A81-B789-25B8E9445913");

/// 2.6.2.1 and 2.6.2.2.
pub(super) const BLOCK_SIZES: std::ops::RangeInclusive<u32> = 1 << 20..=256 << 20;
pub(super) const MAX_VIRTUAL_SIZE: u64 = 64 << 40;

/// A sector bitmap block is 1 MiB, so a chunk has 2^23 sectors (2.4).
pub(super) const BITMAP_BLOCK: u64 = MIB;
pub(super) const SECTORS_PER_CHUNK: u64 = 1 << 23;
