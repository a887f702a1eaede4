//! Tracking tables that are rejected, and ids that a table does not hold.

use super::support::*;
use crate::common::faulty::{Call, Fault, Faulty, Reaction};
use crate::common::tables::{current_id, table_bytes, table_headers, table_word};
use std::io::ErrorKind;
use vhdx_rct::Tracking;
use vhdx_rct_fixtures::ranges::coalesce;
use vhdx_rct_fixtures::rct::{Branch, HeaderPlan, OFFSET_TABLE, RctBuilder, RctPlacement, patch};

const SIZE: u64 = 4 << 20;
const OLD: Uuid = Uuid::from_u128(0x0001);
const NEW: Uuid = Uuid::from_u128(0x0002);

/// Disks that grew or shrank by a power of two: their units are not taken for larger or smaller
/// ones.
const RESIZED: [u64; 6] = [SIZE / 4, SIZE / 2, SIZE * 2, SIZE * 4, SIZE * 32, SIZE * 64];

fn branches<const N: usize>(history: [(Uuid, u32); N]) -> Vec<Branch> {
    history.map(|(guid, first)| Branch { guid, first, limit: u32::MAX }).into()
}

/// The branch of ids 0 to 4, then that of ids 5 to 9; one write since 7.
fn table() -> RctBuilder {
    let branches =
        [(OLD, 0, 4), (NEW, 5, u32::MAX)].map(|(guid, first, limit)| Branch { guid, first, limit });
    RctBuilder::new(SIZE).branches(branches.into(), 9).with(3..5, 8).with(9..10, 3)
}

fn bytes(table: &RctBuilder) -> Vec<u8> {
    table_bytes(table, |_, _| {})
}

fn beside(disk: &Image, table: Vec<u8>) -> MemoryStorage {
    MemoryStorage::new().with(DISK, disk.bytes.clone()).with(TABLE, table)
}

fn ask_since(table: &[u8], id: RctId) -> Answer {
    ask(beside(&Image::new(&single()), table.into()), DISK, id.into())
}

/// Opens the disk beside this table, which must always succeed, and asks since an id. The error
/// that the opening found refuses the question.
fn ask_clean(table: Vec<u8>) -> Answer {
    let disk = open(beside(&Image::new(&single()), table), DISK).unwrap();
    let allocated = disk.changes(Baseline::Allocated).collect().unwrap();
    assert_eq!(allocated.ranges, single_allocated());
    let answer = disk.changes(RctId::new(NEW, 7)).collect();
    if let Tracking::Unusable(found) = disk.files()[0].tracking() {
        let error = answer.as_ref().unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (found.kind(), found.to_string()));
        assert!(error.needs_full_backup(), "{error}");
        assert!(allocated.warnings.iter().any(|warning| warning.path == Path::new(TABLE)));
    }
    answer
}

#[test]
fn base_table_is_valid() {
    let answer = ask_clean(bytes(&table())).unwrap();
    assert_eq!(answer.ranges, changes(&[3 << 14..5 << 14]));
}

#[test]
fn rejects_unknown_ids() {
    let files = MemoryStorage::new().with(DISK, Image::new(&single()).bytes);
    let id = RctId::new(NEW, 7);
    must_refuse(ask(files, DISK, id.into()), TRACKING_OFF, THE_DISK, "tracking");
    let table = bytes(&table());
    let unknown = [(Uuid::nil(), 7), (Uuid::max(), 7), (OLD, 5), (NEW, 10), (NEW, u32::MAX)];
    for (branch, number) in unknown {
        let id = RctId::new(branch, number);
        let says = format!("{id} & {}", RctId::new(NEW, 9));
        must_refuse(ask_since(&table, id), UNKNOWN_ID, THE_DISK, &says);
    }
}

#[test]
fn resolves_known_ids() {
    let table = bytes(&table());
    // An id of the current branch needs no boundary.
    let current = [(NEW, 5, 1), (NEW, 8, 0), (NEW, 9, 0), (NEW, 0, 2), (NEW, 4, 1)];
    for (branch, number, expected) in [(OLD, 0, 2), (OLD, 4, 1)].into_iter().chain(current) {
        let id = RctId::new(branch, number);
        assert_eq!(ask_since(&table, id).unwrap().ranges.len(), expected, "{id}");
    }
}

