//! Whole log entries that the active sequence does not include: stale ones, ones after a torn
//! entry, and ones that no power loss leaves.

use super::log::valid_entry;
use super::support::*;
use vhdx_rct_fixtures::vhdx::log::{RawEntry, raw_entry};

/// The length of each entry.
const LENGTH: u64 = 8192;

type Parts = Vec<(u64, Vec<u8>)>;

/// An entry at a multiple of its length.
fn entry(place: u64, sequence: u64, tail: u64) -> (u64, Vec<u8>) {
    edited(place, sequence, tail, |_| {})
}

fn edited(place: u64, sequence: u64, tail: u64, edit: fn(&mut RawEntry)) -> (u64, Vec<u8>) {
    let mut entry = RawEntry { sequence, tail: (tail * LENGTH) as u32, ..valid_entry() };
    edit(&mut entry);
    let bytes = raw_entry(&entry);
    assert_eq!(bytes.len() as u64, LENGTH);
    (place * LENGTH, bytes)
}

/// An entry whose second sector was not written.
fn torn(place: u64, sequence: u64, tail: u64) -> (u64, Vec<u8>) {
    let (at, mut bytes) = entry(place, sequence, tail);
    bytes[4096..].fill(0);
    (at, bytes)
}

/// Replays the log up to number 8, and returns the findings of a check.
#[track_caller]
fn findings(parts: Parts) -> Vec<String> {
    let disk = open_single(&Image::with_log(parts)).unwrap();
    let answer = disk.changes(vhdx_rct::Baseline::Allocated).collect().unwrap();
    assert_eq!(answer.ranges, single_allocated());
    assert_eq!(disk.files()[0].replayed_log_entries(), Some(2));
    let report = disk.check().unwrap();
    assert_eq!(report.total, report.findings.len() as u64);
    report.findings
}

/// Numbers 7 and 8 at places 2 and 3, and more entries.
fn two_and(more: Parts) -> Parts {
    [vec![entry(2, 7, 2), entry(3, 8, 2)], more].concat()
}

#[test]
fn does_not_report_stale_entries() {
    let stale = [
        vec![entry(1, 6, 1)],
        vec![entry(4, 5, 4)],
        vec![entry(4, 3, 4), entry(5, 4, 4)],
        vec![torn(4, 9, 2), entry(5, 3, 5)],
        vec![entry(0, 5, 0), entry(1, 6, 0), torn(4, 9, 2)],
        vec![edited(6, 6, 6, |e| e.tail = 512)],
        vec![edited(4, 9, 2, |e| e.log_guid = uuid::Uuid::max())],
    ];
    for more in stale {
        assert_eq!(findings(two_and(more)), [""; 0]);
    }
}

#[test]
fn reports_whole_entries_after_torn_ones() {
    const NUMBER: &str = "a whole log entry with sequence number 10 at 0x10a000 was ";
    let after = |more| two_and([vec![torn(4, 9, 2)], more].concat());
    let broken = edited(5, 10, 0, |e| e.data_sequence = Some(1));
    let cases = [
        ("the tail is active", after(vec![entry(5, 10, 2)]), NUMBER, 1),
        ("the tail is the active head", after(vec![entry(5, 10, 3)]), NUMBER, 1),
        ("the tail is torn", after(vec![entry(5, 10, 4)]), NUMBER, 1),
        // The first of the two before it lies on a stale entry.
        ("two were not written", two_and(vec![entry(4, 3, 4), entry(6, 11, 2)]), "", 1),
        ("two whole ones", after(vec![entry(5, 10, 2), entry(6, 11, 2)]), "", 2),
        ("a broken one", after(vec![broken]), "data sector 0", 1),
        (
            "from the end of the ring on",
            vec![entry(126, 7, 126), entry(127, 8, 126), entry(1, 10, 126)],
            "0x102000",
            1,
        ),
    ];
    for (name, parts, says, count) in cases {
        let found = findings(parts);
        assert!(found.len() == count && found[0].contains(says), "{name}: {found:?}");
    }
}

#[test]
fn rejects_whole_entries_that_no_power_loss_leaves() {
    let newest = vec![torn(10, 20, 10), entry(11, 21, 10), entry(12, 22, 10)];
    let cases = [
        ("a gap in the numbers and none in the ring", vec![entry(4, 10, 2)]),
        ("fewer sectors than numbers", vec![torn(4, 9, 2), entry(5, 12, 2)]),
        ("the next number elsewhere", vec![entry(5, 9, 2)]),
        ("the head's number twice", vec![entry(6, 8, 2)]),
        ("the tail's number twice", vec![entry(6, 7, 2)]),
        ("a tail that the torn entries would have", vec![torn(4, 9, 2), entry(6, 11, 5)]),
        ("a tail at a stale entry", vec![entry(1, 6, 1), torn(4, 9, 2), entry(5, 10, 1)]),
        ("old and broken after the head", vec![edited(4, 3, 2, |e| e.data_sequence = Some(9))]),
        ("the newest sequence lost its tail", newest),
    ];
    for (name, more) in cases {
        let answer = ask_single(Image::with_log(two_and(more)));
        must_refuse_case(name, answer, CORRUPT, THE_DISK, "sequence number & older copy");
    }
}

#[test]
fn replays_sequence_numbers_up_to_the_maximum() {
    let top = u64::MAX;
    let parts = |more| [vec![entry(2, top - 1, 2), entry(3, top, 2)], more].concat();
    assert_eq!(findings(parts(vec![])), [""; 0]);
    assert_eq!(findings(parts(vec![entry(4, 1, 4)])), [""; 0]);
    let answer = ask_single(Image::with_log(parts(vec![entry(4, 0, 2)])));
    must_refuse(answer, CORRUPT, THE_DISK, "above 0");
}
