//! VHD Sets and their catalogs.

use super::support::*;
use crate::common::image::Image;
use crate::common::memory::{MemoryStorage, Restless, WithFile};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vhdx_rct::source::{SliceSource, Source, Storage};
use vhdx_rct::{Baseline, ErrorKind, SnapshotCatalog, SnapshotId, Subject};
use vhdx_rct_fixtures::rct::{Checksum, HeaderPlan};
use vhdx_rct_fixtures::vhds::{HEADERS, NAME, VhdsBuilder};
use vhdx_rct_fixtures::vhdx::put;

fn right() -> Vec<u8> {
    VhdsBuilder::new("disk.avhdx").headers(HeaderPlan::Identical).bytes()
}

/// Changes a field of these headers, and restores their checksums.
fn headers(set: &mut [u8], which: &[u64], at: usize, bytes: &[u8]) {
    for &offset in which {
        let header = &mut set[offset as usize..][..0x1000];
        put(header, at, bytes);
        Checksum::At0x14Zeroed.store(header);
    }
}

fn ask_set(set: impl Source + 'static) -> Answer {
    let mut files = MemoryStorage::new().with(DISK, Image::new(&single()).bytes);
    files.insert(SET, Arc::new(set));
    ask(files, SET, Baseline::Allocated)
}

#[test]
fn headers_and_names_of_a_set() {
    type Damage = fn(&mut Vec<u8>);
    let cases: [(&str, Damage, Code, &str); 8] = [
        ("version", |s| headers(s, &HEADERS, 0x10, &[2, 0]), UNKNOWN_VERSION, "version 1"),
        ("no copy", |s| HEADERS.iter().for_each(|at| s[*at as usize] = 0), CORRUPT, "found none"),
        ("two copies", |s| headers(s, &HEADERS[..1], 0x18, &[9]), CORRUPT, "same sequence number"),
        ("no name", |s| headers(s, &HEADERS, 0x20, &[0; 4]), CORRUPT, "found 0"),
        ("half a unit", |s| headers(s, &HEADERS, 0x20, &[19, 0, 0, 0]), CORRUPT, "found 19"),
        ("a long name", |s| headers(s, &HEADERS, 0x20, &[0xFE, 3]), CORRUPT, "found 1022"),
        ("no text", |s| put(s, NAME as usize, [0x00, 0xD8, 0x41, 0x00]), CORRUPT, "UTF-16"),
        ("a path", |s| put(s, NAME as usize, [b'\\', 0]), CORRUPT, "to be a file name"),
    ];
    for (name, damage, code, says) in cases {
        let mut set = right();
        damage(&mut set);
        must_refuse_case(name, ask_set(SliceSource(set)), code, THE_SET, &[says]);
    }
    assert_eq!(ask_set(SliceSource(right())).unwrap().ranges, single_allocated());
}

/// From some read on, the set has another active file.
struct Changing(AtomicU64, [Vec<u8>; 2]);

