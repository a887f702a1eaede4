//! Logs that hold updates and cannot be replayed.

use crate::common::image::Image;
use crate::support::*;
use vhdx_rct_fixtures::vhdx::log::{Descriptor, RawEntry, raw_entry};
use vhdx_rct_fixtures::vhdx::{LogPlan, MB, seal};

/// A right entry: the BAT's first page as it is, and zeros where there are zeros.
fn right(image: &Image) -> RawEntry {
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

fn with_log(parts: Vec<(u64, Vec<u8>)>) -> Image {
    Image::new(&single().log(LogPlan::Raw(parts)))
}

#[track_caller]
fn must_not_replay(name: &str, parts: Vec<(u64, Vec<u8>)>) {
    eprintln!("{name}");
    must_refuse(ask_single(with_log(parts)), CORRUPT, DISK, &["log"]);
}

#[test]
fn the_entry_that_the_others_are_made_from_is_right() {
    let entry = raw_entry(&right(&Image::new(&single())));
    let answer = ask_single(with_log(vec![(0, entry)])).unwrap();
    assert_eq!(answer.ranges, single_allocated());
}

type Edit<T> = fn(&mut T);

#[test]
fn fields_of_an_entry() {
    let cases: [(&str, Edit<RawEntry>); 16] = [
        ("length 0", |e| e.entry_length = Some(0)),
        ("length of no whole sectors", |e| e.entry_length = Some(8192 + 512)),
        ("longer than the log", |e| e.entry_length = Some(2 << 20)),
        ("tail inside a sector", |e| e.tail = 512),
        ("tail behind the log", |e| e.tail = 1 << 20),
        ("tail at no entry", |e| e.tail = 8192),
        ("sequence number 0", |e| e.sequence = 0),
        ("more descriptors than there are", |e| e.descriptor_count = Some(3)),
        ("more descriptors than fit", |e| e.descriptor_count = Some(1 << 20)),
        ("2^32 - 1 descriptors", |e| e.descriptor_count = Some(u32::MAX)),
        ("another log's", |e| e.log_guid = uuid::Uuid::max()),
        ("flushed at no whole megabyte", |e| e.flushed_file_offset -= 4096),
        ("last at no whole megabyte", |e| e.last_file_offset += 4096),
        ("data of another sequence", |e| e.data_sequence = Some(8)),
        ("data of a sequence 2^32 later", |e| e.data_sequence = Some(7 + (1 << 32))),
        ("data of a sequence 2^32 earlier", |e| {
            (e.sequence += 1 << 32, e.data_sequence = Some(7)).1
        }),
    ];
    let image = Image::new(&single());
    for (name, edit) in cases {
        let mut entry = right(&image);
        edit(&mut entry);
        must_not_replay(name, vec![(0, raw_entry(&entry))]);
    }
}

#[test]
fn descriptors() {
    let image = Image::new(&single());
    let (bat, page) = (image.at.bat_offset, vec![0; 4096]);
    let data = |offset, sequence| Descriptor::Data { offset, page: page.clone(), sequence };
    let cases = [
        ("data at no page", data(bat + 512, None)),
        ("data of another sequence", data(bat + 8192, Some(6))),
        ("zeros at no page", Descriptor::zero(bat + 8192 + 8, 4096)),
        ("zeros of no whole pages", Descriptor::zero(bat + 8192, 4097)),
        (
            "zeros of another sequence",
            Descriptor::Zero { offset: bat + 8192, length: 4096, sequence: Some(8) },
        ),
    ];
    for (name, descriptor) in cases {
        let mut entry = right(&image);
        entry.descriptors.push(descriptor);
        must_not_replay(name, vec![(0, raw_entry(&entry))]);
    }
}

#[test]
fn bytes_of_an_entry() {
    let cases: [(&str, Edit<Vec<u8>>); 6] = [
        ("signature", |b| b[..4].copy_from_slice(b"eglo")),
        ("a descriptor's signature", |b| b[64..68].copy_from_slice(b"desk")),
        ("the data's signature", |b| b[4096..4100].copy_from_slice(b"atad")),
        ("the data's sequence, high", |b| b[4100] = 1),
        ("the data's sequence, low", |b| b[8188] = 1),
        ("too short for its data", |b| {
            (b.truncate(4096), b[8..12].copy_from_slice(&4096_u32.to_le_bytes())).1
        }),
    ];
    let image = Image::new(&single());
    for (name, edit) in cases {
        let mut bytes = raw_entry(&right(&image));
        edit(&mut bytes);
        seal(&mut bytes);
        must_not_replay(name, vec![(0, bytes)]);
    }
    for at in [5, 30, 100, 5000, 8191] {
        let mut bytes = raw_entry(&right(&image));
        bytes[at] ^= 0x10;
        must_not_replay("a flipped bit", vec![(0, bytes)]);
    }
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
    must_refuse(ask_single(cut), CUT_SHORT, DISK, &["0x700000", "0x600000"]);
}
