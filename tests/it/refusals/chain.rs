//! Chains whose files do not belong together, are not there, or cannot be opened.

use super::support::*;
use crate::common::deep::Deep;
use crate::common::faulty::{Call, Fault, Faulty};
use crate::common::image::Image;
use crate::common::memory::Memory;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;
use vhdx_rct::source::Storage;
use vhdx_rct::{ChangeQuery, Limit, MAX_CHAIN_FILES};
use vhdx_rct_fixtures::vhdx::{ParentLocator, ids};

fn in_storage(storage: impl Storage + 'static) -> Answer {
    ChangeQuery::new(DISK).since(Limit::Allocated).storage(Arc::new(storage)).run()
}

#[test]
fn a_parent_that_was_written_to() {
    let (parent, child) = pair();
    let changed = Image::new(&super::support::parent().data_write_guid(Uuid::from_u128(0xCAFE)));
    let (expected, found) = (parent.at.data_write_guid, changed.at.data_write_guid);
    let says = ["base.vhdx", &expected.to_string(), &found.to_string()];
    must_refuse(ask_pair(&changed, child), PARENT_MISMATCH, DISK, &says);
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
    must_refuse(ask_pair(&parent, child), PARENT_MISMATCH, DISK, &["base.vhdx"]);
}

#[test]
fn a_missing_parent() {
    let (_, child) = pair();
    let alone = Memory::default().with(DISK, child.bytes);
    must_refuse(in_storage(alone), PARENT_NOT_FOUND, DISK, &["base.vhdx"]);
}

#[test]
fn a_missing_grandparent() {
    let parent = Image::new(&child_of(&Image::new(&parent()).at));
    let child = Image::new(
        &child().parent(ParentLocator::new(parent.at.data_write_guid).relative("middle.avhdx")),
    );
    let files = Memory::default().with(DISK, child.bytes).with("/disks/middle.avhdx", parent.bytes);
    must_refuse(in_storage(files), PARENT_NOT_FOUND, "/disks/middle.avhdx", &["base.vhdx"]);
}

fn pair_in_memory() -> Arc<Memory> {
    let (parent, child) = pair();
    Arc::new(Memory::default().with(BASE, parent.bytes).with(DISK, child.bytes))
}

/// The parent may be seen and not opened, opened and not read, or not even be seen.
#[test]
fn access_denied_to_the_parent() {
    let ways: [fn(Call, &Path) -> bool; 4] = [
        |call, path| call == Call::Open && path == Path::new(BASE),
        |call, path| call == Call::Length && path == Path::new(BASE),
        |call, path| call == Call::Read && path == Path::new(BASE),
        |call, path| call == Call::Canonicalize && path.ends_with("base.vhdx"),
    ];
    for (way, hits) in ways.into_iter().enumerate() {
        eprintln!("way {way}");
        let fault = Fault { kind: ErrorKind::PermissionDenied, at: 0, stays: true, hits };
        let answer = in_storage(Faulty::new(pair_in_memory(), fault));
        must_refuse(answer, PARENT_ACCESS_DENIED, if way < 3 { BASE } else { "" }, &["base.vhdx"]);
    }
}

#[test]
fn access_denied_to_the_disk() {
    for call in [Call::Canonicalize, Call::Open, Call::Length, Call::Read] {
        let hits: fn(Call, &Path) -> bool = match call {
            Call::Canonicalize => |call, _| call == Call::Canonicalize,
            Call::Open => |call, _| call == Call::Open,
            Call::Length => |call, _| call == Call::Length,
            _ => |call, _| call == Call::Read,
        };
        let fault = Fault { kind: ErrorKind::PermissionDenied, at: 0, stays: true, hits };
        must_refuse(
            in_storage(Faulty::new(pair_in_memory(), fault)),
            ACCESS_DENIED,
            DISK,
            &["injected"],
        );
    }
}

#[cfg(unix)]
#[test]
fn access_denied_by_this_machine() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (parent, child) = pair();
    // The parent is named by its canonical path.
    let place = folder.path().canonicalize().unwrap();
    let (base, disk) = (place.join("base.vhdx"), place.join("disk.avhdx"));
    parent.save(&base);
    child.save(&disk);
    std::fs::set_permissions(&base, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&base).is_ok() {
        crate::common::skip("access_denied_by_this_machine: this user may read everything");
        return;
    }
    let query = |path: &Path| ChangeQuery::new(path).since(Limit::Allocated).run();
    let name = |path: &Path| path.to_str().unwrap().to_owned();
    must_refuse(query(&disk), PARENT_ACCESS_DENIED, &name(&base), &[]);
    must_refuse(query(&base), ACCESS_DENIED, &name(&base), &[]);
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
    for case in cases {
        eprintln!("{}", case.name);
        let mut damaged = parent.clone();
        (case.damage)(&mut damaged);
        must_refuse(ask_all(damaged, &child), case.code, BASE, case.says);
    }
}

/// The physical sector size gives way to what says that the file is not finished.
fn unfinished(image: &mut Image) {
    image.item_entry(ids::PHYSICAL_SECTOR_SIZE, 0, ids::INCOMPLETE_FILE.to_bytes_le());
}

fn ask_all(parent: Image, child: &Image) -> Answer {
    in_storage(Memory::default().with(BASE, parent.bytes).with(DISK, child.bytes.clone()))
}

#[test]
fn circles() {
    for files in [1, 2, 3] {
        let deep = Arc::new(Deep::new(files, Some(0)));
        let answer =
            ChangeQuery::new(deep.path(0)).since(Limit::Allocated).storage(deep.clone()).run();
        let leaf = deep.path(0).to_str().unwrap().to_owned();
        must_refuse(answer, CYCLE, "", &[&leaf]);
    }
}

#[test]
fn as_many_files_as_may_be_and_one_more() {
    let most = MAX_CHAIN_FILES as u64;
    for (files, accepted) in [(most, true), (most + 1, false)] {
        let deep = Arc::new(Deep::new(files, None));
        let answer =
            ChangeQuery::new(deep.path(0)).since(Limit::Allocated).storage(deep.clone()).run();
        if accepted {
            assert_eq!(answer.unwrap().ranges, changes(&[1 << 20..2 << 20]));
        } else {
            must_refuse(answer, CORRUPT, "", &[&most.to_string(), "avhdx"]);
        }
    }
}

#[test]
fn a_limit_that_is_no_file_of_the_chain() {
    let (parent, child) = pair();
    let other = "/disks/other.vhdx";
    for (there, limit) in [(true, other), (false, "/disks/gone.vhdx")] {
        let mut files =
            Memory::default().with(BASE, parent.bytes.clone()).with(DISK, child.bytes.clone());
        if there {
            files = files.with(other, parent.bytes.clone());
        }
        let answer = query(files, DISK, Limit::File(limit.into())).run();
        must_refuse(answer, INVALID_PARAMETER, "", &[limit, DISK]);
    }
}
