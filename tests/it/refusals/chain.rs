//! Chains whose files do not belong together, are not there, or cannot be opened.

use super::support::*;
use crate::common::deep::Deep;
use crate::common::faulty::{Call, Fault, Faulty, Reaction};
use crate::common::image::Image;
use crate::common::memory::{MemoryStorage, WithFile};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;
use vhdx_rct::source::{LocalStorage, Storage};
use vhdx_rct::{Baseline, MAX_CHAIN_FILES, Subject};
use vhdx_rct_fixtures::vhdx::{ParentLocator, ids};

fn in_storage(storage: impl Storage + 'static) -> Answer {
    ask(storage, DISK, Baseline::Allocated)
}

#[test]
fn a_parent_that_was_written_to() {
    let (parent, child) = pair();
    let changed = Image::new(&super::support::parent().data_write_guid(Uuid::from_u128(0xCAFE)));
    let (expected, found) = (parent.at.data_write_guid, changed.at.data_write_guid);
    let says = ["base.vhdx", &expected.to_string(), &found.to_string()];
    must_refuse(ask_pair(&changed, child), PARENT_MISMATCH, THE_DISK, &says);
}

/// Linkage is the DataWriteGuid alone.
#[test]
fn a_parent_with_another_disk_id_is_accepted() {
    let (mut parent, child) = pair();
    parent.item(ids::VIRTUAL_DISK_ID, 0, Uuid::from_u128(0xBAD).to_bytes_le());
    let answer = ask_pair(&parent, child).unwrap();
    assert_eq!(answer.ranges, child_changes());
    assert!(answer.warnings[0].message.contains(&Uuid::from_u128(0xBAD).to_string()));
}

/// A zero `parent_linkage2` is none at all, not the GUID zero.
#[test]
fn a_parent_without_a_guid() {
    let parent = Image::new(&parent().data_write_guid(Uuid::nil()));
    let locator = ParentLocator::new(Uuid::max()).linkage2(Uuid::nil()).relative(r".\base.vhdx");
    let child = Image::new(&child().parent(locator));
    must_refuse(ask_pair(&parent, child), PARENT_MISMATCH, THE_DISK, &["base.vhdx"]);
}

#[test]
fn a_missing_parent() {
    let (_, child) = pair();
    let alone = MemoryStorage::new().with(DISK, child.bytes);
    must_refuse(in_storage(alone), PARENT_NOT_FOUND, THE_DISK, &["base.vhdx"]);
}

#[test]
fn a_missing_grandparent() {
    let parent = Image::new(&child_of(&Image::new(&parent()).at));
    let child = Image::new(
        &child().parent(ParentLocator::new(parent.at.data_write_guid).relative("middle.avhdx")),
    );
    let files =
        MemoryStorage::new().with(DISK, child.bytes).with("/disks/middle.avhdx", parent.bytes);
    let middle = (Subject::Parent, "/disks/middle.avhdx");
    must_refuse(in_storage(files), PARENT_NOT_FOUND, middle, &["base.vhdx"]);
}

fn pair_in_memory() -> Arc<MemoryStorage> {
    let (parent, child) = pair();
    Arc::new(files(&parent, &child))
}

/// The parent may be seen and not opened, opened and not read, or not even be seen.
#[test]
fn access_denied_to_the_parent() {
    let ways: [fn(Call, &Path) -> bool; 4] = [
        |call, path| call == Call::Open && path == Path::new(BASE),
        |call, path| call == Call::Size && path == Path::new(BASE),
        |call, path| call == Call::Read && path == Path::new(BASE),
        |call, path| call == Call::Canonicalize && path.ends_with("base.vhdx"),
    ];
    for (way, hits) in ways.into_iter().enumerate() {
        let fault = Fault {
            reaction: Reaction::Fail(ErrorKind::PermissionDenied),
            at: 0,
            stays: true,
            hits,
        };
        let storage = Faulty::new(pair_in_memory(), fault);
        let error = open(storage.clone(), DISK).unwrap().missing_parent().cloned().unwrap();
        let error = must_refuse(Err(error), PARENT_ACCESS_DENIED, THE_PARENT, &["injected"]);
        assert_eq!(error.io_kind(), Some(ErrorKind::PermissionDenied), "way {way}");
        // What the disk itself holds is known all the same.
        let own = ask(storage.clone(), DISK, Baseline::Parent).unwrap();
        assert_eq!(own.ranges, child_changes(), "way {way}");
        must_refuse(in_storage(storage), PARENT_ACCESS_DENIED, THE_PARENT, &["injected"]);
    }
}

