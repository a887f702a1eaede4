//! The packing rule on disks that Windows and others made: the same answers from the metadata
//! alone, and no byte of payload in it.

use super::testdata;
use std::path::Path;
use vhdx_rct::{Baseline, ByteRange, Disk, OpenOptions};
use vhdx_rct_fieldkit::Sample;
use vhdx_rct_fixtures::sample::{SampleCase, write_manifest};
use vhdx_rct_fixtures::testing::RealImages;

/// A sample with these files, packed by the crate's own rule.
fn pack(directory: &Path, disks: &[&Path]) -> Sample {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let leaf = Disk::open(disks[0]).unwrap().identity();
    let mut case = SampleCase::new(directory, "case", &name(disks[0]), leaf.virtual_size).unwrap();
    case.sector = leaf.logical_sector_size.into();
    for path in disks {
        let parts = Disk::open(path).unwrap().metadata_parts(0).unwrap();
        let parts: Vec<_> = parts.iter().map(|part| (part.offset, part.length)).collect();
        case.pack_parts(&name(path), path, &parts).unwrap();
    }
    write_manifest(directory, &[case]).unwrap();
    Sample::open(directory).unwrap()
}

fn ask(disk: &Disk, since: Baseline) -> Vec<ByteRange> {
    disk.changes(since).collect().unwrap().ranges
}

fn agree(path: &Path, parent: Option<&Path>, name: &str) {
    let directory = tempfile::tempdir().unwrap();
    let disks: Vec<&Path> = [Some(path), parent].into_iter().flatten().collect();
    let sample = pack(directory.path(), &disks);
    let case = &sample.cases()[0];
    let packed = OpenOptions::new().storage(case.storage()).open(case.disk()).unwrap();
    let whole = Disk::open(path).unwrap();
    let held = ask(&whole, Baseline::Allocated);
    assert_eq!(ask(&packed, Baseline::Allocated), held, "{name}");
    if let Some(parent) = parent {
        let there = case.disk().with_file_name(parent.file_name().unwrap());
        let found = ask(&packed, Baseline::File(there));
        assert_eq!(found, ask(&whole, Baseline::File(parent.to_owned())), "{name}");
        assert!(!found.is_empty(), "{name}");
    }
    // Payload cannot be read: neither silently nor as zeros.
    let held = held.iter().find(|range| {
        let mut bytes = vec![0; 4096.min(range.length as usize)];
        whole.read_exact_at(&mut bytes, range.offset).unwrap();
        bytes.iter().any(|&byte| byte != 0)
    });
    let held = held.unwrap_or_else(|| panic!("{name} holds nothing but zeros"));
    let mut bytes = vec![0; 512];
    let error = packed.read_exact_at(&mut bytes, held.offset).unwrap_err();
    assert!(error.to_string().contains("was not packed"), "{name}: {error}");
}

#[test]
fn shipped_images_answer_alike_from_their_metadata() {
    let testdata = testdata();
    let (base, child) = (testdata.join("base.vhdx"), testdata.join("child.avhdx"));
    agree(&child, Some(&base), "child.avhdx");
    agree(&testdata.join("dirty.vhdx"), None, "dirty.vhdx");
}

#[test]
fn real_images_answer_alike_from_their_metadata() {
    let Some(images) = RealImages::unpack("packing", |name| name.ends_with(".vhdx")) else {
        return;
    };
    for (name, entry) in &images.index {
        let parent = entry.get("parent").map(|parent| images.path(parent.as_str().unwrap()));
        agree(&images.path(name), parent.as_deref(), name);
    }
}
