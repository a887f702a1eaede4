//! Disks that Windows, QEMU and others made: content, ranges and identity as several
//! independent readers agreed.

use crate::common::{RealImages, baseline_file, changes, content_sha256, index_ranges};
use vhdx_rct::Disk;

#[test]
fn content_is_what_independent_readers_agreed_on() {
    let Some(images) = RealImages::unpack("content", |name| name.ends_with(".vhdx")) else {
        return;
    };
    for (name, entry) in &images.index {
        let disk = Disk::open(images.path(name)).unwrap();
        assert_eq!(disk.identity().virtual_size, entry["virtual_size"], "{name}");
        assert_eq!(content_sha256(&disk), entry["content_sha256"].as_str().unwrap(), "{name}");
    }
}

#[test]
fn identity_matches_the_index() {
    let Some(images) = RealImages::unpack("identity", |name| name.ends_with(".vhdx")) else {
        return;
    };
    for (name, entry) in &images.index {
        let disk = Disk::open(images.path(name)).unwrap();
        let (metadata, header) = (disk.files()[0].metadata(), disk.files()[0].header());
        assert_eq!(metadata.block_size, entry["block_size"], "{name}");
        assert_eq!(metadata.logical_sector_size, entry["logical_sector_size"], "{name}");
        assert_eq!(metadata.disk_id.to_string(), entry["disk_id"].as_str().unwrap(), "{name}");
        assert_eq!(
            header.data_write_guid.to_string(),
            entry["data_write_guid"].as_str().unwrap(),
            "{name}"
        );
        assert_eq!(disk.files().len(), 1 + usize::from(entry.get("parent").is_some()), "{name}");
    }
}

#[test]
fn children_changes_match_the_index() {
    let Some(images) =
        RealImages::unpack("changes", |name| name.contains("fat-") || name.contains("ntfs-"))
    else {
        return;
    };
    for (name, entry) in images.index.iter().filter(|(_, entry)| entry.get("parent").is_some()) {
        let parent = images.path(entry["parent"].as_str().unwrap());
        let answer = changes(images.path(name), baseline_file(&parent)).unwrap();
        assert_eq!(answer.ranges, index_ranges(entry), "{name}");
        assert_eq!(answer.processed_byte_length, answer.disk.virtual_size);
        assert_eq!(answer.disk.virtual_disk_id.to_string(), entry["disk_id"].as_str().unwrap());
    }
}

#[test]
fn images_are_read_and_never_written() {
    let Some(images) = RealImages::unpack("read-only", |name| name.contains("dirty")) else {
        return;
    };
    for name in images.index.keys() {
        let path = images.path(name);
        let before = std::fs::read(&path).unwrap();
        let mut permissions = std::fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        std::fs::set_permissions(&path, permissions).unwrap();
        let disk = Disk::open(&path).unwrap();
        assert!(
            disk.files()[0].replayed_log_entries().is_some_and(|entries| entries > 0),
            "{name}"
        );
        assert!(std::fs::read(&path).unwrap() == before, "{name} was written to");
    }
}
