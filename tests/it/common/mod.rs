//! What the integration tests share.

pub mod codes;
pub mod deep;
pub mod disks;
pub mod faulty;
pub mod image;
pub mod injected;
pub mod memory;

use std::ops::Range;
use std::path::Path;
use vhdx_rct::{ByteRange, VirtualDisk};
pub use vhdx_rct_fixtures::testing::{RealImages, file_sha256, seeds, skip};

/// The SHA-256 of a disk's whole content, in hexadecimal.
pub fn content_sha256(disk: &VirtualDisk) -> String {
    vhdx_rct_fixtures::testing::sha256(&mut disk.reader())
}

pub fn ranges(ranges: &[Range<u64>]) -> Vec<ByteRange> {
    ranges.iter().cloned().map(ByteRange::from).collect()
}

/// `changed_since_parent` of an index entry.
pub fn index_ranges(entry: &serde_json::Value) -> Vec<ByteRange> {
    let pairs: Vec<(u64, u64)> =
        serde_json::from_value(entry["changed_since_parent"].clone()).unwrap();
    pairs.into_iter().map(|(offset, length)| ByteRange { offset, length }).collect()
}

pub fn limit_file(path: &Path) -> vhdx_rct::Limit {
    vhdx_rct::Limit::File(path.to_owned())
}
