//! VHD Sets and their catalogs.

use super::support::*;
use crate::common::faulty::{Call, Fault, Faulty};
use crate::common::memory::{Changing, Restless};
use vhdx_rct::{SnapshotCatalog, SnapshotId};
use vhdx_rct_fixtures::rct::{Checksum, HeaderPlan};
use vhdx_rct_fixtures::vhds::{HEADERS, NAME, VhdsBuilder};

fn valid_set() -> Vec<u8> {
    VhdsBuilder::new("disk.avhdx").headers(HeaderPlan::Identical).bytes()
}

/// Changes a field of these headers, and restores their checksums.
fn put_header(set: &mut [u8], which: &[u64], at: usize, bytes: &[u8]) {
    for &offset in which {
        let header = &mut set[offset as usize..][..0x1000];
        put(header, at, bytes);
        Checksum::At0x14Zeroed.store(header);
    }
}

/// The disk [`single`], and a set of it with this file.
fn set_of(file: Arc<dyn Source>) -> MemoryStorage {
    let mut files = MemoryStorage::new().with(DISK, Image::new(&single()).bytes);
    files.insert(SET, file);
    files
}

fn ask_set(file: impl Source + 'static) -> Answer {
    ask(set_of(Arc::new(file)), SET, Baseline::Allocated)
}

#[test]
fn rejects_invalid_headers_and_names() {
    type Damage = fn(&mut Vec<u8>);
    let cases: &[(&str, Damage, Code, &str)] = &[
        ("version", |s| put_both(s, 0x10, &[2, 0]), UNKNOWN_VERSION, "version 1"),
        ("no copy", |s| HEADERS.iter().for_each(|at| s[*at as usize] = 0), CORRUPT, "found none"),
        ("copies", |s| put_header(s, &HEADERS[..1], 0x18, &[9]), CORRUPT, "same sequence number"),
        ("no name", |s| put_both(s, 0x20, &[0; 4]), CORRUPT, "found 0"),
        ("half a unit", |s| put_both(s, 0x20, &[19, 0, 0, 0]), CORRUPT, "found 19"),
        ("a long name", |s| put_both(s, 0x20, &[0xFE, 3]), CORRUPT, "found 1022"),
        ("not UTF-16", |s| put(s, NAME as usize, [0x00, 0xD8, 0x41, 0x00]), CORRUPT, "UTF-16"),
        ("a path", |s| put(s, NAME as usize, [b'\\', 0]), CORRUPT, "to be a file name"),
    ];
    for &(name, damage, code, says) in cases {
        let mut set = valid_set();
        damage(&mut set);
        must_refuse_case(name, ask_set(SliceSource(set)), code, THE_SET, says);
    }
    assert_eq!(ask_set(SliceSource(valid_set())).unwrap().ranges, single_allocated());
}

fn put_both(set: &mut [u8], at: usize, bytes: &[u8]) {
    put_header(set, &HEADERS, at, bytes);
}

#[test]
fn detects_a_set_that_changes_during_a_query() {
    let mut later = valid_set();
    put_both(&mut later, 8, &[77]);
    let mut refused = 0;
    Changing::after_each_call([valid_set(), later], |calls, file| {
        let disk = open(set_of(file), SET);
        match disk.and_then(|disk| disk.changes(Baseline::Allocated).collect()) {
            Ok(answer) => assert_eq!(answer.ranges, single_allocated(), "after {calls} calls"),
            Err(error) if error.return_value().code() == IN_USE.0 => refused += 1,
            // One header of each.
            Err(error) => assert_eq!(error.return_value().code(), CORRUPT.0, "{calls}: {error}"),
        }
    });
    assert!(refused > 0);
}

