//! The baselines that a disk offers for the next backup, in each of its situations.

use crate::common::disks::{dirty, held};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use uuid::Uuid;
use vhdx_rct::{Baseline, CancelToken, Disk, ErrorKind, NextBaseline, OpenOptions, RctId, Subject};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::{HeaderPlan, OFFSET_TABLE, Tracked, patch};
use vhdx_rct_fixtures::vhdx::{Block, MB, ParentLocator, VhdxBuilder};

const SIZE: u64 = 8 * MB;
const HELD: std::ops::Range<u64> = MB + 1024..MB + 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    None,
    Damaged,
    /// Nothing was written after its newest id.
    Settled,
    /// Something was.
    WithNewerUnits,
    /// It belongs to another disk of the same size.
    OfAnotherDisk,
}

#[derive(Clone, Copy, Debug)]
struct Situation {
    /// The table of the parent; None if the leaf is a root.
    parent: Option<Table>,
    leaf: Table,
    dirty: bool,
    /// Whether the leaf itself holds data.
    has_data: bool,
    parent_is_missing: bool,
}

struct Files {
    folder: TempDir,
    id: RctId,
    own: Uuid,
    parent: Uuid,
    /// The offset of the BAT entry of the last block.
    last_bat_entry: u64,
}

/// A root with data that was closed cleanly.
const fn leaf(table: Table) -> Situation {
    Situation { parent: None, leaf: table, dirty: false, has_data: true, parent_is_missing: false }
}

/// The same as a child.
const fn child(parent: Table, table: Table) -> Situation {
    Situation { parent: Some(parent), ..leaf(table) }
}

impl Files {
    fn new(situation: Situation) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let disk = |seed| VhdxBuilder::new(SIZE).seed(seed).disk_id(Uuid::from_u128(7));
        let mut below = Tracked::new(SIZE, 1);
        below.write(3 * MB..4 * MB);
        below.create_id();
        let (mut leaf, mut tracked, mut parent) = (disk(2), below.clone(), Uuid::nil());
        if let Some(table) = situation.parent {
            let builder = disk(1).block(3, Block::Full(Fill(1)));
            let placement = builder.write(&path("p.vhdx")).unwrap();
            leaf = leaf.parent(placement.locator("p.vhdx"));
            parent = placement.data_write_guid;
            write_table(table, &below, path("p.vhdx.rct"));
            tracked = below.child(2);
        }
        if situation.has_data {
            let partial = situation.parent.is_some();
            leaf = leaf.block(1, if partial { held(2..4, 2) } else { Block::Full(Fill(2)) });
            tracked.write(HELD);
        }
        if situation.dirty {
            leaf = dirty(leaf);
        }
        let placement = leaf.write(&path("leaf.vhdx")).unwrap();
        let last_bat_entry = placement.bat_entry_offset(SIZE / MB - 1);
        let (branch, number) = tracked.create_id();
        if situation.leaf == Table::WithNewerUnits {
            tracked.write(HELD);
        }
        write_table(situation.leaf, &tracked, path("leaf.vhdx.rct"));
        if situation.parent_is_missing {
            fs::remove_file(path("p.vhdx")).unwrap();
        }
        Files {
            folder,
            id: RctId::new(branch, number),
            own: placement.data_write_guid,
            parent,
            last_bat_entry,
        }
    }

    fn open(&self) -> Disk {
        Disk::open(self.path()).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("leaf.vhdx")
    }
}

fn write_table(table: Table, tracked: &Tracked, path: PathBuf) {
    let builder = match table {
        Table::None => return,
        Table::Damaged => tracked.builder().headers(HeaderPlan::BothBroken),
        Table::Settled | Table::WithNewerUnits => tracked.builder(),
        Table::OfAnotherDisk => Tracked::new(SIZE, 99).builder(),
    };
    builder.write(path).unwrap();
}

