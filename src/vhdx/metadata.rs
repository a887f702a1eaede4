//! The metadata region ([MS-VHDX] 2.6): what the virtual disk is.

use super::layout::*;
use super::locator::ParentLocator;
use super::region::Region;
use crate::bytes::guid;
use crate::error::{ErrorKind, Result};
use crate::source::Reader;
use byteorder::{ByteOrder, LittleEndian};
use std::collections::HashMap;
use uuid::Uuid;

/// What the metadata region says of the virtual disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Payload block size in bytes: a power of two, 1 to 256 MB.
    pub block_size: u32,
    /// A fixed disk: blocks stay allocated.
    pub leave_block_allocated: bool,
    /// The virtual disk's size in bytes.
    pub virtual_size: u64,
    /// The virtual disk's identity, the same in every file of a chain.
    pub disk_id: Uuid,
    /// 512 or 4096.
    pub logical_sector_size: u32,
    /// 512 or 4096.
    pub physical_sector_size: u32,
    /// Present exactly in differencing files.
    pub parent_locator: Option<ParentLocator>,
}

/// A metadata table entry.
#[derive(Debug, Clone, Copy)]
struct Item {
    id: Uuid,
    offset: u32,
    length: u32,
    is_user: bool,
    is_required: bool,
}

const KNOWN: [Uuid; 9] = [
    FILE_PARAMETERS,
    VIRTUAL_DISK_SIZE,
    VIRTUAL_DISK_ID,
    LOGICAL_SECTOR_SIZE,
    PHYSICAL_SECTOR_SIZE,
    PARENT_LOCATOR,
    INCOMPLETE_FILE,
    PMEM_LABEL_AREA,
    CHS_PARAMETERS,
];

impl Metadata {
    pub(super) fn read(file: &Reader, region: &Region) -> Result<Self> {
        let table = file.read_vec(region.offset, METADATA_TABLE_BYTES, "the metadata table")?;
        let items = Items { file, region, by_id: system_items(file, &table, region)? };
        if items.by_id.contains_key(&INCOMPLETE_FILE) {
            let message = "the file's creation is not finished; wait for it, or make the file anew";
            return Err(file.error(ErrorKind::Incomplete, message.into()));
        }
        let parameters = items.required(FILE_PARAMETERS, 8, "file parameters")?;
        let flags = LittleEndian::read_u32(&parameters[4..]);
        let metadata = Metadata {
            block_size: LittleEndian::read_u32(&parameters),
            leave_block_allocated: flags & 1 != 0,
            virtual_size: LittleEndian::read_u64(&items.required(
                VIRTUAL_DISK_SIZE,
                8,
                "virtual disk size",
            )?),
            disk_id: guid(&items.required(VIRTUAL_DISK_ID, 16, "virtual disk id")?),
            logical_sector_size: items.sector_size(LOGICAL_SECTOR_SIZE, "logical")?,
            physical_sector_size: items.sector_size(PHYSICAL_SECTOR_SIZE, "physical")?,
            parent_locator: if flags & 2 != 0 { Some(items.parent_locator()?) } else { None },
        };
        metadata.validate(file)?;
        Ok(metadata)
    }

    fn validate(&self, file: &Reader) -> Result<()> {
        let corrupt = |message: String| Err(file.error(ErrorKind::MetadataCorrupt, message));
        let Metadata { block_size, virtual_size, logical_sector_size, .. } = *self;
        if !block_size.is_power_of_two() || !BLOCK_SIZES.contains(&block_size) {
            return corrupt(format!(
                "the block size should be a power of two from 1 MB to 256 MB and is {block_size} bytes"
            ));
        }
        let whole_sectors = virtual_size % u64::from(logical_sector_size) == 0;
        if !whole_sectors || virtual_size > MAX_VIRTUAL_SIZE {
            return corrupt(format!(
                "the virtual disk size should be a multiple of {logical_sector_size} bytes, at most 64 TB, \
                 and is {virtual_size} bytes"
            ));
        }
        Ok(())
    }

    /// Does the file hold only what differs from its parent?
    pub fn has_parent(&self) -> bool {
        self.parent_locator.is_some()
    }
}

struct Items<'a> {
    file: &'a Reader,
    region: &'a Region,
    /// The system items; a user's may have the same id and is none of them.
    by_id: HashMap<Uuid, Item>,
}

