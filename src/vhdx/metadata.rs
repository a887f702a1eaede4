//! The metadata region ([MS-VHDX] 2.6): the properties of the virtual disk.

use super::error::{VhdxError, ensure};
use super::layout::*;
use super::locator::ParentLocator;
use crate::error::Result;
use crate::size::to_usize;
use crate::source::FileView;
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
    pub(super) fn read(file: FileView<'_>, region: &Region) -> Result<Self> {
        // Reads the table and, in the same read, the items that lie after it.
        let length = to_usize(region.length.min(METADATA_READ));
        let start = file.read_vec(region.offset, length, "the metadata region")?;
        let by_id = system_items(&start[..METADATA_TABLE_BYTES], region)?;
        let items = Items { file, start: &start, region, by_id };
        ensure(!items.by_id.contains_key(&INCOMPLETE_FILE), VhdxError::Incomplete)?;
        let parameters = items.bytes(FILE_PARAMETERS, 8, "file parameters")?;
        let parameters = FileParameters::parse(&mut Fields::new("file parameters", &parameters))?;
        let size = items.bytes(VIRTUAL_DISK_SIZE, 8, "virtual disk size")?;
        let id = items.bytes(VIRTUAL_DISK_ID, 16, "virtual disk id")?;
        let locator = || items.bytes(PARENT_LOCATOR, 20, "parent locator");
        let metadata = Metadata {
            block_size: parameters.block_size,
            leave_block_allocated: parameters.leave_block_allocated(),
            virtual_size: Fields::new("virtual disk size", &size).u64("virtual_disk_size")?,
            disk_id: Fields::new("virtual disk id", &id).guid("virtual_disk_id")?,
            logical_sector_size: items.sector_size(LOGICAL_SECTOR_SIZE, "logical")?,
            physical_sector_size: items.sector_size(PHYSICAL_SECTOR_SIZE, "physical")?,
            parent_locator: match parameters.has_parent() {
                true => Some(ParentLocator::parse(&locator()?)?),
                false => None,
            },
        };
        metadata.verify()?;
        Ok(metadata)
    }

    fn verify(&self) -> Result<(), VhdxError> {
        let (block, sector, found) = (self.block_size, self.logical_sector_size, self.virtual_size);
        let valid = block.is_power_of_two() && BLOCK_SIZES.contains(&block);
        ensure(valid, VhdxError::BlockSize(block))?;
        let valid = found.is_multiple_of(sector.into()) && found <= MAX_VIRTUAL_SIZE;
        ensure(valid, VhdxError::VirtualSize { sector, found })
    }

    /// Returns whether the file holds only what differs from its parent.
    #[must_use]
    pub fn has_parent(&self) -> bool {
        self.parent_locator.is_some()
    }
}

struct Items<'a> {
    file: FileView<'a>,
    /// The start of the region.
    start: &'a [u8],
    region: &'a Region,
    /// The system items; a user item may have the same id and is not included.
    by_id: HashMap<Uuid, MetadataTableEntry>,
}

impl Items<'_> {
    /// Returns the bytes of an item that must have at least `expected` of them.
    fn bytes(&self, id: Uuid, expected: u32, name: &'static str) -> Result<Vec<u8>> {
        let item = self.by_id.get(&id).ok_or(VhdxError::ItemMissing(name))?;
        let found = item.length;
        ensure(found >= expected, VhdxError::ItemLength { name, expected, found })?;
        let (from, length) = (item.offset as usize, item.length as usize);
        if let Some(bytes) = self.start.get(from..from + length) {
            return Ok(bytes.to_vec());
        }
        let offset = self.region.offset + u64::from(item.offset);
        self.file.read_vec(offset, length, "a metadata item")
    }

    fn sector_size(&self, id: Uuid, which: &'static str) -> Result<u32> {
        let bytes = self.bytes(id, 4, "sector size")?;
        let found = Fields::new("sector size", &bytes).u32("sector_size")?;
        ensure([512, 4096].contains(&found), VhdxError::SectorSize { which, found })?;
        Ok(found)
    }
}

/// Returns the system items of the table that this version supports, after the common checks.
fn system_items(table: &[u8], region: &Region) -> Result<HashMap<Uuid, MetadataTableEntry>> {
    let mut fields = Fields::new("the metadata table", table);
    let MetadataTableHeader { signature, entry_count: count, .. } =
        MetadataTableHeader::parse(&mut fields)?;
    if signature != *METADATA_SIGNATURE || u32::from(count) > MAX_TABLE_ENTRIES {
        let signature = signature.escape_ascii().to_string();
        return Err(VhdxError::MetadataTable { offset: region.offset, signature, count }.into());
    }
    let items = (0..count).map(|_| MetadataTableEntry::parse(&mut fields));
    let mut items = items.collect::<Result<Vec<_>>>()?;
    items.iter().try_for_each(|item| verify_item(item, region))?;
    let key = |item: &MetadataTableEntry| (item.item_id, item.is_user());
    items.sort_unstable_by_key(key);
    if let Some(pair) = items.windows(2).find(|pair| key(&pair[0]) == key(&pair[1])) {
        return Err(VhdxError::ItemTwice(pair[0].item_id).into());
    }
    // Empty items are at 0, before all others.
    items.sort_by_key(|item| item.offset);
    if let Some(pair) = items.windows(2).find(|p| p[0].offset + p[0].length > p[1].offset) {
        return Err(VhdxError::ItemOverlap(pair[0].item_id, pair[1].item_id).into());
    }
    let system = items.into_iter().filter(|item| !item.is_user());
    Ok(system.map(|item| (item.item_id, item)).collect())
}

fn verify_item(item: &MetadataTableEntry, region: &Region) -> Result<(), VhdxError> {
    let MetadataTableEntry { item_id: id, offset, length, .. } = *item;
    let known = !item.is_user() && KNOWN.contains(&id);
    let unknown = VhdxError::UnknownRequired { what: "metadata item", id };
    ensure(known || !item.is_required(), unknown)?;
    let inside = u64::from(offset) + u64::from(length) <= region.length;
    let after_table = offset as usize >= METADATA_TABLE_BYTES;
    let well_placed = match length {
        0 => offset == 0,
        _ => inside && after_table && length <= MAX_ITEM_BYTES,
    };
    ensure(well_placed, VhdxError::ItemPlace { id, offset, length, region: region.length })
}
