//! Baselines that name a file, chains with tracking tables, and the warnings of an answer.

use crate::common::codes::{self, Code, code};
use crate::common::disks::{dirty, held, write_pair};
use crate::common::{changes, ranges};
use std::convert::identity;
use std::fs::{self, File};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use uuid::Uuid;
use vhdx_rct::{Baseline, ByteRange, Disk, ErrorKind, OpenOptions, RctId, Result};
use vhdx_rct::{VirtualDiskChanges, Warning};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::{HeaderPlan, Tracked, id_text};
use vhdx_rct_fixtures::vhdx::{Block, MB, ParentLocator, VhdxBuilder};

const SIZE: u64 = 8 * MB;
const UNIT: u64 = 16 << 10;
/// The ranges that the child holds: two sectors of block 1.
const HELD: Range<u64> = MB + 1024..MB + 2048;

/// A parent, its child, and the tables beside them.
struct Pair {
    folder: TempDir,
    parent_guid: Uuid,
    child_guid: Uuid,
    parent_table: Tracked,
    child_table: Tracked,
}

impl Pair {
    /// An id was created in the parent, and one in the child; after each, something was written.
    fn new() -> Self {
        Self::with(identity, identity)
    }

    fn with(
        parent: impl Fn(VhdxBuilder) -> VhdxBuilder,
        child: impl Fn(VhdxBuilder) -> VhdxBuilder,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk_id = Uuid::from_u128(7);
        let disk = |seed| VhdxBuilder::new(SIZE).seed(seed).disk_id(disk_id);
        let parent = parent(disk(1).block(3, Block::Full(Fill(1))));
        let child = child(disk(2).block(1, held(2..4, 2)));
        let [parent_guid, child_guid] =
            write_pair(folder.path(), ("p.vhdx", parent), ("c.avhdx", child));
        let mut parent_table = Tracked::new(SIZE, 1);
        parent_table.create_id();
        parent_table.write(3 * MB..3 * MB + 1);
        let mut child_table = parent_table.child(2);
        child_table.write(HELD);
        child_table.create_id();
        let pair = Pair { folder, parent_guid, child_guid, parent_table, child_table };
        pair.parent_table.builder().write(pair.table("p.vhdx")).unwrap();
        pair.child_table.builder().write(pair.table("c.avhdx")).unwrap();
        pair
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn table(&self, disk: &str) -> PathBuf {
        self.path(&format!("{disk}.rct"))
    }

    fn open(&self) -> Disk {
        Disk::open(self.path("c.avhdx")).unwrap()
    }

    fn since(&self, baseline: impl Into<String>) -> Result<VirtualDiskChanges> {
        changes(self.path("c.avhdx"), baseline.into().parse()?)
    }

    /// The id that was created in the parent, the one in the child.
    fn parent_id(&self) -> String {
        current_id(&self.parent_table)
    }

    fn child_id(&self) -> String {
        current_id(&self.child_table)
    }
}

fn current_id(table: &Tracked) -> String {
    let (branch, number) = table.current_id();
    id_text(branch, number)
}

fn refused(result: Result<VirtualDiskChanges>) -> (Code, String) {
    let error = result.unwrap_err();
    (code(&error), error.to_string())
}

/// Asserts that there is one warning, with this text, and returns it.
#[track_caller]
fn one_warning<'a>(warnings: &'a [Warning], text: &str) -> &'a Warning {
    let [warning] = warnings else { panic!("expected one warning, found {warnings:?}") };
    assert!(warning.message.contains(text), "{warning:?}");
    warning
}

#[test]
fn accepts_files_as_baselines_by_path_guid_and_parent() {
    let pair = Pair::new();
    let expected = ranges(&[HELD]);
    let file = format!("file:{}", pair.path("p.vhdx").display());
    for baseline in [file, format!("dwg:{}", pair.parent_guid), "parent".into()] {
        assert_eq!(pair.since(&baseline).unwrap().ranges, expected, "{baseline}");
        assert_eq!(baseline.parse::<Baseline>().unwrap().to_string(), baseline);
    }
    // The child's own blocks are in the child alone.
    fs::remove_file(pair.path("p.vhdx")).unwrap();
    assert_eq!(pair.since("parent").unwrap().ranges, expected);
    let by_guid = pair.since(format!("dwg:{}", pair.parent_guid));
    assert_eq!(by_guid.unwrap_err().kind(), ErrorKind::ParentNotFound);
}

#[test]
fn resolves_a_duplicate_guid_to_the_deepest_file() {
    let folder = tempfile::tempdir().unwrap();
    let guid = Uuid::from_u128(9);
    for (seed, name, parent) in
        [(0, "a.vhdx", None), (1, "b.avhdx", Some("a.vhdx")), (2, "c.avhdx", Some("b.avhdx"))]
    {
        let mut disk = VhdxBuilder::new(SIZE).seed(seed).disk_id(guid).data_write_guid(guid);
        if let Some(parent) = parent {
            disk = disk.parent(ParentLocator::new(guid).relative(&format!(r".\{parent}")));
            disk = disk.block(seed, held(0..1, 1));
        }
        disk.write(&folder.path().join(name)).unwrap();
    }
    let answer = changes(folder.path().join("c.avhdx"), Baseline::DataWriteGuid(guid));
    assert_eq!(answer.unwrap().ranges, ranges(&[MB..MB + 512, 2 * MB..2 * MB + 512]));
}

