//! Logs that hold updates and cannot be replayed.

use super::support::*;
use crate::common::image::Image;
use vhdx_rct_fixtures::vhdx::log::{Descriptor, RawEntry, raw_entry};
use vhdx_rct_fixtures::vhdx::{LogPlan, MB, store_crc};

/// A right entry: the BAT's first page as it is, and zeros where there are zeros.
pub fn right(image: &Image) -> RawEntry {
    let bat = image.at.bat_offset;
    let page = &image.bytes[bat as usize..][..4096];
    RawEntry {
        tail: 0,
        sequence: 7,
        log_guid: image.at.log_guid,
        flushed_file_offset: image.bytes.len() as u64,
        last_file_offset: image.bytes.len() as u64,
        descriptors: vec![Descriptor::data(bat, page), Descriptor::zero(bat + 8192, 4096)],
        ..RawEntry::default()
    }
}

pub fn with_log(parts: Vec<(u64, Vec<u8>)>) -> Image {
    Image::new(&single().log(LogPlan::Raw(parts)))
}

#[track_caller]
fn must_not_replay(name: &str, parts: Vec<(u64, Vec<u8>)>) {
    must_refuse_case(name, ask_single(with_log(parts)), CORRUPT, THE_DISK, &["log"]);
}

#[test]
fn base_entry_is_valid() {
    let entry = raw_entry(&right(&Image::new(&single())));
    let answer = ask_single(with_log(vec![(0, entry)])).unwrap();
    assert_eq!(answer.ranges, single_allocated());
}

type Edit<T> = fn(&mut T);

