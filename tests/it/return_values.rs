//! Every return value of the method, each made to happen.

use crate::common::faulty::{Call, Fault, Faulty, Reaction};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vhdx_rct::{
    Baseline, ChangeQuery, Disk, Error, OpenOptions, Result, ReturnValue, VirtualDiskChanges,
    get_virtual_disk_changes,
};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::{Tracked, id_text};
use vhdx_rct_fixtures::vhdx::{Block, MB, ParentLocator, VhdxBuilder, ids, patch};

const SIZE: u64 = 8 * MB;
/// So many reads of the child at most, without those of questions.
const READS_OF_OPENING: u64 = 2;
const SNAPSHOT: &str = "{5bfde23b-ce75-4303-b54f-6c18394f105c}";

/// A directory with `base.vhdx`, its child `child.avhdx`, and a table for the child.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = VhdxBuilder::new(SIZE).seed(1).block(0, Block::Full(Fill(1)));
        let placement = base.write(&folder.path().join("base.vhdx")).unwrap();
        let locator = ParentLocator::new(placement.data_write_guid).relative(r".\base.vhdx");
        let sectors = (0..500).map(|i| 4 * i..4 * i + 1).collect();
        VhdxBuilder::new(SIZE)
            .seed(2)
            .disk_id(placement.disk_id)
            .parent(locator)
            .block(1, Block::Partial { sectors, fill: Fill(2) })
            .write(&folder.path().join("child.avhdx"))
            .unwrap();
        Tracked::new(SIZE, 1).builder().write(folder.path().join("child.avhdx.rct")).unwrap();
        Files(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Asks what the child holds over the base.
    fn question(&self, options: &OpenOptions) -> Result<ChangeQuery> {
        let disk = options.open(self.path("child.avhdx"))?;
        Ok(disk.changes(Baseline::File(self.path("base.vhdx"))))
    }

    fn query(&self) -> ChangeQuery {
        self.question(&OpenOptions::new()).unwrap()
    }

    fn changes(&self) -> Result<VirtualDiskChanges> {
        self.question(&OpenOptions::new())?.collect()
    }

    /// The same question with a fault in the files.
    fn with_fault(&self, fault: Fault) -> Result<ChangeQuery> {
        self.question(OpenOptions::new().storage(Faulty::local(fault)))
    }

    fn ask(&self, limit: &str) -> Error {
        get_virtual_disk_changes(self.path("child.avhdx"), limit, None, 0, SIZE).unwrap_err()
    }
}

fn reads_child(call: Call, path: &Path) -> bool {
    call == Call::Read && path.ends_with("child.avhdx")
}

#[track_caller]
fn gives(error: &Error, code: u32, win32: Option<u32>) {
    let found = (error.return_value().code(), error.win32_code());
    assert_eq!(found, (code, win32), "{error}");
    assert!(error.to_string().len() > 20, "an error is a sentence: {error}");
}

#[test]
fn completed_and_job_started() {
    let disk = Files::new();
    assert_eq!(disk.changes().unwrap().ranges.len(), 500);
    assert_eq!(ReturnValue::Completed.code(), 0);
    assert_eq!(ReturnValue::JobStarted.code(), 4096);
    assert_eq!(disk.query().start().join().unwrap().ranges.len(), 500);
}

#[test]
fn failed() {
    let disk = Files::new();
    // While it is opened, and while it is asked.
    for at in [1, READS_OF_OPENING] {
        let fails = Fault::from(at, Reaction::Fail(io::ErrorKind::Other), reads_child);
        let error = disk.with_fault(fails).and_then(ChangeQuery::collect).unwrap_err();
        gives(&error, 32768, None);
    }
    for header in [0x10000, 0x20000] {
        patch::patch(&disk.path("child.avhdx"), header + 100, &[1]).unwrap();
    }
    gives(&disk.changes().unwrap_err(), 32768, None);
}

#[test]
fn access_denied() {
    let disk = Files::new();
    let denied = |hits| {
        let denies = Fault::from(0, Reaction::Fail(io::ErrorKind::PermissionDenied), hits);
        disk.with_fault(denies).and_then(ChangeQuery::collect).unwrap_err()
    };
    gives(&denied(|call, path| call == Call::Open && path.ends_with("child.avhdx")), 32769, None);
    let parent = denied(|call, path| call == Call::Open && path.ends_with("base.vhdx"));
    gives(&parent, 32769, Some(0xC03A0016));
}