#[test]
fn rejects_the_disk_as_its_own_baseline() {
    let pair = Pair::new();
    let own = format!("file:{}", pair.path("c.avhdx").display());
    for baseline in [own, format!("dwg:{}", pair.child_guid)] {
        let (code, message) = refused(pair.since(&baseline));
        assert_eq!(code, codes::INVALID_PARAMETER, "{message}");
        assert!(message.contains("the disk itself"), "{message}");
    }
}

#[test]
fn rejects_baselines_that_name_no_file_of_the_chain() {
    let pair = Pair::new();
    let root = changes(pair.path("p.vhdx"), Baseline::Parent);
    assert_eq!(refused(root).0, codes::INVALID_PARAMETER);
    assert_eq!(refused(pair.since("dwg:7")).0, codes::MALFORMED_ID);
    let unknown = pair.since(format!("dwg:{}", Uuid::from_u128(1)));
    assert_eq!(refused(unknown).0, codes::INVALID_PARAMETER);
}

#[test]
fn names_the_bound_outside_the_disk() {
    let pair = Pair::new();
    for (region, text) in [
        (
            (Included(SIZE + 1), Unbounded),
            "region begins at byte 8388609, but the disk ends at byte 8388608",
        ),
        (
            (Included(0), Excluded(SIZE + 1)),
            "begins at byte 0 and ends at byte 8388609, but the disk ends at byte 8388608",
        ),
        ((Included(9), Excluded(3)), "begins at byte 9, after its end at byte 3"),
    ] {
        let message = refused(pair.open().changes(Baseline::Parent).region(region).collect()).1;
        assert!(message.contains(text), "{message}");
    }
}

#[test]
fn rejects_a_parent_with_a_dirty_log_unless_allowed() {
    let pair = Pair::with(dirty, identity);
    for baseline in ["*".to_owned(), pair.parent_id(), format!("dwg:{}", pair.parent_guid)] {
        let (code, message) = refused(pair.since(&baseline));
        assert_eq!(code, codes::UNTRUSTED, "{message}");
        assert!(message.contains("merge") && message.contains("--allow-unclean"), "{message}");
    }
    assert_eq!(pair.since("parent").unwrap().ranges, ranges(&[HELD]), "needs no parent");
    let disk = OpenOptions::new().allow_unclean(true).open(pair.path("c.avhdx")).unwrap();
    disk.changes(Baseline::Allocated).collect().unwrap();
    disk.changes(pair.parent_id().parse::<RctId>().unwrap()).collect().unwrap();
}

#[test]
fn warns_of_a_parent_with_another_disk_id() {
    let pair = Pair::with(|parent| parent.disk_id(Uuid::from_u128(8)), identity);
    let warnings = pair.since("*").unwrap().warnings;
    assert!(one_warning(&warnings, "virtual disk id").path.ends_with("p.vhdx"));
    assert!(Pair::new().since("*").unwrap().warnings.is_empty());
}

/// The write to the parent after its newest id, which the child's ids cannot exclude.
const BELOW: Range<u64> = 3 * MB..3 * MB + UNIT;

/// Every sector that the child holds, and the parent's newer units.
fn by_sectors() -> Vec<ByteRange> {
    ranges(&[HELD, BELOW])
}

#[test]
fn answers_an_id_of_the_parent_by_sectors_above_it() {
    let pair = Pair::new();
    assert_eq!(pair.since(pair.parent_id()).unwrap().ranges, by_sectors());
    // A running VM's leaf: its log is in use, and its table may lag.
    let running = Pair::with(identity, dirty);
    assert_eq!(running.since(running.parent_id()).unwrap().ranges, by_sectors());
}

#[test]
fn damaged_table_fails_only_queries_that_need_it() {
    let pair = Pair::new();
    let broken = pair.child_table.builder().headers(HeaderPlan::BothBroken);
    broken.write(pair.table("c.avhdx")).unwrap();
    let answer = pair.since(pair.parent_id()).unwrap();
    assert_eq!(answer.ranges, by_sectors());
    assert!(one_warning(&answer.warnings, "").path.ends_with("c.avhdx.rct"));
    assert_eq!(pair.open().newest_id(), None);
    for baseline in ["*", "parent", &format!("dwg:{}", pair.parent_guid)] {
        assert_eq!(pair.since(baseline).unwrap().warnings.len(), 1, "{baseline}");
    }
    assert_eq!(refused(pair.since(pair.child_id())).0.0, 32775);
    assert_eq!(pair.open().known_ids().len(), 1);
}