#[derive(Clone, Copy, Debug)]
enum Offer {
    NewestId,
    Own,
    Parent,
}

#[test]
fn each_situation_has_its_baselines() {
    use Offer::{NewestId, Own, Parent};
    use Table::{Damaged, None, OfAnotherDisk, Settled, WithNewerUnits};
    let empty = |situation| Situation { has_data: false, ..situation };
    let dirty = |situation| Situation { dirty: true, ..situation };
    let alone = |situation| Situation { parent_is_missing: true, ..situation };
    let cases: [(Situation, &[(Offer, bool)]); 23] = [
        // Roots.
        (leaf(Settled), &[(NewestId, true), (Own, true)]),
        (leaf(WithNewerUnits), &[(NewestId, false), (Own, true)]),
        (leaf(None), &[(Own, true)]),
        (leaf(Damaged), &[(Own, true)]),
        (dirty(leaf(Settled)), &[]),
        (dirty(leaf(None)), &[]),
        // Children of a tracked parent, frozen as parents are.
        (child(Settled, Settled), &[(NewestId, true), (Own, true), (Parent, false)]),
        (child(Settled, WithNewerUnits), &[(NewestId, false), (Own, true), (Parent, false)]),
        (empty(child(Settled, Settled)), &[(NewestId, true), (Own, true), (Parent, true)]),
        (child(Settled, None), &[(Own, true), (Parent, false)]),
        (child(Settled, Damaged), &[(Own, true), (Parent, false)]),
        (empty(child(Settled, Damaged)), &[(Own, true), (Parent, true)]),
        // Running machines.
        (dirty(child(Settled, Settled)), &[(Parent, false)]),
        (empty(dirty(child(Settled, Settled))), &[(Parent, true)]),
        (dirty(child(None, None)), &[(Parent, false)]),
        // Without the parent's table, the child's own cannot be used.
        (child(None, Settled), &[(Own, true), (Parent, false)]),
        (child(Damaged, Settled), &[(Own, true), (Parent, false)]),
        (child(OfAnotherDisk, Settled), &[(Own, true), (Parent, false)]),
        (child(None, None), &[(Own, true), (Parent, false)]),
        (empty(child(None, None)), &[(Own, true), (Parent, true)]),
        // The parent is missing.
        (alone(child(Settled, Settled)), &[(Own, true)]),
        (alone(child(None, None)), &[(Own, true)]),
        (alone(dirty(child(Settled, Settled))), &[]),
    ];
    for (situation, expected) in cases {
        let files = Files::new(situation);
        let found = files.open().next_baselines().unwrap();
        let found: Vec<_> = found.into_iter().map(|next| (next.since, next.exact)).collect();
        let baseline = |offer| match offer {
            NewestId => files.id.into(),
            Own => Baseline::DataWriteGuid(files.own),
            Parent => Baseline::DataWriteGuid(files.parent),
        };
        let expected: Vec<_> =
            expected.iter().map(|(offer, exact)| (baseline(*offer), *exact)).collect();
        assert_eq!(found, expected, "{situation:?}");
    }
}

/// The disk's own GUID is refused until a child is created.
#[test]
fn exact_baselines_have_no_changes() {
    let mut asked = 0;
    for situation in [
        leaf(Table::Settled),
        leaf(Table::WithNewerUnits),
        child(Table::Settled, Table::Settled),
        child(Table::Settled, Table::WithNewerUnits),
        Situation { has_data: false, ..child(Table::Settled, Table::Settled) },
        Situation { dirty: true, ..child(Table::Settled, Table::Settled) },
    ] {
        let files = Files::new(situation);
        let disk = files.open();
        for NextBaseline { since, exact, .. } in disk.next_baselines().unwrap() {
            match disk.changes(since.clone()).collect() {
                Ok(answer) => {
                    assert_eq!(answer.ranges.is_empty(), exact, "{situation:?}, {since}");
                    asked += 1;
                }
                Err(error) => {
                    assert_eq!(since, Baseline::DataWriteGuid(files.own), "{error}");
                    assert_eq!(error.kind(), ErrorKind::InvalidParameter);
                }
            }
        }
    }
    assert_eq!(asked, 9);
}