#[test]
fn access_denied_to_the_disk() {
    for call in [Call::Canonicalize, Call::Open, Call::Size, Call::Read] {
        let hits: fn(Call, &Path) -> bool = match call {
            Call::Canonicalize => |call, _| call == Call::Canonicalize,
            Call::Open => |call, _| call == Call::Open,
            Call::Size => |call, _| call == Call::Size,
            _ => |call, _| call == Call::Read,
        };
        let fault = Fault {
            reaction: Reaction::Fail(ErrorKind::PermissionDenied),
            at: 0,
            stays: true,
            hits,
        };
        let answer = in_storage(Faulty::new(pair_in_memory(), fault));
        must_refuse(answer, ACCESS_DENIED, THE_DISK, &["injected"]);
    }
}

#[cfg(unix)]
#[test]
fn access_denied_by_this_machine() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let (parent, child) = pair();
    // The parent is named by its canonical path.
    let place = directory.path().canonicalize().unwrap();
    let (base, disk) = (place.join("base.vhdx"), place.join("disk.avhdx"));
    parent.save(&base);
    child.save(&disk);
    std::fs::set_permissions(&base, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&base).is_ok() {
        crate::common::skip("access_denied_by_this_machine: this user may read everything");
        return;
    }
    let query = |path: &Path| ask(LocalStorage::new(), path, Baseline::Allocated);
    let name = base.to_str().unwrap();
    must_refuse(query(&disk), PARENT_ACCESS_DENIED, (Subject::Parent, name), &[]);
    must_refuse(query(&base), ACCESS_DENIED, (Subject::Disk, name), &[]);
}

#[test]
fn parents_that_cannot_be_read() {
    let not_supported = (32770, BAD_PARENT.1);
    let in_use = (32774, BAD_PARENT.1);
    let cases = [
        case("no headers", |i| i.headers(0, "daeh"), BAD_PARENT, &["header"]),
        case("cut short", |i| i.bytes.truncate(1 << 20), BAD_PARENT, &["0x100000"]),
        case("no metadata", |i| i.put(i.at.metadata_offset, [0; 8]), BAD_PARENT, &["metadata"]),
        case("a full log that is empty", |i| i.headers(48, [1; 16]), BAD_PARENT, &["log"]),
        case("another format", |i| i.bytes = b"plain text".to_vec(), not_supported, &["plain te"]),
        case("VHD", |i| i.put(0, "conectix"), not_supported, &["VHD"]),
        case("a newer version", |i| i.headers(66, [2, 0]), not_supported, &["version", "2"]),
        case("not finished", unfinished, in_use, &["creation"]),
    ];
    let (parent, child) = pair();
    refuse_each_about(THE_PARENT, &parent, &cases, |parent| {
        let answer = in_storage(files(&parent, &child));
        // The question whether the disk's own file can be read does not come to the parent.
        assert_eq!(ask_own(&parent, &child).unwrap().ranges, child_changes());
        answer
    });
}

/// The physical sector size gives way to what says that the file is not finished.
fn unfinished(image: &mut Image) {
    image.item_entry(ids::PHYSICAL_SECTOR_SIZE, 0, ids::INCOMPLETE_FILE.to_bytes_le());
}

fn ask_own(parent: &Image, child: &Image) -> Answer {
    ask(files(parent, child), DISK, Baseline::Parent)
}

#[test]
fn circles() {
    for files in [1, 2, 3] {
        let deep = Arc::new(Deep::new(files, Some(0)));
        let answer = options(deep.clone()).open(deep.path(0)).unwrap().changes(Baseline::Allocated);
        let leaf = deep.path(0).to_str().unwrap().to_owned();
        must_refuse(answer.collect(), CYCLE, (Subject::Parent, &leaf), &["cycle"]);
    }
}

#[test]
fn rejects_chains_above_the_maximum_length() {
    let most = MAX_CHAIN_FILES as u64;
    for (files, accepted) in [(most, true), (most + 1, false)] {
        let deep = Arc::new(Deep::new(files, None));
        let answer = options(deep.clone()).open(deep.path(0)).unwrap().changes(Baseline::Allocated);
        if accepted {
            assert_eq!(answer.collect().unwrap().ranges, changes(&[1 << 20..2 << 20]));
        } else {
            let last = deep.path(most - 1).to_str().unwrap().to_owned();
            must_refuse(answer.collect(), CORRUPT, (Subject::Parent, &last), &[&most.to_string()]);
        }
    }
}

#[test]
fn rejects_a_baseline_outside_the_chain() {
    let (parent, child) = pair();
    let other = "/disks/other.vhdx";
    for (there, limit) in [(true, other), (false, "/disks/gone.vhdx")] {
        let mut files = files(&parent, &child);
        if there {
            files = files.with(other, parent.bytes.clone());
        }
        let answer = ask(files, DISK, Baseline::File(limit.into()));
        must_refuse(answer, INVALID_PARAMETER, REQUEST, &[limit, DISK]);
    }
}