#[test]
fn not_supported() {
    let disk = Files::new();
    let cases: [(&str, Vec<u8>, u32); 4] = [
        ("raw.img", vec![0; 4096], 0xC03A0015),
        ("disc.iso", [vec![0; 32769], b"CD001".to_vec(), vec![0; 4096]].concat(), 0xC03A0015),
        ("dynamic.vhd", [b"conectix".to_vec(), vec![0; 1024]].concat(), 0xC03A0004),
        ("fixed.vhd", [vec![0; 4096], b"conectix".to_vec(), vec![0; 504]].concat(), 0xC03A0004),
    ];
    for (name, bytes, win32) in cases {
        fs::write(disk.path(name), bytes).unwrap();
        let error = get_virtual_disk_changes(disk.path(name), "*", None, 0, 0).unwrap_err();
        gives(&error, 32770, Some(win32));
    }
}

#[test]
fn status_unknown() {
    let disk = Files::new();
    let panics = Fault::from(READS_OF_OPENING, Reaction::Panic, reads_child);
    let job = disk.with_fault(panics).unwrap().start();
    gives(&job.join().unwrap_err(), 32771, None);
}

#[test]
fn timeout() {
    let disk = Files::new();
    gives(&disk.query().deadline(Instant::now()).collect().unwrap_err(), 32772, None);
    let late = disk.question(OpenOptions::new().deadline(Instant::now()));
    gives(&late.unwrap_err(), 32772, None);
    // Also while it reads: a read that takes long, then the deadline.
    let delay = Reaction::Delay(Duration::from_millis(300));
    let soon = || Instant::now() + Duration::from_millis(200);
    let slow = disk.with_fault(Fault::from(READS_OF_OPENING, delay, reads_child)).unwrap();
    gives(&slow.deadline(soon()).collect().unwrap_err(), 32772, None);
    let mut options = OpenOptions::new();
    options.storage(Faulty::local(Fault::from(0, delay, reads_child))).deadline(soon());
    gives(&disk.question(&options).unwrap_err(), 32772, None);
}

#[test]
fn invalid_parameter() {
    let disk = Files::new();
    let path = disk.path("child.avhdx");
    let region = |offset, length| get_virtual_disk_changes(&path, "*", None, offset, length);
    gives(&region(1, SIZE).unwrap_err(), 32773, None);
    gives(&region(u64::MAX, 2).unwrap_err(), 32773, None);
    gives(&region(SIZE + 1, 0).unwrap_err(), 32773, None);
    assert_eq!(region(SIZE, 0).unwrap().processed_byte_length, 0);
    assert_eq!(region(7, 0).unwrap().ranges, []);
    assert_eq!(region(0, SIZE).unwrap().processed_byte_length, SIZE);
    gives(&disk.query().max_ranges(0).collect().unwrap_err(), 32773, None);
    gives(&disk.ask("rctX:5bfde23b"), 32773, Some(0xC03A0029));
    gives(&disk.ask("yesterday"), 32773, Some(0xC03A0029));
    gives(&disk.ask("file:/no/such/file"), 32773, None);
    let target = get_virtual_disk_changes(&path, "*", Some(SNAPSHOT), 0, 0).unwrap_err();
    gives(&target, 32773, None);
    let target = get_virtual_disk_changes(&path, "*", Some("latest"), 0, 0).unwrap_err();
    gives(&target, 32773, Some(0xC03A0029));
}

#[test]
fn in_use() {
    let disk = Files::new();
    // A lock that somebody holds, on the disk and on its parent.
    for (name, win32) in [("child.avhdx", None), ("base.vhdx", Some(0xC03A0019))] {
        let holder = fs::OpenOptions::new().read(true).write(true).open(disk.path(name)).unwrap();
        holder.lock().unwrap();
        gives(&disk.changes().unwrap_err(), 32774, win32);
    }
    disk.changes().unwrap();
    // Creation that was never finished.
    let incomplete = VhdxBuilder::new(SIZE).extra_metadata(ids::INCOMPLETE_FILE, &[1; 8], 4);
    incomplete.write(&disk.path("incomplete.vhdx")).unwrap();
    let error =
        get_virtual_disk_changes(disk.path("incomplete.vhdx"), "*", None, 0, 0).unwrap_err();
    gives(&error, 32774, None);
}

