//! Chains whose files do not belong together, are missing, or cannot be opened, and chains
//! without an end.

use super::support::*;
use crate::common::deep::Deep;
use crate::common::faulty::{Call, Fault, Faulty, Reaction};
use crate::malformed_input::bounds::{MEMORY, Question};
use std::io::ErrorKind;
use vhdx_rct::MAX_CHAIN_FILES;
use vhdx_rct::source::LocalStorage;

fn ask_allocated(storage: impl Storage + 'static) -> Answer {
    ask(storage, DISK, Baseline::Allocated)
}

#[test]
fn rejects_a_parent_that_was_written_to() {
    let (original, child) = pair();
    let changed = Image::new(&parent().data_write_guid(Uuid::from_u128(0xCAFE)));
    let (expected, found) = (original.at.data_write_guid, changed.at.data_write_guid);
    let says = format!("base.vhdx & {expected} & {found}");
    must_refuse(ask_pair(&changed, child), PARENT_MISMATCH, THE_DISK, &says);
}

/// Linkage is the DataWriteGuid alone.
#[test]
fn accepts_a_parent_with_another_disk_id() {
    let (mut parent, child) = pair();
    parent.item(ids::VIRTUAL_DISK_ID, 0, Uuid::from_u128(0xBAD).to_bytes_le());
    let answer = ask_pair(&parent, child).unwrap();
    assert_eq!(answer.ranges, child_changes());
    assert!(answer.warnings[0].message.contains(&Uuid::from_u128(0xBAD).to_string()));
}

/// A zero `parent_linkage2` is not the GUID zero, but absent.
#[test]
fn rejects_a_parent_without_a_guid() {
    let parent = Image::new(&parent().data_write_guid(Uuid::nil()));
    let locator = ParentLocator::new(Uuid::max()).linkage2(Uuid::nil()).relative(r".\base.vhdx");
    let child = Image::new(&child().parent(locator));
    must_refuse(ask_pair(&parent, child), PARENT_MISMATCH, THE_DISK, "base.vhdx");
}

#[test]
fn rejects_a_missing_parent_and_grandparent() {
    const MIDDLE: &str = "/disks/middle.avhdx";
    let (_, middle) = pair();
    let alone = MemoryStorage::new().with(DISK, middle.bytes.clone());
    must_refuse(ask_allocated(alone), PARENT_NOT_FOUND, THE_DISK, "base.vhdx");
    let locator = ParentLocator::new(middle.at.data_write_guid).relative("middle.avhdx");
    let child = Image::new(&child().parent(locator));
    let files = MemoryStorage::new().with(DISK, child.bytes).with(MIDDLE, middle.bytes);
    let about = (Subject::Parent, MIDDLE);
    must_refuse(ask_allocated(files), PARENT_NOT_FOUND, about, "base.vhdx");
}

type Hits = fn(Call, &Path) -> bool;

/// Denies the access to [`pair`] in these calls.
fn denied(hits: Hits) -> Faulty {
    let (parent, child) = pair();
    let reaction = Reaction::Fail(ErrorKind::PermissionDenied);
    Faulty::new(Arc::new(files(&parent, &child)), Fault::from(0, reaction, hits))
}

#[test]
fn reports_denied_access_to_the_parent() {
    let ways: [(&str, Hits); 4] = [
        ("open", |call, path| call == Call::Open && path == Path::new(BASE)),
        ("size", |call, path| call == Call::Size && path == Path::new(BASE)),
        ("read", |call, path| call == Call::Read && path == Path::new(BASE)),
        ("canonicalize", |call, path| call == Call::Canonicalize && path.ends_with("base.vhdx")),
    ];
    for (name, hits) in ways {
        let storage = denied(hits);
        let refuse =
            |answer| must_refuse_case(name, answer, PARENT_ACCESS_DENIED, THE_PARENT, "injected");
        let error = open(storage.clone(), DISK).unwrap().missing_parent().cloned().unwrap();
        assert_eq!(refuse(Err(error)).io_kind(), Some(ErrorKind::PermissionDenied), "{name}");
        // The disk's own content does not depend on the parent.
        let own = ask(storage.clone(), DISK, Baseline::Parent).unwrap();
        assert_eq!(own.ranges, child_changes(), "{name}");
        refuse(ask_allocated(storage));
    }
}

#[test]
fn reports_denied_access_to_the_disk() {
    let ways: [(&str, Hits); 4] = [
        ("canonicalize", |call, _| call == Call::Canonicalize),
        ("open", |call, _| call == Call::Open),
        ("size", |call, _| call == Call::Size),
        ("read", |call, _| call == Call::Read),
    ];
    for (name, hits) in ways {
        must_refuse_case(name, ask_allocated(denied(hits)), ACCESS_DENIED, THE_DISK, "injected");
    }
}

#[cfg(unix)]
#[test]
fn reports_access_denied_by_the_operating_system() {
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
        let name = "reports_access_denied_by_the_operating_system";
        crate::common::skip(&format!("{name}: this user may read everything"));
        return;
    }
    let ask = |path: &Path| ask(LocalStorage::new(), path, Baseline::Allocated);
    let name = base.to_str().unwrap();
    must_refuse(ask(&disk), PARENT_ACCESS_DENIED, (Subject::Parent, name), "");
    must_refuse(ask(&base), ACCESS_DENIED, (Subject::Disk, name), "");
}

