//! Tracking tables that cannot answer.

use super::support::*;
use crate::common::faulty::{Call, Fault, Faulty, Reaction};
use crate::common::image::Image;
use crate::common::memory::{MemoryStorage, WithFile};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;
use vhdx_rct::{Baseline, RctId, Tracking};
use vhdx_rct_fixtures::ranges::coalesce;
use vhdx_rct_fixtures::rct::{
    Branch, Checksum, HeaderPlan, OFFSET_TABLE, RctBuilder, RctPlacement, fix_checksum, patch,
};
use vhdx_rct_fixtures::vhdx::LogPlan;

const SIZE: u64 = 4 << 20;
const OLD: Uuid = Uuid::from_u128(0x0001);
const NEW: Uuid = Uuid::from_u128(0x0002);

/// Disks that grew or shrank by a power of two: their units are not taken for larger or smaller
/// ones.
const RESIZED: [u64; 6] = [SIZE / 4, SIZE / 2, SIZE * 2, SIZE * 4, SIZE * 32, SIZE * 64];

/// The branch of ids 0 to 4, then that of ids 5 to 9; one write since 7.
fn table() -> RctBuilder {
    let branches =
        [(OLD, 0, 4), (NEW, 5, u32::MAX)].map(|(guid, first, limit)| Branch { guid, first, limit });
    RctBuilder::new(SIZE).branches(branches.into(), 9).with(3..5, 8).with(9..10, 3)
}

fn bytes(builder: &RctBuilder, damage: impl FnOnce(&Path, &RctPlacement)) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table");
    let placement = builder.write(&path).unwrap();
    damage(&path, &placement);
    std::fs::read(path).unwrap()
}

fn beside(disk: &Image, table: Vec<u8>) -> MemoryStorage {
    MemoryStorage::new().with(DISK, disk.bytes.clone()).with(TABLE, table)
}

fn ask_since(table: &[u8], id: RctId) -> Answer {
    ask(beside(&Image::new(&single()), table.into()), DISK, id.into())
}

/// A table that cannot answer does not keep the disk from being opened and asked otherwise, and
/// the disk knows why: what the opening found refuses the question too.
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
    let answer = ask_clean(bytes(&table(), |_, _| {})).unwrap();
    assert_eq!(answer.ranges, changes(&[3 << 14..5 << 14]));
}

#[test]
fn rejects_unknown_ids() {
    let files = MemoryStorage::new().with(DISK, Image::new(&single()).bytes);
    let id = RctId::new(NEW, 7);
    must_refuse(ask(files, DISK, id.into()), TRACKING_OFF, THE_DISK, &["tracking"]);
    let table = bytes(&table(), |_, _| {});
    let unknown = [(Uuid::nil(), 7), (Uuid::max(), 7), (OLD, 5), (NEW, 10), (NEW, u32::MAX)];
    for (branch, number) in unknown {
        let id = RctId::new(branch, number);
        let says = [&*id.to_string(), &RctId::new(NEW, 9).to_string()];
        must_refuse(ask_since(&table, id), UNKNOWN_ID, THE_DISK, &says);
    }
}

#[test]
fn resolves_known_ids() {
    let table = bytes(&table(), |_, _| {});
    // An id of the current branch needs no boundary.
    let current = [(NEW, 5, 1), (NEW, 8, 0), (NEW, 9, 0), (NEW, 0, 2), (NEW, 4, 1)];
    for (branch, number, expected) in [(OLD, 0, 2), (OLD, 4, 1)].into_iter().chain(current) {
        let id = RctId::new(branch, number);
        assert_eq!(ask_since(&table, id).unwrap().ranges.len(), expected, "{id}");
    }
}

