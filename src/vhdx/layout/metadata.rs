//! The structures of the metadata region (2.6).

use crate::wire::structure;
use uuid::Uuid;

structure! {
    /// Metadata table header (2.6.1.1); the entries follow.
    pub(in crate::vhdx) struct MetadataTableHeader {
        pub signature: [u8; 8] = bytes,
        pub reserved: u16 = u16,
        pub entry_count: u16 = u16,
        pub reserved2: [u8; 20] = bytes,
    }
}

structure! {
    /// Metadata table entry (2.6.1.2).
    pub(in crate::vhdx) struct MetadataTableEntry {
        pub item_id: Uuid = guid,
        pub offset: u32 = u32,
        pub length: u32 = u32,
        /// Bit 0: IsUser, bit 1: IsVirtualDisk, bit 2: IsRequired. The others are reserved.
        pub flags: u32 = u32,
        pub reserved2: u32 = u32,
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
    pub(in crate::vhdx) struct FileParameters {
        pub block_size: u32 = u32,
        /// Bit 0: LeaveBlockAllocated, bit 1: HasParent. The others are reserved.
        pub flags: u32 = u32,
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
    pub(in crate::vhdx) struct ParentLocatorHeader {
        pub locator_type: Uuid = guid,
        pub reserved: u16 = u16,
        pub key_value_count: u16 = u16,
    }
}

structure! {
    /// Parent locator entry (2.6.2.6.2); offsets count from the locator's start.
    pub(in crate::vhdx) struct ParentLocatorEntry {
        pub key_offset: u32 = u32,
        pub value_offset: u32 = u32,
        pub key_length: u16 = u16,
        pub value_length: u16 = u16,
    }
}