#[test]
fn own_guid_is_a_baseline_for_a_later_child() {
    let files = Files::new(child(Table::Settled, Table::Settled));
    let next = files.open().next_baselines().unwrap().swap_remove(1);
    assert_eq!((&next.since, next.exact), (&Baseline::DataWriteGuid(files.own), true));
    let locator = ParentLocator::new(files.own).relative(r".\leaf.vhdx");
    let later = VhdxBuilder::new(SIZE).seed(3).disk_id(Uuid::from_u128(7)).parent(locator);
    let path = files.folder.path().join("later.avhdx");
    later.block(5, held(7..9, 3)).write(&path).unwrap();
    let answer = Disk::open(path).unwrap().changes(next.since).collect().unwrap();
    assert_eq!(answer.ranges, crate::common::ranges(&[5 * MB + 7 * 512..5 * MB + 9 * 512]));
}

#[test]
fn dirty_root_offers_its_newest_id_only_if_allow_unclean_is_set() {
    let files = Files::new(Situation { dirty: true, ..leaf(Table::Settled) });
    let disk = OpenOptions::new().allow_unclean(true).open(files.path()).unwrap();
    let found = disk.next_baselines().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0].since, found[0].exact), (&Baseline::Rct(files.id), true));
}

/// A table is opened without its offset table, which only questions since ids read. A question to a
/// child also reads its parent's.
#[test]
fn damaged_table_costs_only_its_own_baseline() {
    let cases = [
        (leaf(Table::Settled), "leaf.vhdx.rct"),
        (child(Table::Settled, Table::Settled), "p.vhdx.rct"),
    ];
    for (situation, table) in cases {
        let files = Files::new(situation);
        let good = files.open().next_baselines().unwrap();
        assert_eq!(good[0].since, Baseline::Rct(files.id));
        let table = files.folder.path().join(table);
        patch(&table, OFFSET_TABLE + 4, &[0xAB; 4]).unwrap();
        let disk = files.open();
        let error = disk.changes(files.id).collect().unwrap_err();
        assert_eq!(error.subject(), Subject::TrackingTable, "{error}");
        assert_eq!(disk.next_baselines().unwrap(), good[1..], "{situation:?}");
    }
}

#[test]
fn damaged_block_table_is_an_error() {
    let files = Files::new(Situation { has_data: false, ..child(Table::None, Table::None) });
    patch(files.path(), files.last_bat_entry, &[5]).unwrap();
    let error = files.open().next_baselines().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BatCorrupt, "{error}");
}

#[test]
fn next_baselines_stop_at_their_own_limits() {
    let files = Files::new(child(Table::Settled, Table::Settled));
    let disk = files.open();
    let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(3600));
    let token = CancelToken::default();
    let expected = disk.next_baselines().unwrap();
    assert_eq!(disk.next_baselines_until(Some(later), Some(token.clone())).unwrap(), expected);
    let late = disk.next_baselines_until(Some(now), None).unwrap_err();
    assert_eq!((late.kind(), late.subject()), (ErrorKind::TimedOut, Subject::Request));
    token.cancel();
    let cancelled = disk.next_baselines_until(None, Some(token)).unwrap_err();
    assert_eq!(cancelled.kind(), ErrorKind::Cancelled);
    assert_eq!(disk.next_baselines().unwrap(), expected, "the limits are those of one question");
}

/// A limit that is reached while the table is read is not taken for a damaged table.
#[test]
fn exceeded_memory_budget_is_an_error() {
    let files = Files::new(leaf(Table::Settled));
    let disk = OpenOptions::new().memory_budget(1).open(files.path()).unwrap();
    let error = disk.next_baselines().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
}