impl Items<'_> {
    fn required(&self, id: Uuid, length: u32, name: &str) -> Result<Vec<u8>> {
        let item = self.by_id.get(&id).ok_or_else(|| {
            let message = format!("the metadata has no {name} item");
            self.file.error(ErrorKind::MetadataCorrupt, message)
        })?;
        if item.length < length {
            let message = format!(
                "the metadata item {name} should have {length} bytes and has {}",
                item.length
            );
            return Err(self.file.error(ErrorKind::MetadataCorrupt, message));
        }
        let offset = self.region.offset + u64::from(item.offset);
        self.file.read_vec(offset, item.length as usize, "a metadata item")
    }

    fn sector_size(&self, id: Uuid, name: &str) -> Result<u32> {
        let size = LittleEndian::read_u32(&self.required(id, 4, "sector size")?);
        if size != 512 && size != 4096 {
            let message = format!("the {name} sector size should be 512 or 4096 and is {size}");
            return Err(self.file.error(ErrorKind::MetadataCorrupt, message));
        }
        Ok(size)
    }

    fn parent_locator(&self) -> Result<ParentLocator> {
        let bytes = self.required(PARENT_LOCATOR, 20, "parent locator")?;
        ParentLocator::parse(&bytes).map_err(|error| self.file.name(error))
    }
}

/// The table's system items that this version knows, after the checks that concern all.
fn system_items(file: &Reader, table: &[u8], region: &Region) -> Result<HashMap<Uuid, Item>> {
    let corrupt = |message: String| Err(file.error(ErrorKind::MetadataCorrupt, message));
    let count = LittleEndian::read_u16(&table[10..]);
    if !table.starts_with(METADATA_SIGNATURE) || u32::from(count) > MAX_TABLE_ENTRIES {
        return corrupt(format!(
            "the metadata table at {:#x} should be signed \"metadata\" and have at most 2047 entries; its \
             signature is \"{}\", its count {count}",
            region.offset,
            table[..8].escape_ascii()
        ));
    }
    let mut items = Vec::with_capacity(count.into());
    for entry in table[32..].chunks_exact(32).take(count.into()) {
        let flags = LittleEndian::read_u32(&entry[24..]);
        let item = Item {
            id: guid(entry),
            offset: LittleEndian::read_u32(&entry[16..]),
            length: LittleEndian::read_u32(&entry[20..]),
            is_user: flags & 1 != 0,
            is_required: flags & 4 != 0,
        };
        validate(file, region, &item)?;
        items.push(item);
    }
    items.sort_unstable_by_key(|item| (item.id, item.is_user));
    if let Some(pair) =
        items.windows(2).find(|p| p[0].id == p[1].id && p[0].is_user == p[1].is_user)
    {
        return corrupt(format!("the metadata table names item {} twice", pair[0].id));
    }
    let mut placed: Vec<Item> = items.iter().filter(|item| item.length > 0).copied().collect();
    placed.sort_unstable_by_key(|item| item.offset);
    if let Some(pair) = placed.windows(2).find(|p| p[0].offset + p[0].length > p[1].offset) {
        return corrupt(format!("the metadata items {} and {} overlap", pair[0].id, pair[1].id));
    }
    Ok(items.into_iter().filter(|item| !item.is_user).map(|item| (item.id, item)).collect())
}

fn validate(file: &Reader, region: &Region, item: &Item) -> Result<()> {
    let Item { id, offset, length, is_user, is_required } = *item;
    if is_required && (is_user || !KNOWN.contains(&id)) {
        let message = format!(
            "metadata item {id} is marked as required and this version does not know it; a newer reader is needed"
        );
        return Err(file.error(ErrorKind::UnknownRequired, message));
    }
    let inside = u64::from(offset) + u64::from(length) <= region.length;
    let behind_table = offset as usize >= METADATA_TABLE_BYTES;
    let well_placed = match length {
        0 => offset == 0,
        _ => inside && behind_table && length <= MAX_ITEM_BYTES,
    };
    if !well_placed {
        let message = format!(
            "metadata item {id} has {length} bytes at {offset:#x} of its region; it should have at most 1 MB, \
             begin behind the 64 KB of the table and end within the region's {:#x} bytes, or be empty at 0",
            region.length
        );
        return Err(file.error(ErrorKind::MetadataCorrupt, message));
    }
    Ok(())
}