/// Histories that contradict the current id, or that result from reading their order or fields
/// wrongly: nothing is known of an older branch, and an id of the current one needs no history.
#[test]
fn rejects_older_branches_of_an_inconsistent_history() {
    const OTHER: Uuid = Uuid::from_u128(0x0003);
    let histories = [
        ("newest first", branches([(NEW, 5), (OLD, 0)])),
        ("without the current branch", branches([(OLD, 0)])),
        ("ended by another branch", branches([(OLD, 0), (NEW, 5), (OTHER, 7)])),
        ("last numbers instead of first ones", branches([(OLD, 4), (NEW, 9)])),
        ("beginning after 0", branches([(OLD, 1), (NEW, 5)])),
        ("falling", branches([(OLD, 0), (OTHER, 7), (NEW, 5)])),
        ("beginning after the current number", branches([(OLD, 0), (NEW, 10)])),
        ("an older branch twice", branches([(OLD, 0), (OTHER, 3), (OLD, 4), (NEW, 5)])),
        ("all zero", branches([(Uuid::nil(), 0), (Uuid::nil(), 0)])),
    ];
    for (name, history) in histories {
        let table = table().branches(history, 9);
        let table = table_bytes(&table, |path, _| table_headers(path, 0x30, &NEW.to_bytes_le()));
        let ask = |guid, number| ask_since(&table, RctId::new(guid, number));
        for number in 0..=9 {
            must_refuse_case(name, ask(OLD, number), UNKNOWN_ID, THE_DISK, "not consistent");
            assert!(ask(NEW, number).is_ok(), "{name}");
        }
        assert_eq!(ask(NEW, 7).unwrap().ranges, changes(&[3 << 14..5 << 14]), "{name}");
        must_refuse_case(name, ask(NEW, 10), UNKNOWN_ID, THE_DISK, "not consistent");
    }
}

/// It is unknown which of its two lives an id of the current branch is from.
#[test]
fn rejects_a_current_branch_that_the_history_has_twice() {
    let table = bytes(&table().branches(branches([(NEW, 0), (OLD, 3), (NEW, 5)]), 9));
    for (guid, number) in [(NEW, 1), (NEW, 7), (OLD, 3)] {
        let answer = ask_since(&table, RctId::new(guid, number));
        must_refuse(answer, UNKNOWN_ID, THE_DISK, "not consistent");
    }
}

#[test]
fn rejects_untrusted_tables() {
    #[track_caller]
    fn refuse(table: Vec<u8>, says: &str) {
        must_refuse(ask_clean(table), UNTRUSTED, THE_TABLE, says);
    }
    refuse(bytes(&table().headers(HeaderPlan::BothBroken)), "checksum");
    let others = [SIZE - (1 << 20), SIZE + (1 << 20), SIZE * 300];
    for size in others.into_iter().chain(RESIZED) {
        let units = size.div_ceil(16 << 10);
        refuse(bytes(&RctBuilder::new(size)), &format!("256 & {units} & resized"));
    }
    for count in [0_u16, 512, 0x8000, u16::MAX] {
        let put = |path: &Path, _: &_| table_headers(path, 0x44, &count.to_le_bytes());
        refuse(table_bytes(&table(), put), "511");
    }
    refuse(vec![0; 0xA000], "00000000");
}

#[test]
fn rejects_a_disk_that_was_not_closed_cleanly() {
    let dirty = Image::new(&single().log(LogPlan::Dirty(Default::default())));
    let files = beside(&dirty, bytes(&table()));
    let id = RctId::new(NEW, 7);
    must_refuse(ask(files.clone(), DISK, id.into()), UNTRUSTED, THE_DISK, "not closed");
    let disk = options(Arc::new(files)).allow_unclean(true).open(DISK).unwrap();
    let accepted = disk.changes(id).collect().unwrap();
    assert_eq!(accepted.ranges, changes(&[3 << 14..5 << 14]));
}

/// The other copy holds another branch.
#[test]
fn uses_the_valid_header_copy_with_the_greater_counter() {
    use HeaderPlan::*;
    for plan in [Both, Identical, SecondStale, FirstStale, FirstBroken, SecondBroken] {
        let answer = ask_clean(bytes(&table().headers(plan)));
        assert_eq!(answer.unwrap().ranges, changes(&[3 << 14..5 << 14]), "{plan:?}");
    }
}

