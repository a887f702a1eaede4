//! The metadata region ([MS-VHDX] 2.6): the properties of the virtual disk.

use super::layout::*;
use super::locator::ParentLocator;
use super::region::Region;
use crate::error::{ErrorKind, Result};
use crate::limits::Limits;
use crate::source::Reader;
use crate::wire::Fields;
use std::collections::HashMap;
use uuid::Uuid;

/// The properties of the virtual disk, from the metadata region.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// The payload block size in bytes: a power of two, 1 to 256 MiB.
    pub block_size: u32,
    /// Whether the disk is fixed: its blocks stay allocated.
    pub leave_block_allocated: bool,
    /// The virtual disk's size in bytes.
    pub virtual_size: u64,
    /// The virtual disk's id, the same in every file of a chain.
    pub disk_id: Uuid,
    /// The logical sector size in bytes: 512 or 4096.
    pub logical_sector_size: u32,
    /// The physical sector size in bytes: 512 or 4096.
    pub physical_sector_size: u32,
    /// The parent locator; present only in differencing files.
    pub parent_locator: Option<ParentLocator>,
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
    pub(super) fn read(file: &Reader, region: &Region, limits: &Limits) -> Result<Self> {
        // Reads the table and, in the same read, the items that lie after it.
        let length = region.length.min(METADATA_READ);
        let start = file.read_vec(limits, region.offset, length as usize, "the metadata region")?;
        let table = &start[..METADATA_TABLE_BYTES];
        let items = Items {
            file,
            limits,
            start: &start,
            region,
            by_id: system_items(file, table, region)?,
        };
        if items.by_id.contains_key(&INCOMPLETE_FILE) {
            let message = "the file's creation is not finished; wait for it, or make the file anew";
            return Err(file.error(ErrorKind::Incomplete, message.into()));
        }
        let parameters = items.parse(
            FILE_PARAMETERS,
            FileParameters::BYTES,
            "file parameters",
            FileParameters::parse,
        )?;
        let metadata = Metadata {
            block_size: parameters.block_size,
            leave_block_allocated: parameters.leave_block_allocated(),
            virtual_size: items.parse(VIRTUAL_DISK_SIZE, 8, "virtual disk size", |fields| {
                fields.u64("virtual_disk_size")
            })?,
            disk_id: items.parse(VIRTUAL_DISK_ID, 16, "virtual disk id", |fields| {
                fields.guid("virtual_disk_id")
            })?,
            logical_sector_size: items.sector_size(LOGICAL_SECTOR_SIZE, "logical")?,
            physical_sector_size: items.sector_size(PHYSICAL_SECTOR_SIZE, "physical")?,
            parent_locator: match parameters.has_parent() {
                true => Some(items.parent_locator()?),
                false => None,
            },
        };
        metadata.validate(file)?;
        Ok(metadata)
    }

    fn validate(&self, file: &Reader) -> Result<()> {
        let corrupt = |message: String| Err(file.error(ErrorKind::MetadataCorrupt, message));
        let Metadata { block_size, virtual_size, logical_sector_size, .. } = *self;
        if !block_size.is_power_of_two() || !BLOCK_SIZES.contains(&block_size) {
            return corrupt(format!(
                "expected the block size to be a power of two from 1 MiB to 256 MiB, found {block_size} bytes"
            ));
        }
        let whole_sectors = virtual_size % u64::from(logical_sector_size) == 0;
        if !whole_sectors || virtual_size > MAX_VIRTUAL_SIZE {
            return corrupt(format!(
                "expected the virtual disk size to be a multiple of {logical_sector_size} bytes and at most 64 TiB, \
                 found {virtual_size} bytes"
            ));
        }
        Ok(())
    }

    /// Returns whether the file holds only what differs from its parent.
    #[must_use]
    pub fn has_parent(&self) -> bool {
        self.parent_locator.is_some()
    }
}

struct Items<'a> {
    file: &'a Reader,
    limits: &'a Limits,
    /// The offset of the region.
    start: &'a [u8],
    region: &'a Region,
    /// The system items; a user item may have the same id and is not included.
    by_id: HashMap<Uuid, MetadataTableEntry>,
}

