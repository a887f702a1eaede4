//! The structures of the metadata region (2.6).

use crate::error::Result;
use crate::wire::Fields;
use uuid::Uuid;

/// Metadata table header (2.6.1.1); the entries follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vhdx) struct MetadataTableHeader {
    pub signature: [u8; 8],
    pub reserved: u16,
    pub entry_count: u16,
    pub reserved2: [u8; 20],
}

impl MetadataTableHeader {
    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self> {
        Ok(MetadataTableHeader {
            signature: fields.bytes("signature")?,
            reserved: fields.u16("reserved")?,
            entry_count: fields.u16("entry_count")?,
            reserved2: fields.bytes("reserved2")?,
        })
    }
}

/// Metadata table entry (2.6.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vhdx) struct MetadataTableEntry {
    pub item_id: Uuid,
    pub offset: u32,
    pub length: u32,
    /// Bit 0: IsUser, bit 1: IsVirtualDisk, bit 2: IsRequired. The others are reserved.
    pub flags: u32,
    pub reserved2: u32,
}

impl MetadataTableEntry {
    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self> {
        Ok(MetadataTableEntry {
            item_id: fields.guid("item_id")?,
            offset: fields.u32("offset")?,
            length: fields.u32("length")?,
            flags: fields.u32("flags")?,
            reserved2: fields.u32("reserved2")?,
        })
    }

    pub(crate) fn is_user(&self) -> bool {
        self.flags & 1 != 0
    }

    pub(crate) fn is_required(&self) -> bool {
        self.flags & 4 != 0
    }
}

/// File parameters (2.6.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vhdx) struct FileParameters {
    pub block_size: u32,
    /// Bit 0: LeaveBlockAllocated, bit 1: HasParent. The others are reserved.
    pub flags: u32,
}

impl FileParameters {
    pub(crate) const BYTES: u32 = 8;

    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self> {
        Ok(FileParameters { block_size: fields.u32("block_size")?, flags: fields.u32("flags")? })
    }

    pub(crate) fn leave_block_allocated(&self) -> bool {
        self.flags & 1 != 0
    }

    pub(crate) fn has_parent(&self) -> bool {
        self.flags & 2 != 0
    }
}

/// Parent locator header (2.6.2.6.1); the entries follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vhdx) struct ParentLocatorHeader {
    pub locator_type: Uuid,
    pub reserved: u16,
    pub key_value_count: u16,
}

impl ParentLocatorHeader {
    pub(crate) const BYTES: u32 = 20;

    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self> {
        Ok(ParentLocatorHeader {
            locator_type: fields.guid("locator_type")?,
            reserved: fields.u16("reserved")?,
            key_value_count: fields.u16("key_value_count")?,
        })
    }
}

/// Parent locator entry (2.6.2.6.2); offsets count from the locator's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vhdx) struct ParentLocatorEntry {
    pub key_offset: u32,
    pub value_offset: u32,
    pub key_length: u16,
    pub value_length: u16,
}

impl ParentLocatorEntry {
    pub(crate) const BYTES: usize = 12;

    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self> {
        Ok(ParentLocatorEntry {
            key_offset: fields.u32("key_offset")?,
            value_offset: fields.u32("value_offset")?,
            key_length: fields.u16("key_length")?,
            value_length: fields.u16("value_length")?,
        })
    }
}
