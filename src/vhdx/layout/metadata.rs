//! The structures of the metadata region (2.6).

use crate::error::Result;
use crate::wire::Fields;
use uuid::Uuid;

structure! {
    /// Metadata table header (2.6.1.1); the entries follow.
    MetadataTableHeader {
        signature: [u8; 8] = bytes,
        reserved: u16 = u16,
        entry_count: u16 = u16,
        reserved2: [u8; 20] = bytes,
    }
}

structure! {
    /// Metadata table entry (2.6.1.2).
    MetadataTableEntry {
        item_id: Uuid = guid,
        offset: u32 = u32,
        length: u32 = u32,
        /// Bit 0: IsUser, bit 1: IsVirtualDisk, bit 2: IsRequired. The others are reserved.
        flags: u32 = u32,
        reserved2: u32 = u32,
    }
}

impl MetadataTableEntry {
    pub(crate) fn is_user(&self) -> bool {
        self.flags & 1 != 0
    }

    pub(crate) fn is_required(&self) -> bool {
        self.flags & 4 != 0
    }
}

structure! {
    /// File parameters (2.6.2.1).
    FileParameters {
        block_size: u32 = u32,
        /// Bit 0: LeaveBlockAllocated, bit 1: HasParent. The others are reserved.
        flags: u32 = u32,
    }
}

impl FileParameters {
    pub(crate) fn leave_block_allocated(&self) -> bool {
        self.flags & 1 != 0
    }

    pub(crate) fn has_parent(&self) -> bool {
        self.flags & 2 != 0
    }
}

structure! {
    /// Parent locator header (2.6.2.6.1); the entries follow.
    ParentLocatorHeader {
        locator_type: Uuid = guid,
        reserved: u16 = u16,
        key_value_count: u16 = u16,
    }
}

structure! {
    /// Parent locator entry (2.6.2.6.2); offsets count from the locator's start.
    ParentLocatorEntry {
        key_offset: u32 = u32,
        value_offset: u32 = u32,
        key_length: u16 = u16,
        value_length: u16 = u16,
    }
}
