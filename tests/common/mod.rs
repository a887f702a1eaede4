//! What the integration tests share: the real images, unpacked once.
#![allow(dead_code)] // each test binary uses its part

pub mod codes;
pub mod deep;
pub mod disks;
pub mod faulty;
pub mod image;
pub mod injected;
pub mod memory;

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use vhdx_rct::{ByteRange, VirtualDisk};

/// The folder of real disk images and its index; None, said aloud, where there is none here.
pub struct RealImages {
    folder: tempfile::TempDir,
    pub index: BTreeMap<String, serde_json::Value>,
}

impl RealImages {
    /// Unpacks those images whose name the test wants.
    pub fn unpack(test: &str, wanted: impl Fn(&str) -> bool) -> Option<Self> {
        let Some(source) = std::env::var_os("VHDX_REAL_IMAGES").map(PathBuf::from) else {
            skip(&format!("{test}: VHDX_REAL_IMAGES names no folder of real images"));
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let index = fs::read(source.join("index.json")).expect("index.json in VHDX_REAL_IMAGES");
        let mut index: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(&index).unwrap();
        index.retain(|name, _| wanted(name));
        assert!(!index.is_empty(), "{test} wants images that are not in the index");
        for name in index.keys() {
            let packed = fs::File::open(source.join(format!("{name}.gz"))).unwrap();
            let mut unpacked = fs::File::create(folder.path().join(name)).unwrap();
            io::copy(&mut flate2::read::GzDecoder::new(packed), &mut unpacked).unwrap();
        }
        Some(RealImages { folder, index })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The seeds of a random test: `few` of them in a plain `cargo test`, `all` of them where the
/// environment asks for that (`VHDX_RCT_SEEDS=all`), and as many as it says where it gives a number.
pub fn seeds(few: u64, all: u64) -> Range<u64> {
    match std::env::var("VHDX_RCT_SEEDS") {
        Err(_) => 0..few,
        Ok(text) if text == "all" => 0..all,
        Ok(text) => 0..text.parse().expect("VHDX_RCT_SEEDS is \"all\" or a number"),
    }
}

/// Says that a test was skipped, where it is seen: what a passing test prints is not.
#[allow(clippy::explicit_write)] // the test harness captures what eprintln writes
pub fn skip(what: &str) {
    writeln!(io::stderr(), "SKIPPED {what}").unwrap();
}

/// The SHA-256 of a disk's whole content, in hexadecimal.
pub fn content_sha256(disk: &VirtualDisk) -> String {
    sha256(&mut disk.reader())
}

/// The same of a file.
pub fn file_sha256(path: &Path) -> String {
    sha256(&mut fs::File::open(path).unwrap())
}

fn sha256(content: &mut impl io::Read) -> String {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 8 << 20];
    loop {
        match content.read(&mut buffer).unwrap() {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
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
