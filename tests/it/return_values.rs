//! Every return value of the method.

use crate::common::disks::write_pair;
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
use vhdx_rct_fixtures::vhdx::{Block, MB, VhdxBuilder, ids, patch};

const SIZE: u64 = 8 * MB;
/// The number of reads of the child before any question.
const READS_OF_OPENING: u64 = 2;
const SNAPSHOT: &str = "{5bfde23b-ce75-4303-b54f-6c18394f105c}";

/// A directory with `base.vhdx`, its child `child.avhdx`, and the child's table.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = |seed| VhdxBuilder::new(SIZE).seed(seed).disk_id(uuid::Uuid::from_u128(7));
        let base = disk(1).block(0, Block::Full(Fill(1)));
        let sectors = (0..500).map(|i| 4 * i..4 * i + 1).collect();
        let child = disk(2).block(1, Block::Partial { sectors, fill: Fill(2) });
        write_pair(folder.path(), ("base.vhdx", base), ("child.avhdx", child));
        Tracked::new(SIZE, 1).builder().write(folder.path().join("child.avhdx.rct")).unwrap();
        Files(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Asks the child for its changes since the base.
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

    /// The error of the method for all of the child.
    fn ask(&self, limit: &str) -> Error {
        get_virtual_disk_changes(self.path("child.avhdx"), limit, None, 0, SIZE).unwrap_err()
    }
}

fn reads_child(call: Call, path: &Path) -> bool {
    call == Call::Read && path.ends_with("child.avhdx")
}

fn refusal(path: impl AsRef<Path>, limit: &str, target: Option<&str>) -> Error {
    get_virtual_disk_changes(path, limit, target, 0, 0).unwrap_err()
}

#[track_caller]
fn gives(error: &Error, code: u32, win32: Option<u32>) {
    let found = (error.return_value().code(), error.win32_code());
    assert_eq!(found, (code, win32), "{error}");
    assert!(error.to_string().len() > 20, "an error is a sentence: {error}");
}

#[test]
fn returns_completed_and_job_started() {
    let disk = Files::new();
    assert_eq!(disk.changes().unwrap().ranges.len(), 500);
    assert_eq!(ReturnValue::Completed.code(), 0);
    assert_eq!(ReturnValue::JobStarted.code(), 4096);
    assert_eq!(disk.query().start().join().unwrap().ranges.len(), 500);
}

#[test]
fn returns_failed_for_io_errors_and_invalid_headers() {
    let disk = Files::new();
    // During the opening, and during a question.
    for at in [1, READS_OF_OPENING] {
        let fails = Fault::from(at, Reaction::Fail(io::ErrorKind::Other), reads_child);
        let error = disk.with_fault(fails).and_then(ChangeQuery::collect).unwrap_err();
        gives(&error, 32768, None);
    }
    for header in [0x10000, 0x20000] {
        patch::patch(disk.path("child.avhdx"), header + 100, &[1]).unwrap();
    }
    gives(&disk.changes().unwrap_err(), 32768, None);
}