#[test]
fn rejects_a_set_whose_version_differs_at_the_end() {
    let error = ask_set(Restless::new(SliceSource(valid_set()))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
    must_refuse(Err(error), IN_USE, THE_SET, "changed while it was read");
}

#[test]
fn rejects_a_set_in_place_of_a_disk() {
    let sets = MemoryStorage::new().with(SET, valid_set()).with(DISK, valid_set());
    let answer = ask(sets, SET, Baseline::Allocated);
    must_refuse(answer, UNKNOWN_FORMAT, THE_DISK, "VHD Set");
    let (mut parent, child) = pair();
    parent.bytes = valid_set();
    let answer = ask(files(&parent, &child), DISK, Baseline::Allocated);
    must_refuse(answer, (UNKNOWN_FORMAT.0, BAD_PARENT.1), THE_PARENT, "VHD Set");
}

#[test]
fn rejects_a_set_without_its_active_file() {
    let files = MemoryStorage::new().with(SET, valid_set());
    must_refuse(ask(files, SET, Baseline::Allocated), PARENT_NOT_FOUND, THE_SET, "disk.avhdx");
}

const STALE: Code = (32775, None);
const ID: &str = "00000000-0000-0000-0000-000000000001";

/// A set of [`pair`], beside another disk, with a catalog that lists a snapshot with these members.
fn listed(members: &str) -> MemoryStorage {
    let (parent, child) = pair();
    let text = format!(r#"[{{"SnapshotId":"{ID}"{members}}}]"#);
    let files = files(&parent, &child).with("/disks/other.vhdx", Image::new(&single()).bytes);
    files.with(SET, valid_set()).with(CATALOG, text.into_bytes())
}

/// Returns the changes since that snapshot.
fn since_listed(members: &str) -> Answer {
    ask(listed(members), SET, listed_id().into())
}

fn listed_id() -> SnapshotId {
    ID.parse().unwrap()
}

#[test]
fn rejects_snapshots_that_do_not_match_the_files() {
    let base = r#","SnapshotPath":"C:\\base.vhdx""#;
    assert_eq!(since_listed(base).unwrap().ranges, child_changes());
    let rct =
        r#","ResilientChangeTrackingId":"rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:00000001""#;
    let gone = r#","SnapshotPath":"gone.vhdx""#;
    let second = format!(r#"{base}}},{{"SnapshotId":"{{{}"{gone}"#, &ID.replace("01", "02}"));
    let other_parent = format!(r#"{base},"ParentPathsList":"C:\\other.vhdx""#);
    let other_id = format!(r#","SnapshotPath":"other.vhdx"{rct}"#);
    let gone_parent = format!(r#"{rct},"ParentPathsList":"gone.vhdx""#);
    let up = r#","SnapshotPath":"..""#;
    let cases = [
        (gone, PARENT_NOT_FOUND, THE_SET, "gone.vhdx"),
        (up, PARENT_NOT_FOUND, THE_SET, "baseline"),
        (&second, STALE, THE_CATALOG, "gone.vhdx & write it again"),
        (&other_parent, STALE, THE_CATALOG, "other.vhdx & found none"),
        (&format!("{base}{rct}"), STALE, THE_CATALOG, "base.vhdx & no table & rctX:"),
        (&other_id, INVALID_PARAMETER, THE_SET, "unrelated & other.vhdx"),
        ("", INVALID_PARAMETER, THE_SET, "unrelated & no RCT id"),
        (rct, TRACKING_OFF, THE_DISK, "tracking"),
        (&gone_parent, STALE, THE_CATALOG, "gone.vhdx"),
    ];
    for (members, code, about, says) in cases {
        must_refuse_case(members, since_listed(members), code, about, says);
        // Other questions need no snapshot.
        assert!(ask(listed(members), SET, Baseline::Parent).is_ok(), "{members}");
    }
    let reference_only = options(Arc::new(listed(rct))).target(listed_id()).open(SET).unwrap_err();
    must_refuse(Err(reference_only), PARENT_NOT_FOUND, THE_SET, "reference-only");
    let unknown = ask(listed(base), SET, SnapshotId(Uuid::from_u128(9)).into());
    let says = "no catalog lists it & Get-VHDSnapshot";
    must_refuse(unknown, INVALID_PARAMETER, THE_SET, says);
}

/// Names that differ by letter case mean one file: a long list of them costs one search.
#[test]
fn searches_once_for_a_file_that_a_catalog_names_in_many_ways() {
    let name = |i: u32| -> String {
        let upper = |at: usize, c: char| if i >> at & 1 == 0 { c } else { c.to_ascii_uppercase() };
        "base.vhdx".chars().enumerate().map(|(at, c)| upper(at, c)).collect()
    };
    let parents: Vec<String> = (0..512).map(|i| format!("\"{}\"", name(i))).collect();
    let id = Uuid::from_u128(2);
    let members = format!(
        r#","SnapshotPath":"BASE.vhdx"}},{{"SnapshotId":"{id}","ParentPathsList":[{}]"#,
        parents.join(",")
    );
    let lists = Fault::none(|call, _| call == Call::List);
    let files = Faulty::new(Arc::new(listed(&members)), lists);
    let disk = open(files.clone(), SET).unwrap();
    assert_eq!(disk.changes(listed_id()).collect().unwrap().ranges, child_changes());
    assert!((1..10).contains(&files.calls()), "{} listings of a directory", files.calls());
}

#[test]
fn rejects_catalog_members_of_the_wrong_type() {
    for (member, says) in [
        (
            r#""SnapshotPath":7"#,
            "expected SnapshotPath in the snapshot catalog to be a text, found 7",
        ),
        (r#""ResilientChangeTrackingId":[]"#, "to be a text, found []"),
        (r#""ParentPathsList":7"#, "to be a list of texts, found 7"),
        (r#""ParentPathsList":{"a":"b"}"#, "to be a list of texts"),
    ] {
        let text = format!(r#"{{"SnapshotId":"{ID}",{member}}}"#);
        let error = SnapshotCatalog::from_json(text.as_bytes()).unwrap_err();
        must_refuse_case(member, Err(error), CORRUPT, (Subject::Catalog, ""), says);
        let files = set_of(Arc::new(SliceSource(valid_set()))).with(CATALOG, text.into_bytes());
        let disk = open(files, SET).unwrap();
        must_refuse_case(member, disk.changes(listed_id()).collect(), CORRUPT, THE_CATALOG, says);
        // Only questions about snapshots need the catalog.
        let answer = disk.changes(Baseline::Allocated).collect().unwrap();
        assert_eq!(answer.ranges, single_allocated(), "{member}");
        let [warning] = &answer.warnings[..] else { panic!("{member}: {:?}", answer.warnings) };
        let right = warning.path == Path::new(CATALOG) && warning.message.contains(says);
        assert!(right, "{member}: {warning:?}");
    }
}