#[test]
fn rejects_unreadable_parents() {
    const UNSUPPORTED: Code = (32770, BAD_PARENT.1);
    const PARENT_IN_USE: Code = (32774, BAD_PARENT.1);
    let cases: &[Case] = &[
        ("no headers", |i| i.headers(0, "daeh"), BAD_PARENT, "header"),
        ("cut short", |i| i.bytes.truncate(1 << 20), BAD_PARENT, "0x100000"),
        ("no metadata", |i| i.put(i.at.metadata_offset, [0; 8]), BAD_PARENT, "metadata"),
        ("a dirty log that is empty", |i| i.headers(48, [1; 16]), BAD_PARENT, "log"),
        ("another format", |i| i.bytes = b"plain text".to_vec(), UNSUPPORTED, "plain te"),
        ("VHD", |i| i.put(0, "conectix"), UNSUPPORTED, "VHD"),
        ("a newer version", |i| i.headers(66, [2, 0]), UNSUPPORTED, "version & 2"),
        ("incomplete", make_incomplete, PARENT_IN_USE, "creation"),
    ];
    let (parent, child) = pair();
    refuse_each(THE_PARENT, &parent, cases, |parent| {
        let own = ask(files(&parent, &child), DISK, Baseline::Parent);
        assert_eq!(own.unwrap().ranges, child_changes(), "the parent is not needed");
        ask_allocated(files(&parent, &child))
    });
}

/// Replaces the physical sector size by the item that marks an incomplete file.
fn make_incomplete(image: &mut Image) {
    image.item_entry(ids::PHYSICAL_SECTOR_SIZE, 0, ids::INCOMPLETE_FILE.to_bytes_le());
}

/// Asks about a chain in bounded memory.
fn ask_deep(files: u64, last_names: Option<u64>, since: Baseline) -> (Answer, Arc<Deep>) {
    let deep = Arc::new(Deep::new(files, last_names));
    let question = Question::new(deep.path(0), since);
    let question = question.with(|options| options.storage(deep.clone()));
    (question.bounded(&format!("{files} files"), MEMORY), deep)
}

fn file(file: u64) -> Baseline {
    Baseline::File(format!("/deep/{file:05}.avhdx").into())
}

#[test]
fn rejects_cycles() {
    for (files, last_names) in [(1, 0), (2, 0), (2, 1), (3, 0), (50, 0), (50, 1), (50, 2)] {
        let name = format!("{files} files, the last one the child of {last_names}");
        let (answer, deep) = ask_deep(files, Some(last_names), Baseline::Allocated);
        let path = deep.path(last_names).to_str().unwrap().to_owned();
        must_refuse_case(&name, answer, CYCLE, (Subject::Parent, &path), "cycle");
        assert_eq!(deep.opened(), files, "{name}");
    }
    let (answer, deep) = ask_deep(3, Some(0), file(99999));
    let path = deep.path(0).to_str().unwrap().to_owned();
    must_refuse_case("no such file", answer, CYCLE, (Subject::Parent, &path), "cycle");
    assert_eq!(ask_deep(3, Some(0), file(2)).0.unwrap().ranges.len(), 1);
}

#[test]
fn rejects_chains_above_the_maximum_length() {
    const MOST: u64 = MAX_CHAIN_FILES as u64;
    let longest = Arc::new(Deep::new(MOST, None));
    let disk = options(longest.clone()).open(longest.path(0)).unwrap();
    let answer = disk.changes(Baseline::Allocated).collect();
    assert_eq!(answer.unwrap().ranges, changes(&[1 << 20..2 << 20]));
    let all = Baseline::Allocated;
    let cases = [
        ("one more", MOST + 1, None, all.clone()),
        ("far more", 10_000, None, all.clone()),
        ("far more, to the end", 10_000, None, file(9999)),
        ("a long cycle", 1000, Some(0), all),
    ];
    for (name, files, last_names, since) in cases {
        let (answer, deep) = ask_deep(files, last_names, since);
        let last = deep.path(MOST - 1).to_str().unwrap().to_owned();
        must_refuse_case(name, answer, CORRUPT, (Subject::Parent, &last), &MOST.to_string());
        assert_eq!(deep.opened(), MOST, "{name}");
    }
    assert_eq!(ask_deep(10_000, None, file(100)).0.unwrap().ranges.len(), 1);
}

#[test]
fn rejects_a_baseline_outside_the_chain() {
    let (parent, child) = pair();
    let files = files(&parent, &child).with("/disks/other.vhdx", parent.bytes);
    for path in ["/disks/other.vhdx", "/disks/gone.vhdx"] {
        let answer = ask(files.clone(), DISK, Baseline::File(path.into()));
        must_refuse_case(path, answer, INVALID_PARAMETER, REQUEST, &format!("{path} & {DISK}"));
    }
}
