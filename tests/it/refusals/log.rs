//! Logs that hold updates and cannot be replayed.

use super::support::*;
use vhdx_rct_fixtures::vhdx::log::{Descriptor, RawEntry, raw_entry};

/// The offset of the BAT in [`single`].
const BAT: u64 = 3 * MB;

/// A valid entry: the BAT's first page as it is, and zeros in place of zeros.
pub fn valid_entry() -> RawEntry {
    let image = Image::new(&single());
    assert_eq!(image.at.bat_offset, BAT);
    let page = &image.bytes[BAT as usize..][..4096];
    image.log_entry(vec![Descriptor::data(BAT, page), Descriptor::zero(BAT + 8192, 4096)])
}

#[track_caller]
fn must_not_replay(name: &str, parts: Vec<(u64, Vec<u8>)>, says: &str) {
    must_refuse_case(name, ask_single(Image::with_log(parts)), CORRUPT, THE_DISK, says);
}

#[test]
fn base_entry_is_valid() {
    let image = Image::with_log(vec![(0, raw_entry(&valid_entry()))]);
    assert_eq!(ask_single(image).unwrap().ranges, single_allocated());
}

type Edit<T> = fn(&mut T);

/// The state of an entry after an edit.
#[derive(Clone, Copy)]
enum Effect {
    /// Complete, but breaks the rule that the message names.
    Broken(&'static str),
    /// Not known to be whole, or not of this log.
    Absent,
    /// Breaks no rule, but no sequence is complete with it.
    Incomplete,
}
use Effect::{Absent, Broken, Incomplete};

/// Tests an entry alone, and after a valid one: only an absent one may be ignored there, since
/// nothing shows that it was ever written.
#[track_caller]
fn must_not_be_dropped(name: &str, entry: impl Fn(RawEntry) -> Vec<u8>, effect: Effect) {
    let says = if let Broken(says) = effect { says } else { "log" };
    must_not_replay(name, vec![(0, entry(valid_entry()))], says);
    let next = RawEntry { sequence: 8, ..valid_entry() };
    let parts = vec![(0, raw_entry(&valid_entry())), (8192, entry(next))];
    match effect {
        Absent => {
            let answer = ask_single(Image::with_log(parts));
            assert_eq!(answer.unwrap().ranges, single_allocated(), "{name}");
        }
        Broken(_) | Incomplete => must_not_replay(name, parts, says),
    }
}

#[test]
fn rejects_entries_with_broken_fields_or_descriptors() {
    const OTHER_DATA: Effect = Broken("data sector 0");
    let cases: &[(&str, Edit<RawEntry>, Effect)] = &[
        ("length 0", |e| e.entry_length = Some(0), Absent),
        ("length of no whole sectors", |e| e.entry_length = Some(8192 + 512), Absent),
        ("longer than the log", |e| e.entry_length = Some(2 << 20), Absent),
        ("2^32 - 4096 bytes", |e| e.entry_length = Some(4096_u32.wrapping_neg()), Absent),
        ("tail inside a sector", |e| e.tail = 512, Broken("tail")),
        ("tail after the log", |e| e.tail = 1 << 20, Broken("tail")),
        ("tail at no entry", |e| e.tail = 64 << 10, Incomplete),
        ("sequence number 0", |e| e.sequence = 0, Broken("above 0")),
        ("more descriptors than there are", |e| e.descriptor_count = Some(3), Broken("\"zero\"")),
        ("more descriptors than fit", |e| e.descriptor_count = Some(1 << 20), Broken("fit")),
        ("descriptors up to the log's end", |e| e.descriptor_count = Some(32766), Broken("fit")),
        ("2^31 descriptors", |e| e.descriptor_count = Some(1 << 31), Broken("fit")),
        ("2^32 - 1 descriptors", |e| e.descriptor_count = Some(u32::MAX), Broken("fit")),
        ("another log's", |e| e.log_guid = uuid::Uuid::max(), Absent),
        ("data of another sequence", |e| e.data_sequence = Some(9), OTHER_DATA),
        ("data 2^32 later", |e| e.data_sequence = Some(e.sequence + (1 << 32)), OTHER_DATA),
        (
            "data 2^32 earlier",
            |e| (e.data_sequence = Some(e.sequence), e.sequence += 1 << 32).1,
            OTHER_DATA,
        ),
        ("data at no page", |e| push_data(e, BAT + 512, None), Broken("whole pages")),
        ("data descriptor's sequence", |e| push_data(e, BAT + 8192, Some(6)), Broken("carry")),
        ("zeros at no page", |e| push_zero(e, BAT + 8200, 4096, None), Broken("whole pages")),
        ("zeros of no pages", |e| push_zero(e, BAT + 8192, 4097, None), Broken("whole pages")),
        ("zeros' sequence", |e| push_zero(e, BAT + 8192, 4096, Some(9)), Broken("carry")),
    ];
    for &(name, edit, effect) in cases {
        let entry = |mut entry| {
            edit(&mut entry);
            raw_entry(&entry)
        };
        must_not_be_dropped(name, entry, effect);
    }
}

fn push_data(entry: &mut RawEntry, offset: u64, sequence: Option<u64>) {
    entry.descriptors.push(Descriptor::Data { offset, page: vec![0; 4096], sequence });
}

fn push_zero(entry: &mut RawEntry, offset: u64, length: u64, sequence: Option<u64>) {
    entry.descriptors.push(Descriptor::Zero { offset, length, sequence });
}

#[test]
fn rejects_entries_with_broken_bytes() {
    const DATA_NUMBER: Effect = Broken("data sector 0 to carry");
    let cases: &[(&str, Edit<Vec<u8>>, Effect)] = &[
        ("signature", |b| b[..4].copy_from_slice(b"eglo"), Absent),
        ("descriptor", |b| b[64..68].copy_from_slice(b"desk"), Broken("descriptor 0 to begin")),
        ("data", |b| b[4096..4100].copy_from_slice(b"atad"), Broken("data sector 0 to begin")),
        ("the data's sequence, high", |b| b[4100] = 1, DATA_NUMBER),
        ("the data's sequence, low", |b| b[8188] = 1, DATA_NUMBER),
        (
            "too short for its data",
            |b| (b.truncate(4096), b[8..12].copy_from_slice(&4096_u32.to_le_bytes())).1,
            Broken("fit"),
        ),
    ];
    for &(name, edit, effect) in cases {
        let entry = |entry| {
            let mut bytes = raw_entry(&entry);
            edit(&mut bytes);
            store_crc(&mut bytes);
            bytes
        };
        must_not_be_dropped(name, entry, effect);
    }
    for at in [5, 30, 100, 5000, 8191] {
        let entry = |entry| {
            let mut bytes = raw_entry(&entry);
            bytes[at] ^= 0x10;
            bytes
        };
        must_not_be_dropped(&format!("a flipped bit at {at}"), entry, Absent);
    }
}

#[test]
fn rejects_incomplete_sequences() {
    let entry = |tail, sequence| raw_entry(&RawEntry { tail, sequence, ..valid_entry() });
    assert_eq!(entry(0, 7).len(), 8192);
    must_not_replay("not on a sector", vec![(2048, entry(0, 7))], "log");
    must_not_replay("the tail is lost", vec![(8192, entry(0, 8))], "log");
    must_not_replay("the tail is older", vec![(0, entry(4096, 6)), (8192, entry(0, 8))], "log");
    let gap = vec![(0, entry(16384, 7)), (16384, entry(0, 9))];
    must_not_replay("the middle is lost", gap, "log");
    let after_head = vec![(0, entry(8192, 7)), (8192, entry(16384, 8))];
    must_not_replay("a tail after the head", after_head, "log");
}

#[test]
fn rejects_a_file_shorter_than_its_log_requires() {
    let flushed_file_offset = valid_entry().flushed_file_offset + MB;
    let entry = RawEntry { flushed_file_offset, ..valid_entry() };
    let cut = Image::with_log(vec![(0, raw_entry(&entry))]);
    must_refuse(ask_single(cut), CUT_SHORT, THE_DISK, "0x700000 & 0x600000");
}

/// An existing writer stores the file's length as it is. A block of the second entry would be
/// missing without it.
#[test]
fn replays_entries_with_unaligned_file_offsets() {
    let image = Image::new(&single());
    let length = image.bytes.len() as u64;
    let mut page = image.bytes[BAT as usize..][..4096].to_vec();
    page.copy_within(..8, 8);
    for (flushed, last) in [(4096, 0), (0, 4096), (1, 1), (512 << 10, 1 << 20)] {
        for all in [false, true] {
            let mut entries = [7, 8].map(|sequence| RawEntry { sequence, ..valid_entry() });
            entries[1].descriptors = vec![Descriptor::data(BAT, page.as_slice())];
            for entry in &mut entries[usize::from(!all)..] {
                entry.flushed_file_offset = length - flushed;
                entry.last_file_offset = length + 1 - last;
            }
            let parts = (0..).step_by(8192).zip(entries.iter().map(raw_entry)).collect();
            let answer = ask_single(Image::with_log(parts)).unwrap();
            assert_eq!(answer.ranges, changes(&[0..3 * MB]), "{flushed} {last} {all}");
        }
    }
}