/// Histories that make no sense with the current id, or that a reader who is wrong about their
/// order or their fields would see: nothing is known of an older branch, and an id of the
/// current one needs no history.
#[test]
fn refuses_older_branches_of_an_inconsistent_history() {
    const OTHER: Uuid = Uuid::from_u128(0x0003);
    let histories: [(&str, &[(Uuid, u32)]); 9] = [
        ("newest first", &[(NEW, 5), (OLD, 0)]),
        ("without the current branch", &[(OLD, 0)]),
        ("ended by another branch", &[(OLD, 0), (NEW, 5), (OTHER, 7)]),
        ("last numbers instead of first ones", &[(OLD, 4), (NEW, 9)]),
        ("beginning after 0", &[(OLD, 1), (NEW, 5)]),
        ("falling", &[(OLD, 0), (OTHER, 7), (NEW, 5)]),
        ("beginning after the current number", &[(OLD, 0), (NEW, 10)]),
        ("an older branch twice", &[(OLD, 0), (OTHER, 3), (OLD, 4), (NEW, 5)]),
        ("all zero", &[(Uuid::nil(), 0), (Uuid::nil(), 0)]),
    ];
    for (name, history) in histories {
        let branch = |&(guid, first): &(Uuid, u32)| Branch { guid, first, limit: u32::MAX };
        let builder = table().branches(history.iter().map(branch).collect(), 9);
        let table = bytes(&builder, |path, _| on_both_headers(path, 0x30, &NEW.to_bytes_le()));
        let ask = |guid, number| ask_since(&table, RctId::new(guid, number));
        for number in 0..=9 {
            must_refuse_case(name, ask(OLD, number), UNKNOWN_ID, THE_DISK, &["not consistent"]);
            assert!(ask(NEW, number).is_ok(), "{name}");
        }
        assert_eq!(ask(NEW, 7).unwrap().ranges, changes(&[3 << 14..5 << 14]), "{name}");
        must_refuse_case(name, ask(NEW, 10), UNKNOWN_ID, THE_DISK, &["not consistent"]);
    }
}

/// It is unknown which of its two lives an id of the current branch is from.
#[test]
fn refuses_a_current_branch_that_the_history_has_twice() {
    let history =
        [(NEW, 0), (OLD, 3), (NEW, 5)].map(|(guid, first)| Branch { guid, first, limit: u32::MAX });
    let table = bytes(&table().branches(history.into(), 9), |_, _| {});
    for (guid, number) in [(NEW, 1), (NEW, 7), (OLD, 3)] {
        let answer = ask_since(&table, RctId::new(guid, number));
        must_refuse(answer, UNKNOWN_ID, THE_DISK, &["not consistent"]);
    }
}

#[test]
fn tables_that_cannot_be_trusted() {
    let plain = |builder: &RctBuilder| bytes(builder, |_, _| {});
    let broken = plain(&table().headers(HeaderPlan::BothBroken));
    must_refuse(ask_clean(broken), UNTRUSTED, THE_TABLE, &["checksum"]);
    let others = [SIZE - (1 << 20), SIZE + (1 << 20), SIZE * 300];
    for size in others.into_iter().chain(RESIZED) {
        let other = RctBuilder::new(size);
        let units = size.div_ceil(16 << 10).to_string();
        must_refuse(ask_clean(plain(&other)), UNTRUSTED, THE_TABLE, &["256", &units, "resized"]);
    }
    for count in [0_u16, 512, 0x8000, u16::MAX] {
        let counted = bytes(&table(), |path, _| on_both_headers(path, 0x44, &count.to_le_bytes()));
        must_refuse(ask_clean(counted), UNTRUSTED, THE_TABLE, &["511"]);
    }
    must_refuse(ask_clean(vec![0; 0xA000]), UNTRUSTED, THE_TABLE, &["00000000"]);
}

fn on_both_headers(path: &Path, at: u64, bytes: &[u8]) {
    for header in vhdx_rct_fixtures::rct::HEADERS {
        patch(path, header + at, bytes).unwrap();
        fix_checksum(path, header, Checksum::At4From8).unwrap();
    }
}

#[test]
fn a_disk_that_was_not_closed_cleanly() {
    let dirty = Image::new(&single().log(LogPlan::Dirty(Default::default())));
    let files = beside(&dirty, bytes(&table(), |_, _| {}));
    let id = RctId::new(NEW, 7);
    must_refuse(ask(files.clone(), DISK, id.into()), UNTRUSTED, THE_DISK, &["not closed"]);
    let disk = options(Arc::new(files)).allow_unclean(true).open(DISK).unwrap();
    let accepted = disk.changes(id).collect().unwrap();
    assert_eq!(accepted.ranges, changes(&[3 << 14..5 << 14]));
}

/// The valid copy with the greater counter counts; the other one knows another branch.
#[test]
fn copies_of_the_header() {
    use HeaderPlan::*;
    for plan in [Both, Identical, SecondStale, FirstStale, FirstBroken, SecondBroken] {
        let answer = ask_clean(bytes(&table().headers(plan), |_, _| {}));
        assert_eq!(answer.unwrap().ranges, changes(&[3 << 14..5 << 14]), "{plan:?}");
    }
}

type Damage = fn(&Path, &RctPlacement);