#[test]
fn in_use_if_a_file_changes_during_the_query() {
    type Change = fn(&Files);
    let changes: [(&str, Change); 4] = [
        ("the child is opened for writing", |disk| {
            patch::patch(&disk.path("child.avhdx"), 0x10000 + 16, &[0x77; 16]).unwrap();
            patch::fix_header_crc(&disk.path("child.avhdx"), 0).unwrap();
        }),
        ("the parent's header moves on", |disk| {
            patch::patch(&disk.path("base.vhdx"), 0x10000 + 8, &999_u64.to_le_bytes()).unwrap();
            patch::fix_header_crc(&disk.path("base.vhdx"), 0).unwrap();
        }),
        ("the child grows", |disk| {
            let file = fs::OpenOptions::new().write(true).open(disk.path("child.avhdx")).unwrap();
            file.set_len(file.metadata().unwrap().len() + MB).unwrap();
        }),
        ("the child's headers are torn", |disk| {
            patch::patch(&disk.path("child.avhdx"), 0x10000 + 200, &[1]).unwrap();
            patch::patch(&disk.path("child.avhdx"), 0x20000 + 200, &[1]).unwrap();
        }),
    ];
    for (what, change) in changes {
        let disk = Files::new();
        let mut stream = disk.query().ranges().unwrap();
        assert!(stream.next().unwrap().is_ok());
        change(&disk);
        let last = stream.by_ref().last().unwrap();
        let error = last.expect_err(what);
        gives(&error, 32774, None);
        assert!(stream.next().is_none(), "{what}: nothing follows an error");
    }
    // The tracking table is watched too.
    let disk = Files::new();
    let id = Tracked::new(SIZE, 1).current_id();
    Tracked::new(SIZE, 1).builder().write(disk.path("base.vhdx.rct")).unwrap();
    let since: Baseline = id_text(id.0, id.1).parse().unwrap();
    let base = Disk::open(disk.path("base.vhdx")).unwrap();
    let mut stream = base.changes(since).ranges().unwrap();
    let mut later = Tracked::new(SIZE, 1);
    later.create_id();
    later.builder().counter(9).write(disk.path("base.vhdx.rct")).unwrap();
    gives(&stream.next().unwrap().unwrap_err(), 32774, None);
}

#[test]
fn invalid_state() {
    let disk = Files::new();
    gives(&disk.ask(&id_text(uuid::Uuid::from_u128(1), 0)), 32775, Some(0xC03A0030));
    Tracked::new(SIZE + MB, 1).builder().write(disk.path("child.avhdx.rct")).unwrap();
    gives(&disk.ask(&id_text(uuid::Uuid::from_u128(1), 0)), 32775, Some(0xC03A001C));
    fs::remove_file(disk.path("child.avhdx.rct")).unwrap();
    gives(&disk.ask(&id_text(uuid::Uuid::from_u128(1), 0)), 32775, Some(0xC03A002A));
    // The parent was written to after the child was made.
    VhdxBuilder::new(SIZE).seed(9).write(&disk.path("base.vhdx")).unwrap();
    gives(&disk.changes().unwrap_err(), 32775, Some(0xC03A000E));
}

#[test]
fn incorrect_data_type() {
    let disk = Files::new();
    gives(&disk.ask(SNAPSHOT), 32776, None);
    let id = id_text(uuid::Uuid::from_u128(1), 0);
    let error =
        get_virtual_disk_changes(disk.path("child.avhdx"), "*", Some(&id), 0, 0).unwrap_err();
    gives(&error, 32776, None);
}

#[test]
fn not_available() {
    let disk = Files::new();
    fs::remove_file(disk.path("base.vhdx")).unwrap();
    gives(&disk.ask("*"), 32777, Some(0xC03A000D));
}

#[test]
fn out_of_memory() {
    let disk = Files::new();
    let with = |bytes| disk.question(OpenOptions::new().memory_budget(bytes)).unwrap();
    gives(&with(4000).collect().unwrap_err(), 32778, None);
    // 500 ranges of 16 bytes fit into this; one by one they need none of it.
    with(500 * 16).collect().unwrap();
    assert_eq!(with(4000).ranges().unwrap().filter(Result::is_ok).count(), 500);
}

#[test]
fn file_not_found() {
    let disk = Files::new();
    let error = get_virtual_disk_changes(disk.path("no.vhdx"), "*", None, 0, 0).unwrap_err();
    gives(&error, 32779, None);
    assert_eq!(error.path(), Some(disk.path("no.vhdx").as_path()));
}

/// The public documentation's table and this file name the same codes.
#[test]
fn every_documented_value_has_a_test_here() {
    let source =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/error/return_value.rs"))
            .unwrap();
    let rows = source
        .lines()
        .filter_map(|line| line.strip_prefix("/// | ")?.split(" |").next()?.parse::<u32>().ok());
    let rows: Vec<u32> = rows.collect();
    assert_eq!(rows.len(), 14, "{rows:?}");
    let tests = include_str!("returns.rs");
    for code in rows.into_iter().skip(2) {
        assert!(tests.contains(&format!(", {code}, ")), "no test makes {code} happen");
    }
}
