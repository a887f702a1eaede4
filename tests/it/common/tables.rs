//! Tracking tables in memory.

use std::path::Path;
use vhdx_rct::RctId;
use vhdx_rct_fixtures::rct::{
    Checksum, HEADERS, OFFSET_TABLE, RctBuilder, RctPlacement, fix_checksum, patch,
};

/// The bytes of a table after a change to its file.
pub fn table_bytes(table: &RctBuilder, change: impl FnOnce(&Path, &RctPlacement)) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table");
    let placement = table.write(&path).unwrap();
    change(&path, &placement);
    std::fs::read(path).unwrap()
}

/// The newest id of a table.
pub fn current_id(table: &RctBuilder) -> RctId {
    let (branch, number) = table.current_id();
    RctId::new(branch, number)
}

/// Changes bytes of both headers, and restores their checksums.
pub fn table_headers(path: &Path, at: u64, bytes: &[u8]) {
    for header in HEADERS {
        patch(path, header + at, bytes).unwrap();
        fix_checksum(path, header, Checksum::At4From8).unwrap();
    }
}

/// Changes a word of the first offset page, and restores its checksum.
pub fn table_word(path: &Path, at: u64, word: i32) {
    patch(path, OFFSET_TABLE + at, &word.to_le_bytes()).unwrap();
    fix_checksum(path, OFFSET_TABLE, Checksum::At4From8).unwrap();
}