#[test]
fn damaged_pages() {
    let cut = |length: u64| {
        move |path: &Path, _: &RctPlacement| {
            std::fs::File::options().write(true).open(path).unwrap().set_len(length).unwrap();
        }
    };
    must_refuse(ask_clean(bytes(&table(), cut(0x9FFF))), CUT_SHORT, THE_TABLE, &["40959"]);
    must_refuse(ask_clean(bytes(&table(), cut(0x8FFF))), CUT_SHORT, THE_TABLE, &["0x8fff"]);
    must_refuse(ask_clean(bytes(&table(), cut(0))), CUT_SHORT, THE_TABLE, &[]);
    let cases: [(&str, Damage, &[&str]); 8] = [
        (
            "the offset page's signature",
            |p, _| patch(p, OFFSET_TABLE, b"offq").unwrap(),
            &["offset page", "0x9000"],
        ),
        (
            "its checksum",
            |p, _| patch(p, OFFSET_TABLE + 4, &[1, 2, 3, 4]).unwrap(),
            &["offset page", "checksum"],
        ),
        ("its index", |p, _| entry(p, 8, 1), &["index 0", "1"]),
        ("an entry that names the first page", |p, _| entry(p, 12, i32::MIN), &["page 2147483648"]),
        ("an entry that names a header", |p, _| entry(p, 12, -1), &["page 1"]),
        ("an entry that names the offset table", |p, _| entry(p, 12, -9), &["page 9"]),
        ("an entry behind the end", |p, _| entry(p, 12, -11), &["page 11"]),
        (
            "a sequence page's checksum",
            |p, at| patch(p, at.sequence_pages[&0] + 99, &[7]).unwrap(),
            &["0xa000"],
        ),
    ];
    for (name, damage, says) in cases {
        must_refuse_case(name, ask_clean(bytes(&table(), damage)), CORRUPT, THE_TABLE, says);
    }
}

/// Changes a word of the first offset page and restores its checksum.
fn entry(path: &Path, at: u64, word: i32) {
    patch(path, OFFSET_TABLE + at, &word.to_le_bytes()).unwrap();
    fix_checksum(path, OFFSET_TABLE, Checksum::At4From8).unwrap();
}

#[test]
fn a_page_that_two_chunks_name() {
    let size = 2000 * (16 << 10);
    let twice = bytes(&RctBuilder::new(size).detailed_all(), |path, _| entry(path, 16, -10));
    let disk = Image::new(&vhdx_rct_fixtures::vhdx::VhdxBuilder::new(size));
    let id: RctId = {
        let (branch, number) = RctBuilder::new(size).current_id();
        RctId::new(branch, number)
    };
    let answer = ask(beside(&disk, twice), DISK, id.into());
    must_refuse(answer, CORRUPT, THE_TABLE, &["page 10", "chunk 1"]);
}

/// Both files of a chain resolve the id. Whether the parent has a table cannot be found out, and
/// an answer by the child's table alone could lack what was written to the parent.
#[test]
fn errors_while_looking_for_a_table() {
    const PARENTS: &str = "/disks/base.vhdx.rct";
    let (parent, child) = pair();
    let write = |unit| bytes(&table().with(unit..unit + 1, 8), |_, _| {});
    let files = files(&parent, &child).with(TABLE, write(20)).with(PARENTS, write(30));
    let files = Arc::new(files);
    let ask = |kind, at, hits| {
        let storage = Faulty::new(
            files.clone(),
            Fault { reaction: Reaction::Fail(kind), at, stays: true, hits },
        );
        ask(storage, DISK, RctId::new(NEW, 7).into())
    };
    let hits: fn(Call, &Path) -> bool =
        |call, path| call == Call::Canonicalize && path == Path::new(PARENTS);
    let whole = ask(ErrorKind::Other, u64::MAX, hits).unwrap();
    let units = [3 << 14..5 << 14, 30 << 14..31 << 14];
    let held = child_changes().into_iter().map(std::ops::Range::from);
    let expected = coalesce(units.into_iter().chain(held).collect());
    assert_eq!(whole.ranges, changes(&expected));
    for kind in [ErrorKind::Other, ErrorKind::PermissionDenied] {
        let error = must_refuse(ask(kind, 0, hits), UNKNOWN_ID, THE_PARENT, &["injected"]);
        assert_eq!(error.io_kind(), Some(kind));
    }
    must_refuse(ask(ErrorKind::NotFound, 0, hits), UNKNOWN_ID, THE_PARENT, &["lists"]);
    let open: fn(Call, &Path) -> bool =
        |call, path| call == Call::Open && path == Path::new(PARENTS);
    must_refuse(ask(ErrorKind::PermissionDenied, 0, open), UNKNOWN_ID, THE_PARENT, &["injected"]);
}