impl Items<'_> {
    fn required(&self, id: Uuid, length: u32, name: &str) -> Result<Vec<u8>> {
        let item = self.by_id.get(&id).ok_or_else(|| {
            let message = format!("the metadata has no {name} item");
            self.file.error(ErrorKind::MetadataCorrupt, message)
        })?;
        if item.length < length {
            let message = format!(
                "expected the metadata item {name} to have {length} bytes, found {}",
                item.length
            );
            return Err(self.file.error(ErrorKind::MetadataCorrupt, message));
        }
        let (from, length) = (item.offset as usize, item.length as usize);
        if let Some(bytes) = self.start.get(from..from + length) {
            return Ok(bytes.to_vec());
        }
        let offset = self.region.offset + u64::from(item.offset);
        self.file.read_vec(self.limits, offset, length, "a metadata item")
    }

    /// Parses an item that must have at least `length` bytes.
    fn parse<T>(
        &self,
        id: Uuid,
        length: u32,
        name: &'static str,
        parse: impl FnOnce(&mut Fields<'_>) -> Result<T>,
    ) -> Result<T> {
        let bytes = self.required(id, length, name)?;
        parse(&mut Fields::new(name, &bytes)).map_err(|error| self.file.name(error))
    }

    fn sector_size(&self, id: Uuid, name: &str) -> Result<u32> {
        let size = self.parse(id, 4, "sector size", |fields| fields.u32("sector_size"))?;
        if size != 512 && size != 4096 {
            let message =
                format!("expected the {name} sector size to be 512 or 4096, found {size}");
            return Err(self.file.error(ErrorKind::MetadataCorrupt, message));
        }
        Ok(size)
    }

    fn parent_locator(&self) -> Result<ParentLocator> {
        let bytes = self.required(PARENT_LOCATOR, ParentLocatorHeader::BYTES, "parent locator")?;
        ParentLocator::parse(&bytes).map_err(|error| self.file.name(error))
    }
}

/// Returns the system items of the table that this version supports, after the common checks.
fn system_items(
    file: &Reader,
    table: &[u8],
    region: &Region,
) -> Result<HashMap<Uuid, MetadataTableEntry>> {
    let corrupt = |message: String| Err(file.error(ErrorKind::MetadataCorrupt, message));
    let mut fields = Fields::new("the metadata table", table);
    let header = MetadataTableHeader::parse(&mut fields).map_err(|error| file.name(error))?;
    let count = header.entry_count;
    if header.signature != *METADATA_SIGNATURE || u32::from(count) > MAX_TABLE_ENTRIES {
        return corrupt(format!(
            "expected the metadata table at {:#x} to be signed \"metadata\" and to have at most 2047 entries, \
             found the signature \"{}\" and {count} entries",
            region.offset,
            header.signature.escape_ascii()
        ));
    }
    let mut items = Vec::with_capacity(count.into());
    for _ in 0..count {
        let item = MetadataTableEntry::parse(&mut fields).map_err(|error| file.name(error))?;
        validate(file, region, &item)?;
        items.push(item);
    }
    let key = |item: &MetadataTableEntry| (item.item_id, item.is_user());
    items.sort_unstable_by_key(key);
    if let Some(pair) = items.windows(2).find(|pair| key(&pair[0]) == key(&pair[1])) {
        return corrupt(format!("the metadata table names item {} twice", pair[0].item_id));
    }
    let mut placed: Vec<MetadataTableEntry> =
        items.iter().filter(|item| item.length > 0).copied().collect();
    placed.sort_unstable_by_key(|item| item.offset);
    if let Some(pair) = placed.windows(2).find(|p| p[0].offset + p[0].length > p[1].offset) {
        return corrupt(format!(
            "the metadata items {} and {} overlap",
            pair[0].item_id, pair[1].item_id
        ));
    }
    let system = items.into_iter().filter(|item| !item.is_user());
    Ok(system.map(|item| (item.item_id, item)).collect())
}

fn validate(file: &Reader, region: &Region, item: &MetadataTableEntry) -> Result<()> {
    let MetadataTableEntry { item_id: id, offset, length, .. } = *item;
    if item.is_required() && (item.is_user() || !KNOWN.contains(&id)) {
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
            "expected metadata item {id} to have at most 1 MiB, begin after the 64 KiB of the table and end within \
             the region's {:#x} bytes, or be empty at 0, found {length} bytes at {offset:#x} of the region",
            region.length
        );
        return Err(file.error(ErrorKind::MetadataCorrupt, message));
    }
    Ok(())
}
