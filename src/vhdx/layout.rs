//! Every constant of the VHDX format, with its source in [MS-VHDX] ("VHDX Format").
//! All integers are little-endian, GUIDs mixed-endian.

use uuid::{Uuid, uuid};

pub const KB: u64 = 1 << 10;
pub const MB: u64 = 1 << 20;

/// File type identifier (2.2.1) and the creator text behind it: 256 UTF-16 units.
pub const FILE_SIGNATURE: &[u8; 8] = b"vhdxfile";
pub const CREATOR_BYTES: usize = 512;

/// The two headers (2.2.2): 4 KB each.
pub const HEADER_OFFSETS: [u64; 2] = [64 * KB, 128 * KB];
pub const HEADER_BYTES: usize = 4096;
pub const HEADER_SIGNATURE: &[u8; 4] = b"head";

/// The two region tables (2.2.3): 64 KB each; entries of 32 bytes.
pub const REGION_TABLE_OFFSETS: [u64; 2] = [192 * KB, 256 * KB];
pub const REGION_TABLE_BYTES: usize = 64 << 10;
pub const REGION_SIGNATURE: &[u8; 4] = b"regi";
/// 2.2.3.1: at most 2047 entries; so many fit into 64 KB behind the 16-byte header.
pub const MAX_TABLE_ENTRIES: u32 = 2047;
pub const BAT_REGION: Uuid = uuid!("2DC27766-F623-4200-9D64-115E9BFD4A08");
pub const METADATA_REGION: Uuid = uuid!("8B7CA206-4790-4B9A-B8FE-575F050F886E");

/// Everything but the header section is 1 MB aligned and begins behind it (2.1).
pub const HEADER_SECTION: u64 = MB;

/// The log (2.3): entries and their parts are whole sectors of 4 KB.
pub const LOG_SECTOR: u64 = 4 * KB;
pub const LOG_ENTRY_SIGNATURE: &[u8; 4] = b"loge";
pub const LOG_ENTRY_HEADER: usize = 64;
pub const LOG_DESCRIPTOR: usize = 32;
pub const LOG_DATA_SIGNATURE: &[u8; 4] = b"data";
pub const ZERO_DESCRIPTOR_SIGNATURE: &[u8; 4] = b"zero";
pub const DATA_DESCRIPTOR_SIGNATURE: &[u8; 4] = b"desc";

/// The metadata table (2.6.1): the first 64 KB of its region; an item is at most 1 MB.
pub const METADATA_TABLE_BYTES: usize = 64 << 10;
pub const METADATA_SIGNATURE: &[u8; 8] = b"metadata";
pub const MAX_ITEM_BYTES: u32 = 1 << 20;

pub const FILE_PARAMETERS: Uuid = uuid!("CAA16737-FA36-4D43-B3B6-33F0AA44E76B");
pub const VIRTUAL_DISK_SIZE: Uuid = uuid!("2FA54224-CD1B-4876-B211-5DBED83BF4B8");
pub const VIRTUAL_DISK_ID: Uuid = uuid!("BECA12AB-B2E6-4523-93EF-C309E000C746");
pub const LOGICAL_SECTOR_SIZE: Uuid = uuid!("8141BF1D-A96F-4709-BA47-F233A8FAAB5F");
pub const PHYSICAL_SECTOR_SIZE: Uuid = uuid!("CDA348C7-445D-4471-9CC9-E9885251C556");
pub const PARENT_LOCATOR: Uuid = uuid!("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C");
/// Present while Windows still creates the file (seen in its driver, not in the specification).
pub const INCOMPLETE_FILE: Uuid = uuid!("71CC85F0-1B69-4E28-9558-C3BF83AE75D3");
/// The label area of a disk for persistent memory; says nothing about blocks.
pub const PMEM_LABEL_AREA: Uuid = uuid!("10E1AE8A-4B7E-4169-A40F-CD70DE928393");

/// The geometry that old firmware is told; says nothing about blocks.
pub const CHS_PARAMETERS: Uuid = uuid!("DA02D7BC-3D3A-423C-AC88-2A36AB21479B");

/// The parent locator type that this format defines (2.6.2.6.1).
pub const VHDX_LOCATOR_TYPE: Uuid = uuid!("B04AEFB7-D19E-4A81-B789-25B8E9445913");

/// 2.6.2.1 and 2.6.2.2.
pub const BLOCK_SIZES: std::ops::RangeInclusive<u32> = 1 << 20..=256 << 20;
pub const MAX_VIRTUAL_SIZE: u64 = 64 << 40;

/// A sector bitmap block is 1 MB, hence 2^23 sectors a chunk (2.4).
pub const BITMAP_BLOCK: u64 = MB;
pub const SECTORS_PER_CHUNK: u64 = 1 << 23;

/// A BAT entry (2.5): state in bits 0–2, offset in MB from bit 20 on.
pub const BAT_ENTRY: u64 = 8;
pub const BAT_STATE: u64 = 7;
pub const BAT_OFFSET: u64 = !(MB - 1);