#[test]
fn returns_access_denied_for_denied_files() {
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
fn returns_not_supported_for_other_formats() {
    let disk = Files::new();
    let cases: [(&str, Vec<u8>, u32); 4] = [
        ("raw.img", vec![0; 4096], 0xC03A0015),
        ("disc.iso", [vec![0; 32769], b"CD001".to_vec(), vec![0; 4096]].concat(), 0xC03A0015),
        ("dynamic.vhd", [b"conectix".to_vec(), vec![0; 1024]].concat(), 0xC03A0004),
        ("fixed.vhd", [vec![0; 4096], b"conectix".to_vec(), vec![0; 504]].concat(), 0xC03A0004),
    ];
    for (name, bytes, win32) in cases {
        fs::write(disk.path(name), bytes).unwrap();
        gives(&refusal(disk.path(name), "*", None), 32770, Some(win32));
    }
}

#[test]
fn returns_status_unknown_if_the_worker_panics() {
    let disk = Files::new();
    let panics = Fault::from(READS_OF_OPENING, Reaction::Panic, reads_child);
    let job = disk.with_fault(panics).unwrap().start();
    gives(&job.join().unwrap_err(), 32771, None);
}

#[test]
fn returns_timeout_after_the_deadline() {
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
fn returns_invalid_parameter_for_bad_regions_limits_and_ids() {
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
    gives(&refusal(&path, "*", Some(SNAPSHOT)), 32773, None);
    gives(&refusal(&path, "*", Some("latest")), 32773, Some(0xC03A0029));
}

#[test]
fn returns_in_use_for_locked_and_incomplete_files() {
    let disk = Files::new();
    // The disk or its parent is locked.
    for (name, win32) in [("child.avhdx", None), ("base.vhdx", Some(0xC03A0019))] {
        let holder = fs::OpenOptions::new().read(true).write(true).open(disk.path(name)).unwrap();
        holder.lock().unwrap();
        gives(&disk.changes().unwrap_err(), 32774, win32);
    }
    disk.changes().unwrap();
    // The file's creation was not finished.
    let incomplete = VhdxBuilder::new(SIZE).extra_metadata(ids::INCOMPLETE_FILE, &[1; 8], 4);
    incomplete.write(&disk.path("incomplete.vhdx")).unwrap();
    gives(&refusal(disk.path("incomplete.vhdx"), "*", None), 32774, None);
}

#[test]
fn returns_in_use_if_a_file_changes_during_the_query() {
    type Change = fn(&Files);
    fn change_header(path: &Path, at: u64, bytes: &[u8]) {
        patch::patch(path, 0x10000 + at, bytes).unwrap();
        patch::fix_header_crc(path, 0).unwrap();
    }
    let changes: [(&str, Change); 4] = [
        ("the child is opened for writing", |disk| {
            change_header(&disk.path("child.avhdx"), 16, &[0x77; 16]);
        }),
        ("the parent's header has a new sequence number", |disk| {
            change_header(&disk.path("base.vhdx"), 8, &999_u64.to_le_bytes());
        }),
        ("the child grows", |disk| {
            let file = fs::OpenOptions::new().write(true).open(disk.path("child.avhdx")).unwrap();
            file.set_len(file.metadata().unwrap().len() + MB).unwrap();
        }),
        ("the child's headers are invalid", |disk| {
            for header in [0x10000, 0x20000] {
                patch::patch(disk.path("child.avhdx"), header + 200, &[1]).unwrap();
            }
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
fn returns_invalid_state_for_unusable_tables_and_wrong_parents() {
    let disk = Files::new();
    let id = id_text(uuid::Uuid::from_u128(1), 0);
    gives(&disk.ask(&id), 32775, Some(0xC03A0030));
    Tracked::new(SIZE + MB, 1).builder().write(disk.path("child.avhdx.rct")).unwrap();
    gives(&disk.ask(&id), 32775, Some(0xC03A001C));
    fs::remove_file(disk.path("child.avhdx.rct")).unwrap();
    gives(&disk.ask(&id), 32775, Some(0xC03A002A));
    // The parent was written to after the child was made.
    VhdxBuilder::new(SIZE).seed(9).write(&disk.path("base.vhdx")).unwrap();
    gives(&disk.changes().unwrap_err(), 32775, Some(0xC03A000E));
}

#[test]
fn returns_incorrect_data_type_for_ids_of_another_kind() {
    let disk = Files::new();
    gives(&disk.ask(SNAPSHOT), 32776, None);
    let id = id_text(uuid::Uuid::from_u128(1), 0);
    gives(&refusal(disk.path("child.avhdx"), "*", Some(&id)), 32776, None);
}

#[test]
fn returns_not_available_if_the_parent_is_missing() {
    let disk = Files::new();
    fs::remove_file(disk.path("base.vhdx")).unwrap();
    gives(&disk.ask("*"), 32777, Some(0xC03A000D));
}

#[test]
fn returns_out_of_memory_beyond_the_budget() {
    let disk = Files::new();
    let with = |bytes| disk.question(OpenOptions::new().memory_budget(bytes)).unwrap();
    gives(&with(4000).collect().unwrap_err(), 32778, None);
    // 500 ranges of 16 bytes fit into this; one by one they need none of it.
    with(500 * 16).collect().unwrap();
    assert_eq!(with(4000).ranges().unwrap().filter(Result::is_ok).count(), 500);
}

#[test]
fn returns_file_not_found_for_a_missing_disk() {
    let disk = Files::new();
    let error = refusal(disk.path("no.vhdx"), "*", None);
    gives(&error, 32779, None);
    assert_eq!(error.path(), Some(disk.path("no.vhdx").as_path()));
}

#[test]
fn every_documented_value_has_a_test_here() {
    let source = include_str!("../../src/error/return_value.rs");
    let rows = source
        .lines()
        .filter_map(|line| line.strip_prefix("/// | ")?.split(" |").next()?.parse::<u32>().ok());
    let rows: Vec<u32> = rows.collect();
    assert_eq!(rows.len(), 14, "{rows:?}");
    let tests = include_str!("return_values.rs");
    for code in rows.into_iter().skip(2) {
        assert!(tests.contains(&format!(", {code}, ")), "no test expects {code}");
    }
}