#[test]
fn dirty_leaf_answers_its_own_ids_by_its_blocks() {
    let pair = Pair::with(identity, dirty);
    let answer = pair.since(pair.child_id()).unwrap();
    assert_eq!(answer.ranges, by_sectors());
    one_warning(&answer.warnings, "not closed cleanly");
    let clean = Pair::new();
    assert_eq!(clean.since(clean.child_id()).unwrap().ranges, ranges(&[BELOW]));
}

/// A table may lack numbers for blocks that were only freed, so these are reported whatever it
/// lists, also by a question for which the table is not checked again.
#[test]
fn reports_blocks_without_data_regardless_of_the_table() {
    let anchor = None;
    let freed = || ranges(&[BELOW, 5 * MB..6 * MB]);
    for (block, expected) in [
        (Block::Zero { anchor }, freed()),
        (Block::Unmapped { anchor }, freed()),
        (Block::Undefined { anchor }, freed()),
        (Block::NotPresent { anchor }, ranges(&[BELOW])),
    ] {
        let pair = Pair::with(identity, |child| child.block(5, block.clone()));
        let (disk, id) = (pair.open(), pair.child_id().parse::<RctId>().unwrap());
        for question in ["first", "second"] {
            let answer = disk.changes(id).collect().unwrap();
            assert_eq!(answer.ranges, expected, "{block:?}, {question} question");
            assert!(answer.warnings.is_empty(), "{:?}", answer.warnings);
        }
    }
}

#[test]
fn ignores_a_table_that_contradicts_the_blocks() {
    let pair = Pair::new();
    let id = pair.child_id();
    // The numbers of a write a unit further on, as a foreign table would have them.
    let mut shifted = pair.parent_table.child(2);
    shifted.write(HELD.start + UNIT..HELD.end + UNIT);
    shifted.create_id();
    shifted.builder().write(pair.table("c.avhdx")).unwrap();
    let answer = pair.since(&id).unwrap();
    assert_eq!(answer.ranges, by_sectors(), "everything that the child holds");
    one_warning(&answer.warnings, "never changed");
    let evidence = pair.open().check_tables().unwrap();
    assert!(evidence[0].as_ref().unwrap().contradiction.is_some());
    assert!(evidence[1].is_none(), "a root's blocks show nothing");
}

#[test]
fn table_check_counts_its_evidence() {
    let full = |child: VhdxBuilder| child.block(5, Block::Full(Fill(3)));
    let pair = Pair::with(identity, full);
    let evidence = || pair.open().check_tables().unwrap()[0].clone().unwrap();
    assert!(evidence().contradiction.is_some(), "no unit of block 5 is changed");
    let mut table = pair.parent_table.child(2);
    table.write(HELD);
    table.write(5 * MB + UNIT..5 * MB + UNIT + 1);
    table.builder().write(pair.table("c.avhdx")).unwrap();
    let found = evidence();
    assert_eq!((found.sectors, found.full_blocks, found.contradiction), (2, 1, None));
}

#[test]
fn never_skips_the_table_directly_below() {
    let pair = Pair::new();
    let id = pair.child_id();
    let damaged = pair.parent_table.builder().headers(HeaderPlan::BothBroken);
    let foreign = Tracked::new(SIZE, 99).builder();
    for (what, table) in [("missing", None), ("damaged", Some(damaged)), ("foreign", Some(foreign))]
    {
        match table {
            None => fs::remove_file(pair.table("p.vhdx")).unwrap(),
            Some(table) => drop(table.write(pair.table("p.vhdx")).unwrap()),
        }
        let (code, message) = refused(pair.since(&id));
        assert_eq!(code, codes::UNKNOWN_ID, "{what}: {message}");
        let known = pair.open().known_ids();
        let own: RctId = id.parse().unwrap();
        assert!(known.iter().all(|ids| ids.branch != own.branch), "{what}");
    }
}

/// A merge writes into the file below, whose own table then has numbers above its current one.
#[test]
fn reports_writes_to_the_parent_after_the_child_was_created() {
    let pair = Pair::new();
    let mut merged = pair.parent_table.clone();
    merged.write(6 * MB..6 * MB + 1);
    merged.builder().write(pair.table("p.vhdx")).unwrap();
    let answer = pair.since(pair.child_id()).unwrap();
    assert_eq!(answer.ranges, ranges(&[BELOW, 6 * MB..6 * MB + UNIT]));
}

#[test]
fn warns_of_a_disk_modified_after_its_table() {
    let pair = Pair::new();
    let modify = |name: &str, seconds: u64| {
        let file = File::options().write(true).open(pair.path(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    };
    for name in ["p.vhdx", "p.vhdx.rct", "c.avhdx", "c.avhdx.rct"] {
        modify(name, 1_000_000);
    }
    assert!(pair.open().warnings().is_empty());
    modify("c.avhdx", 1_000_002);
    assert!(pair.open().warnings().is_empty());
    modify("c.avhdx", 1_000_003);
    let warnings = pair.open().warnings().to_vec();
    one_warning(&warnings, "3 s after its tracking table");
    assert_eq!(pair.since("*").unwrap().warnings, warnings);
}
