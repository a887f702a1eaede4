//! Whole log entries that the active sequence does not include: stale ones, ones after a torn
//! entry, and ones that no power loss leaves.

use super::log::{right, with_log};
use super::support::*;
use crate::common::image::Image;
use vhdx_rct_fixtures::vhdx::log::{RawEntry, raw_entry};

/// The length of each entry.
const LENGTH: u64 = 8192;

type Parts = Vec<(u64, Vec<u8>)>;

/// An entry at a multiple of its length.
fn entry(place: u64, sequence: u64, tail: u64) -> (u64, Vec<u8>) {
    edited(place, sequence, tail, |_| {})
}

fn edited(place: u64, sequence: u64, tail: u64, edit: fn(&mut RawEntry)) -> (u64, Vec<u8>) {
    let image = Image::new(&single());
    let mut entry = RawEntry { sequence, tail: (tail * LENGTH) as u32, ..right(&image) };
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
    let image = with_log(parts);
    let disk = open_single(&image).unwrap();
    let answer = disk.changes(vhdx_rct::Baseline::Allocated).collect().unwrap();
    assert_eq!(answer.ranges, single_allocated());
    assert_eq!(disk.files()[0].replayed_log_entries(), Some(2));
    let report = disk.check().unwrap();
    assert_eq!(report.total, report.findings.len() as u64);
    report.findings
}

/// Numbers 7 and 8 at places 2 and 3.
fn two() -> Parts {
    vec![entry(2, 7, 2), entry(3, 8, 2)]
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
        assert_eq!(findings([two(), more].concat()), [""; 0]);
    }
}

#[test]
fn reports_whole_entries_after_torn_ones() {
    // The tail is active, or where the torn entry begins.
    for tail in [2, 3, 4] {
        let found = findings([two(), vec![torn(4, 9, 2), entry(5, 10, tail)]].concat());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("a whole log entry with sequence number 10 at 0x10a000 was "));
    }
    // Nothing of the two before it was written, the first of which lies on a stale entry.
    let found = findings([two(), vec![entry(4, 3, 4), entry(6, 11, 2)]].concat());
    assert_eq!(found.len(), 1, "{found:?}");
    let found = findings([two(), vec![torn(4, 9, 2), entry(5, 10, 2), entry(6, 11, 2)]].concat());
    assert_eq!(found.len(), 2, "{found:?}");
    let found = findings(
        [two(), vec![torn(4, 9, 2), edited(5, 10, 0, |e| e.data_sequence = Some(1))]].concat(),
    );
    assert!(found.len() == 1 && found[0].contains("data sector 0"), "{found:?}");
    // From the end of the ring on.
    let found = findings(vec![entry(126, 7, 126), entry(127, 8, 126), entry(1, 10, 126)]);
    assert!(found.len() == 1 && found[0].contains("0x102000"), "{found:?}");
}

#[test]
fn refuses_whole_entries_that_no_loss_of_power_leaves() {
    let cases = [
        ("a gap in the numbers and none in the ring", vec![entry(4, 10, 2)]),
        ("less room than numbers", vec![torn(4, 9, 2), entry(5, 12, 2)]),
        ("the next number elsewhere", vec![entry(5, 9, 2)]),
        ("the head's number twice", vec![entry(6, 8, 2)]),
        ("the tail's number twice", vec![entry(6, 7, 2)]),
        ("a tail that the torn entries would have", vec![torn(4, 9, 2), entry(6, 11, 5)]),
        ("a tail at a stale entry", vec![entry(1, 6, 1), torn(4, 9, 2), entry(5, 10, 1)]),
        (
            "a broken entry with an old number right after the head",
            vec![edited(4, 3, 2, |e| e.data_sequence = Some(9))],
        ),
        (
            "the newest sequence lost its tail",
            vec![torn(10, 20, 10), entry(11, 21, 10), entry(12, 22, 10)],
        ),
    ];
    for (name, more) in cases {
        let answer = ask_single(with_log([two(), more].concat()));
        must_refuse_case(name, answer, CORRUPT, THE_DISK, &["sequence number", "older copy"]);
    }
}

#[test]
fn sequence_numbers_may_end_at_the_top() {
    let top = u64::MAX;
    let parts = || vec![entry(2, top - 1, 2), entry(3, top, 2)];
    assert_eq!(findings(parts()), [""; 0]);
    assert_eq!(findings([parts(), vec![entry(4, 1, 4)]].concat()), [""; 0]);
    let broken = edited(4, 0, 2, |_| {});
    let answer = ask_single(with_log([parts(), vec![broken]].concat()));
    must_refuse(answer, CORRUPT, THE_DISK, &["above 0"]);
}