impl Source for Changing {
    fn size(&self) -> io::Result<u64> {
        Ok(self.1[0].len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        SliceSource(&*self.1[usize::from(left.is_err())]).read_exact_at(buffer, offset)
    }
}

#[test]
fn a_set_that_changes_during_a_query() {
    let mut later = right();
    headers(&mut later, &HEADERS, 8, &[77]);
    let mut refused = 0;
    for reads in 0..20 {
        match ask_set(Changing(AtomicU64::new(reads), [right(), later.clone()])) {
            Ok(answer) => assert_eq!(answer.ranges, single_allocated()),
            Err(error) if error.return_value().code() == IN_USE.0 => refused += 1,
            // One header of each.
            Err(error) => assert_eq!(error.return_value().code(), CORRUPT.0, "{error}"),
        }
    }
    assert!(refused > 0);
}

#[test]
fn refuses_a_set_whose_version_differs_at_the_end() {
    let error = ask_set(Restless::new(SliceSource(right()))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
    must_refuse(Err(error), IN_USE, THE_SET, &["changed while it was read"]);
}

#[test]
fn rejects_a_set_in_place_of_a_disk() {
    let files = MemoryStorage::new().with(SET, right()).with(DISK, right());
    let answer = ask(files, SET, Baseline::Allocated);
    must_refuse(answer, UNKNOWN_FORMAT, THE_DISK, &["VHD Set"]);
    let (mut parent, child) = pair();
    parent.bytes = right();
    let answer = ask(super::support::files(&parent, &child), DISK, Baseline::Allocated);
    must_refuse(answer, (UNKNOWN_FORMAT.0, BAD_PARENT.1), THE_PARENT, &["VHD Set"]);
}

#[test]
fn a_set_without_its_active_file() {
    let files = MemoryStorage::new().with(SET, right());
    must_refuse(ask(files, SET, Baseline::Allocated), PARENT_NOT_FOUND, THE_SET, &["disk.avhdx"]);
}

const STALE: Code = (32775, None);
const ID: &str = "00000000-0000-0000-0000-000000000001";

/// A set of [`pair`], beside another disk, with a catalog that lists a snapshot with these members.
fn listed(members: &str) -> MemoryStorage {
    let (parent, child) = pair();
    let text = format!(r#"[{{"SnapshotId":"{ID}"{members}}}]"#);
    let files = files(&parent, &child).with("/disks/other.vhdx", Image::new(&single()).bytes);
    files.with(SET, right()).with(CATALOG, text.into_bytes())
}

/// Returns the changes since that snapshot.
fn since_listed(members: &str) -> Answer {
    ask(listed(members), SET, listed_id().into())
}

fn listed_id() -> SnapshotId {
    ID.parse().unwrap()
}

#[test]
fn snapshots_that_do_not_fit_the_files() {
    let base = r#","SnapshotPath":"C:\\base.vhdx""#;
    assert_eq!(since_listed(base).unwrap().ranges, child_changes());
    let rct =
        r#","ResilientChangeTrackingId":"rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:00000001""#;
    let cases: [(String, Code, About, &[&str]); 9] = [
        (r#","SnapshotPath":"gone.vhdx""#.into(), PARENT_NOT_FOUND, THE_SET, &["gone.vhdx"]),
        (r#","SnapshotPath":"..""#.into(), PARENT_NOT_FOUND, THE_SET, &["baseline"]),
        (
            format!(
                r#"{base}}},{{"SnapshotId":"{{{}","SnapshotPath":"gone.vhdx""#,
                &ID.replace("01", "02}")
            ),
            STALE,
            THE_CATALOG,
            &["gone.vhdx", "anew"],
        ),
        (
            format!(r#"{base},"ParentPathsList":"C:\\other.vhdx""#),
            STALE,
            THE_CATALOG,
            &["other.vhdx", "found none"],
        ),
        (format!("{base}{rct}"), STALE, THE_CATALOG, &["base.vhdx", "no table", "rctX:"]),
        (
            format!(r#","SnapshotPath":"other.vhdx"{rct}"#),
            INVALID_PARAMETER,
            THE_SET,
            &["unrelated", "other.vhdx"],
        ),
        (String::new(), INVALID_PARAMETER, THE_SET, &["unrelated", "no RCT id"]),
        (rct.into(), TRACKING_OFF, THE_DISK, &["tracking"]),
        (format!(r#"{rct},"ParentPathsList":"gone.vhdx""#), STALE, THE_CATALOG, &["gone.vhdx"]),
    ];
    for (members, code, about, says) in cases {
        must_refuse_case(&members, since_listed(&members), code, about, says);
        // Other questions need no snapshot.
        assert!(ask(listed(&members), SET, Baseline::Parent).is_ok(), "{members}");
    }
    let reference_only = options(Arc::new(listed(rct))).target(listed_id()).open(SET).unwrap_err();
    must_refuse(Err(reference_only), PARENT_NOT_FOUND, THE_SET, &["reference-only"]);
    let unknown = ask(listed(base), SET, SnapshotId(uuid::Uuid::from_u128(9)).into());
    let says = ["no catalog lists it", "Get-VHDSnapshot"];
    must_refuse(unknown, INVALID_PARAMETER, THE_SET, &says);
}

/// Counts how often a directory is listed.
struct Counting(MemoryStorage, AtomicU64);

impl Storage for Counting {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        self.0.open(path)
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.0.canonicalize(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.list(directory)
    }
}

/// Names that differ by letter case mean one file: a long list of them costs one search.
#[test]
fn searches_once_for_a_file_that_a_catalog_names_in_many_ways() {
    let name = |i: u32| -> String {
        let other = |(at, c): (usize, char)| match i >> at & 1 {
            0 => c,
            _ => c.to_ascii_uppercase(),
        };
        "base.vhdx".chars().enumerate().map(other).collect()
    };
    let parents: Vec<String> = (0..512).map(|i| format!("\"{}\"", name(i))).collect();
    let id = uuid::Uuid::from_u128(2);
    let members = format!(
        r#","SnapshotPath":"BASE.vhdx"}},{{"SnapshotId":"{id}","ParentPathsList":[{}]"#,
        parents.join(",")
    );
    let files = Arc::new(Counting(listed(&members), AtomicU64::new(0)));
    let disk = options(files.clone()).open(SET).unwrap();
    assert_eq!(disk.changes(listed_id()).collect().unwrap().ranges, child_changes());
    let count = files.1.load(Ordering::Relaxed);
    assert!((1..10).contains(&count), "a directory was listed {count} times");
}

#[test]
fn rejects_members_of_a_catalog_of_another_type() {
    let id = r#""SnapshotId":"00000000-0000-0000-0000-000000000001""#;
    for (member, says) in [
        (r#""SnapshotPath":7"#, "should be a text and is 7"),
        (r#""ResilientChangeTrackingId":[]"#, "should be a text and is []"),
        (r#""ParentPathsList":7"#, "no list of texts"),
        (r#""ParentPathsList":{"a":"b"}"#, "no list of texts"),
    ] {
        let text = format!("{{{id},{member}}}");
        let error = SnapshotCatalog::from_json(text.as_bytes()).unwrap_err();
        must_refuse_case(&text, Err(error), CORRUPT, (Subject::Catalog, ""), &[says]);
        let files = MemoryStorage::new().with(DISK, Image::new(&single()).bytes);
        let files = files.with(SET, right()).with(CATALOG, text.clone().into_bytes());
        let disk = open(files, SET).unwrap();
        must_refuse_case(&text, disk.changes(listed_id()).collect(), CORRUPT, THE_CATALOG, &[says]);
        // A catalog is needed for snapshots alone.
        let answer = disk.changes(Baseline::Allocated).collect().unwrap();
        assert_eq!(answer.ranges, single_allocated(), "{text}");
        let [warning] = &answer.warnings[..] else { panic!("{text}: {:?}", answer.warnings) };
        assert!(
            warning.path == Path::new(CATALOG) && warning.message.contains(says),
            "{warning:?}"
        );
    }
}