#[test]
fn rejects_damaged_pages() {
    type Damage = fn(&Path, &RctPlacement);
    let cases: &[(&str, Damage, Code, &str)] = &[
        ("a byte missing", |p, _| cut(p, 0x9FFF), CUT_SHORT, "40959"),
        ("no whole offset page", |p, _| cut(p, 0x8FFF), CUT_SHORT, "0x8fff"),
        ("an empty file", |p, _| cut(p, 0), CUT_SHORT, ""),
        ("signature", |p, _| put(p, OFFSET_TABLE, b"offq"), CORRUPT, "offset page & 0x9000"),
        ("checksum", |p, _| put(p, OFFSET_TABLE + 4, &[1; 4]), CORRUPT, "offset page & checksum"),
        ("index", |p, _| table_word(p, 8, 1), CORRUPT, "index 0 & 1"),
        ("the first page", |p, _| table_word(p, 12, i32::MIN), CORRUPT, "page 2147483648"),
        ("a header", |p, _| table_word(p, 12, -1), CORRUPT, "page 1"),
        ("the offset table", |p, _| table_word(p, 12, -9), CORRUPT, "page 9"),
        ("after the end", |p, _| table_word(p, 12, -11), CORRUPT, "page 11"),
        ("a sequence page", |p, at| put(p, at.sequence_pages[&0] + 99, &[7]), CORRUPT, "0xa000"),
    ];
    for &(name, damage, code, says) in cases {
        let table = table_bytes(&table(), damage);
        must_refuse_case(name, ask_clean(table), code, THE_TABLE, says);
    }
}

fn put(path: &Path, at: u64, bytes: &[u8]) {
    patch(path, at, bytes).unwrap();
}

fn cut(path: &Path, length: u64) {
    std::fs::File::options().write(true).open(path).unwrap().set_len(length).unwrap();
}

#[test]
fn rejects_a_page_that_two_chunks_name() {
    let size = 2000 * (16 << 10);
    let table = RctBuilder::new(size).detailed_all();
    let twice = table_bytes(&table, |path, _| table_word(path, 16, -10));
    let disk = Image::new(&VhdxBuilder::new(size));
    let answer = ask(beside(&disk, twice), DISK, current_id(&table).into());
    must_refuse(answer, CORRUPT, THE_TABLE, "page 10 & chunk 1");
}

/// Both files of a chain resolve the id. Whether the parent has a table cannot be found out, and
/// an answer by the child's table alone could lack what was written to the parent.
#[test]
fn rejects_an_id_if_the_search_for_a_parents_table_fails() {
    const PARENTS: &str = "/disks/base.vhdx.rct";
    let (parent, child) = pair();
    let write = |unit| bytes(&table().with(unit..unit + 1, 8));
    let files = files(&parent, &child).with(TABLE, write(20)).with(PARENTS, write(30));
    let files = Arc::new(files);
    let ask = |kind, at, hits| {
        let fault = Fault::from(at, Reaction::Fail(kind), hits);
        ask(Faulty::new(files.clone(), fault), DISK, RctId::new(NEW, 7).into())
    };
    let find: fn(Call, &Path) -> bool =
        |call, path| call == Call::Canonicalize && path == Path::new(PARENTS);
    let open: fn(Call, &Path) -> bool =
        |call, path| call == Call::Open && path == Path::new(PARENTS);
    let whole = ask(ErrorKind::Other, u64::MAX, find).unwrap();
    let units = [3 << 14..5 << 14, 30 << 14..31 << 14];
    let held = child_changes().into_iter().map(std::ops::Range::from);
    let expected = coalesce(units.into_iter().chain(held).collect());
    assert_eq!(whole.ranges, changes(&expected));
    for (name, kind, hits, says) in [
        ("search fails", ErrorKind::Other, find, "injected"),
        ("search denied", ErrorKind::PermissionDenied, find, "injected"),
        ("listed, not found", ErrorKind::NotFound, find, "lists"),
        ("open denied", ErrorKind::PermissionDenied, open, "injected"),
    ] {
        let error = must_refuse_case(name, ask(kind, 0, hits), UNKNOWN_ID, THE_PARENT, says);
        if says == "injected" {
            assert_eq!(error.io_kind(), Some(kind), "{name}");
        }
    }
}
