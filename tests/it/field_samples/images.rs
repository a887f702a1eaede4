//! The packing rule on disks that Windows and others made: the same answers from the metadata
//! alone, and no byte of payload in it.

use crate::common::{RealImages, limit_file};
use std::path::Path;
use vhdx_rct::field::Sample;
use vhdx_rct::vhdx::Vhdx;
use vhdx_rct::{ByteRange, ChangeQuery, Limit, VirtualDisk};
use vhdx_rct_fixtures::sample::{SampleCase, write_manifest};

/// A sample with these files, packed by the crate's own rule.
fn pack(folder: &Path, disks: &[&Path]) -> Sample {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let leaf = Vhdx::open(disks[0]).unwrap();
    let mut case = SampleCase::new(folder, "case", &name(disks[0]), leaf.virtual_size()).unwrap();
    case.sector = leaf.metadata().logical_sector_size.into();
    for disk in disks {
        let parts = Vhdx::open(disk).unwrap().metadata_parts().unwrap();
        let parts: Vec<_> = parts.iter().map(|part| (part.offset, part.length)).collect();
        case.pack_parts(&name(disk), disk, &parts).unwrap();
    }
    write_manifest(folder, &[case]).unwrap();
    Sample::open(folder).unwrap()
}

fn ask(query: ChangeQuery, limit: Limit) -> Vec<ByteRange> {
    query.since(limit).run().unwrap().ranges
}

fn agree(disk: &Path, parent: Option<&Path>, name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let disks: Vec<&Path> = [Some(disk), parent].into_iter().flatten().collect();
    let sample = pack(folder.path(), &disks);
    let case = &sample.cases()[0];
    let packed = || ChangeQuery::new(case.disk()).storage(case.storage());
    let whole = || ChangeQuery::new(disk);
    assert_eq!(ask(packed(), Limit::Allocated), ask(whole(), Limit::Allocated), "{name}");
    if let Some(parent) = parent {
        let there = case.disk().with_file_name(parent.file_name().unwrap());
        let found = ask(packed(), limit_file(&there));
        assert_eq!(found, ask(whole(), limit_file(parent)), "{name}");
        assert!(!found.is_empty(), "{name}");
    }
    // Payload cannot be read: neither silently nor as zeros.
    let held = ask(whole(), Limit::Allocated);
    let held = held.iter().find(|range| {
        let mut bytes = vec![0; 4096.min(range.length as usize)];
        VirtualDisk::open(disk).unwrap().read_at(&mut bytes, range.offset).unwrap();
        bytes.iter().any(|&byte| byte != 0)
    });
    let held = held.unwrap_or_else(|| panic!("{name} holds nothing but zeros"));
    let mut bytes = vec![0; 512];
    let error = packed().disk().unwrap().read_at(&mut bytes, held.offset).unwrap_err();
    assert!(error.to_string().contains("was not packed"), "{name}: {error}");
}

#[test]
fn shipped_images_answer_alike_from_their_metadata() {
    let testdata = super::root().join("testdata");
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
