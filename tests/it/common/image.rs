//! The bytes of a file of the fixture builder, for tests that change them.

use std::path::Path;
use uuid::Uuid;
use vhdx_rct_fixtures::vhdx::log::{Descriptor, RawEntry};
use vhdx_rct_fixtures::vhdx::{LogPlan, Placement, VhdxBuilder, put, store_crc};

/// The bytes of a file, and the offsets of its structures.
#[derive(Clone)]
pub struct Image {
    pub bytes: Vec<u8>,
    pub at: Placement,
}

impl Image {
    pub fn new(builder: &VhdxBuilder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let at = builder.write(&path).unwrap();
        Image { bytes: std::fs::read(&path).unwrap(), at }
    }

    /// [`single`](super::disks::single) with a log of these bytes at these offsets.
    pub fn with_log(parts: Vec<(u64, Vec<u8>)>) -> Self {
        Image::new(&super::disks::single().log(LogPlan::Raw(parts)))
    }

    /// A valid log entry with these descriptors.
    pub fn log_entry(&self, descriptors: Vec<Descriptor>) -> RawEntry {
        RawEntry {
            sequence: 7,
            log_guid: self.at.log_guid,
            flushed_file_offset: self.bytes.len() as u64,
            last_file_offset: self.bytes.len() as u64,
            descriptors,
            ..RawEntry::default()
        }
    }

    pub fn save(&self, path: &Path) {
        std::fs::write(path, &self.bytes).unwrap();
    }

    pub fn put(&mut self, offset: u64, bytes: impl AsRef<[u8]>) {
        put(&mut self.bytes, offset as usize, bytes);
    }

    /// Changes bytes of both headers, and restores their checksums.
    pub fn headers(&mut self, at: u64, bytes: impl AsRef<[u8]>) {
        for offset in self.at.header_offsets {
            self.put(offset + at, &bytes);
            store_crc(&mut self.bytes[offset as usize..][..4096]);
        }
    }

    /// Changes bytes of both region tables, and restores their checksums.
    pub fn region_tables(&mut self, at: u64, bytes: impl AsRef<[u8]>) {
        for offset in self.at.region_table_offsets {
            self.put(offset + at, &bytes);
            store_crc(&mut self.bytes[offset as usize..][..64 << 10]);
        }
    }

    /// Changes bytes of a metadata item's content.
    pub fn item(&mut self, id: Uuid, at: u64, bytes: impl AsRef<[u8]>) {
        let (offset, _) = self.at.metadata_items[&id];
        self.put(offset + at, bytes);
    }

    /// Changes bytes of a metadata item's entry in the table.
    pub fn item_entry(&mut self, id: Uuid, at: u64, bytes: impl AsRef<[u8]>) {
        let table = &self.bytes[self.at.metadata_offset as usize..];
        let mut entries = table[32..].chunks_exact(32);
        let index = entries.position(|entry| entry.starts_with(&id.to_bytes_le())).unwrap();
        self.put(self.at.metadata_offset + 32 + 32 * index as u64 + at, bytes);
    }

    /// Replaces a payload block's BAT entry.
    pub fn block(&mut self, block: u64, entry: u64) {
        self.put(self.at.bat_entry_offset(block), entry.to_le_bytes());
    }

    /// Replaces a sector bitmap block's BAT entry.
    pub fn bitmap(&mut self, chunk: u64, entry: u64) {
        self.put(self.at.bitmap_entry_offset(chunk), entry.to_le_bytes());
    }
}