/// The state of an entry after an edit.
#[derive(Clone, Copy, PartialEq)]
enum Now {
    /// Complete, but breaks the rule that the message names.
    Broken(&'static str),
    /// Not known to be whole, or not of this log.
    Absent,
    /// Breaks no rule, and no sequence is complete with it.
    Incomplete,
}
use Now::{Absent, Broken, Incomplete};

/// The entry alone, and after one that is right: only an absent one may be ignored there, since
/// nothing says that it was ever written.
#[track_caller]
fn must_not_be_dropped(name: &str, entry: impl Fn(RawEntry) -> Vec<u8>, now: Now) {
    let image = Image::new(&single());
    let says = if let Broken(says) = now { says } else { "log" };
    let alone = with_log(vec![(0, entry(right(&image)))]);
    must_refuse_case(name, ask_single(alone), CORRUPT, THE_DISK, &[says]);
    let next = RawEntry { sequence: 8, ..right(&image) };
    let parts = vec![(0, raw_entry(&right(&image))), (8192, entry(next))];
    let answer = ask_single(with_log(parts));
    match now {
        Absent => assert_eq!(answer.unwrap().ranges, single_allocated(), "{name}"),
        Broken(_) | Incomplete => must_refuse_case(name, answer, CORRUPT, THE_DISK, &[says]),
    }
}

#[test]
fn refuses_entries_with_broken_fields() {
    let cases: [(&str, Edit<RawEntry>, Now); 14] = [
        ("length 0", |e| e.entry_length = Some(0), Absent),
        ("length of no whole sectors", |e| e.entry_length = Some(8192 + 512), Absent),
        ("longer than the log", |e| e.entry_length = Some(2 << 20), Absent),
        ("tail inside a sector", |e| e.tail = 512, Broken("tail")),
        ("tail behind the log", |e| e.tail = 1 << 20, Broken("tail")),
        ("tail at no entry", |e| e.tail = 64 << 10, Incomplete),
        ("sequence number 0", |e| e.sequence = 0, Broken("above 0")),
        ("more descriptors than there are", |e| e.descriptor_count = Some(3), Broken("\"zero\"")),
        ("more descriptors than fit", |e| e.descriptor_count = Some(1 << 20), Broken("fit")),
        ("2^32 - 1 descriptors", |e| e.descriptor_count = Some(u32::MAX), Broken("fit")),
        ("another log's", |e| e.log_guid = uuid::Uuid::max(), Absent),
        ("data of another sequence", |e| e.data_sequence = Some(9), Broken("data sector 0")),
        (
            "data of a sequence 2^32 later",
            |e| e.data_sequence = Some(e.sequence + (1 << 32)),
            Broken("data sector 0"),
        ),
        (
            "data of a sequence 2^32 earlier",
            |e| (e.data_sequence = Some(e.sequence), e.sequence += 1 << 32).1,
            Broken("data sector 0"),
        ),
    ];
    for (name, edit, now) in cases {
        let entry = |mut entry| {
            edit(&mut entry);
            raw_entry(&entry)
        };
        must_not_be_dropped(name, entry, now);
    }
}

#[test]
fn refuses_entries_with_broken_descriptors() {
    let bat = Image::new(&single()).at.bat_offset;
    let data = |offset, sequence| Descriptor::Data { offset, page: vec![0; 4096], sequence };
    let cases = [
        ("data at no page", data(bat + 512, None), "whole pages"),
        ("data of another sequence", data(bat + 8192, Some(6)), "carry"),
        ("zeros at no page", Descriptor::zero(bat + 8192 + 8, 4096), "whole pages"),
        ("zeros of no whole pages", Descriptor::zero(bat + 8192, 4097), "whole pages"),
        (
            "zeros of another sequence",
            Descriptor::Zero { offset: bat + 8192, length: 4096, sequence: Some(9) },
            "carry",
        ),
    ];
    for (name, descriptor, says) in cases {
        let entry = |mut entry: RawEntry| {
            entry.descriptors.push(descriptor.clone());
            raw_entry(&entry)
        };
        must_not_be_dropped(name, entry, Broken(says));
    }
}

#[test]
fn refuses_entries_with_broken_bytes() {
    let cases: [(&str, Edit<Vec<u8>>, Now); 6] = [
        ("signature", |b| b[..4].copy_from_slice(b"eglo"), Absent),
        (
            "a descriptor's signature",
            |b| b[64..68].copy_from_slice(b"desk"),
            Broken("descriptor 0 to begin"),
        ),
        (
            "the data's signature",
            |b| b[4096..4100].copy_from_slice(b"atad"),
            Broken("data sector 0 to begin"),
        ),
        ("the data's sequence, high", |b| b[4100] = 1, Broken("data sector 0 to carry")),
        ("the data's sequence, low", |b| b[8188] = 1, Broken("data sector 0 to carry")),
        (
            "too short for its data",
            |b| (b.truncate(4096), b[8..12].copy_from_slice(&4096_u32.to_le_bytes())).1,
            Broken("fit"),
        ),
    ];
    for (name, edit, now) in cases {
        let entry = |entry| {
            let mut bytes = raw_entry(&entry);
            edit(&mut bytes);
            store_crc(&mut bytes);
            bytes
        };
        must_not_be_dropped(name, entry, now);
    }
    for at in [5, 30, 100, 5000, 8191] {
        let entry = |entry| {
            let mut bytes = raw_entry(&entry);
            bytes[at] ^= 0x10;
            bytes
        };
        must_not_be_dropped("a flipped bit", entry, Absent);
    }
    let image = Image::new(&single());
    must_not_replay("not on a sector", vec![(2048, raw_entry(&right(&image)))]);
}

#[test]
fn sequences() {
    let image = Image::new(&single());
    let entry = |tail, sequence| {
        let bytes = raw_entry(&RawEntry { tail, sequence, ..right(&image) });
        assert_eq!(bytes.len(), 8192);
        bytes
    };
    must_not_replay("the tail is lost", vec![(8192, entry(0, 8))]);
    must_not_replay("the tail is older", vec![(0, entry(4096, 6)), (8192, entry(0, 8))]);
    must_not_replay("the middle is lost", vec![(0, entry(16384, 7)), (16384, entry(0, 9))]);
    must_not_replay("a tail behind the head", vec![(0, entry(8192, 7)), (8192, entry(16384, 8))]);
}

#[test]
fn a_file_shorter_than_its_log_says() {
    let image = Image::new(&single());
    let flushed_file_offset = image.bytes.len() as u64 + MB;
    let entry = RawEntry { flushed_file_offset, ..right(&image) };
    let cut = with_log(vec![(0, raw_entry(&entry))]);
    must_refuse(ask_single(cut), CUT_SHORT, THE_DISK, &["0x700000", "0x600000"]);
}

/// An existing writer stores the file's length as it is. A block of the second entry would be
/// missing without it.
#[test]
fn replays_entries_with_unaligned_file_offsets() {
    let image = Image::new(&single());
    let (bat, length) = (image.at.bat_offset, image.bytes.len() as u64);
    let mut page = image.bytes[bat as usize..][..4096].to_vec();
    page.copy_within(..8, 8);
    for (flushed, last) in [(4096, 0), (0, 4096), (1, 1), (512 << 10, 1 << 20)] {
        for all in [false, true] {
            let mut entries = [7, 8].map(|sequence| RawEntry { sequence, ..right(&image) });
            entries[1].descriptors = vec![Descriptor::data(bat, page.as_slice())];
            for entry in &mut entries[usize::from(!all)..] {
                entry.flushed_file_offset = length - flushed;
                entry.last_file_offset = length + 1 - last;
            }
            let parts = (0..).step_by(8192).zip(entries.iter().map(raw_entry)).collect();
            let answer = ask_single(with_log(parts)).unwrap();
            assert_eq!(answer.ranges, changes(&[0..3 * MB]), "{flushed} {last} {all}");
        }
    }
}
