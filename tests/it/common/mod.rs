//! Helpers shared by the integration tests.

pub mod codes;
pub mod deep;
pub mod disks;
pub mod faulty;
pub mod image;
pub mod memory;
pub mod prelude;
pub mod tables;

use std::ops::Range;
use std::path::Path;
use vhdx_rct::{Baseline, ByteRange, Disk, Error, VirtualDiskChanges};
pub use vhdx_rct_fixtures::testing::{RealImages, seeds, skip};

/// The SHA-256 of a disk's whole content, in hexadecimal.
pub fn content_sha256(disk: &Disk) -> String {
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

pub fn baseline_file(path: &Path) -> Baseline {
    Baseline::File(path.to_owned())
}

/// Opens a disk of this machine and asks one question about all of it.
pub fn changes(path: impl AsRef<Path>, since: Baseline) -> Result<VirtualDiskChanges, Error> {
    Disk::open(path)?.changes(since).collect()
}
