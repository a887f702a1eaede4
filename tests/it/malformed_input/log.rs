//! Logs built to burn time and memory, or to replay what is not theirs.

use super::bounds::*;
use super::files::{allocated, check_source, disk, query};
use crate::common::image::Image;
use crate::common::memory::Patched;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vhdx_rct::source::Source;
use vhdx_rct::{ByteRange, Error};
use vhdx_rct_fixtures::vhdx::log::{Descriptor, RawEntry, raw_entry};
use vhdx_rct_fixtures::vhdx::{LogPlan, MB, store_crc};

/// An entry that changes nothing: zeros where the BAT has zeros.
fn entry(image: &Image) -> RawEntry {
    RawEntry {
        sequence: 7,
        log_guid: image.at.log_guid,
        flushed_file_offset: image.bytes.len() as u64,
        last_file_offset: image.bytes.len() as u64,
        descriptors: vec![Descriptor::zero(image.at.bat_offset + 8192, 4096)],
        ..RawEntry::default()
    }
}

fn with_log(parts: Vec<(u64, Vec<u8>)>) -> Image {
    Image::new(&disk().log(LogPlan::Raw(parts)))
}

fn ask(name: &str, parts: Vec<(u64, Vec<u8>)>) -> Result<Vec<ByteRange>, Error> {
    let source = Patched::new(&Arc::new(with_log(parts).bytes));
    query(source).bounded(name, MEMORY).map(|answer| answer.ranges)
}

#[test]
fn counts_and_lengths() {
    let image = Image::new(&disk());
    type Edit = fn(&mut RawEntry);
    let cases: [(&str, Edit); 5] = [
        ("2^32 - 1 descriptors", |e| e.descriptor_count = Some(u32::MAX)),
        ("2^31 descriptors", |e| e.descriptor_count = Some(1 << 31)),
        ("descriptors up to the log's end", |e| e.descriptor_count = Some(32766)),
        ("an entry of no length", |e| e.entry_length = Some(0)),
        ("an entry of 2^32 - 4096 bytes", |e| e.entry_length = Some(0_u32.wrapping_sub(4096))),
    ];
    for (name, edit) in cases {
        let mut raw = entry(&image);
        edit(&mut raw);
        must_fail(name, ask(name, vec![(0, raw_entry(&raw))]), CORRUPT);
    }
}

#[test]
fn zero_descriptors_of_maximum_length() {
    let image = Image::new(&disk());
    let free = image.bytes.len() as u64;
    let cases = [
        ("over everything", Descriptor::zero(0, 1 << 62), 1 << 62, Err(CORRUPT)),
        ("behind the file's end", Descriptor::zero(4 * MB, 1 << 62), free, Err(CORRUPT)),
        ("over the top", Descriptor::zero(0_u64.wrapping_sub(4096), 8192), 1 << 63, Err(CORRUPT)),
        ("from 2^63 on", Descriptor::zero(1 << 63, 1 << 63), 1 << 63, Err(CORRUPT)),
        ("where nothing is", Descriptor::zero(free, 1 << 62), 1 << 63, Ok(allocated())),
        ("over the content", Descriptor::zero(4 * MB, 1 << 62), 1 << 63, Ok(allocated())),
        ("none at all", Descriptor::zero(4 * MB, 0), free, Ok(allocated())),
        ("none at all, far away", Descriptor::zero(1 << 62, 0), free, Ok(allocated())),
        ("up to the top", Descriptor::zero(4 * MB, 1 << 62), u64::MAX, Ok(allocated())),
    ];
    for (name, descriptor, last_file_offset, expected) in cases {
        let raw = RawEntry { last_file_offset, descriptors: vec![descriptor], ..entry(&image) };
        let answer = ask(name, vec![(0, raw_entry(&raw))]);
        match expected {
            Ok(ranges) => assert_eq!(answer.unwrap(), ranges, "{name}"),
            Err(code) => must_fail(name, answer, code),
        }
    }
}

/// Updates of what must not be updated: the replayed page is junk wherever it is looked at.
#[test]
fn updates_of_the_structures_themselves() {
    let image = Image::new(&disk());
    let junk = |offset| vec![Descriptor::data(offset, vec![0xEE; 4096])];
    let cases = [
        ("the region tables", [junk(192 << 10), junk(256 << 10)].concat(), CORRUPT),
        ("the metadata", junk(image.at.metadata_offset), METADATA_CORRUPT),
        ("the BAT", junk(image.at.bat_offset), BAT_CORRUPT),
    ];
    for (name, descriptors, code) in cases {
        let raw = RawEntry { descriptors, ..entry(&image) };
        must_fail(name, ask(name, vec![(0, raw_entry(&raw))]), code);
    }
    // The log itself was read before; the headers are compared at the end.
    for offset in [0, 64 << 10, 128 << 10, image.at.log_offset, image.at.log_offset + 4096] {
        let raw = RawEntry { descriptors: junk(offset), ..entry(&image) };
        if let Ok(ranges) = ask("an update", vec![(0, raw_entry(&raw))]) {
            assert_eq!(ranges, allocated(), "{offset:#x}");
        }
    }
}

/// The ring's entries follow one another for ever: the last one ends where the first begins.
#[test]
fn entries_that_form_a_cycle() {
    let image = Image::new(&disk());
    let ring = |sequence: fn(u64) -> u64, tail: fn(u64) -> u32| {
        let one = |i| RawEntry { sequence: sequence(i), tail: tail(i), ..entry(&image) };
        (0..256).map(|i| (i * 4096, raw_entry(&one(i)))).collect::<Vec<_>>()
    };
    let rising = ask("rising", ring(|i| i + 1, |_| 0));
    assert_eq!(rising.unwrap(), allocated());
    let from_the_middle = ask("from the middle", ring(|i| (i + 128) % 256 + 1, |_| 128 * 4096));
    assert_eq!(from_the_middle.unwrap(), allocated());
    let up_to_the_top = ask("up to the top", ring(|i| u64::MAX - 255 + i, |_| 0));
    assert_eq!(up_to_the_top.unwrap(), allocated());
    // Each is complete in itself, and any of them may be the one to replay.
    must_fail("alike", ask("alike", ring(|_| 7, |i| i as u32 * 4096)), CORRUPT);
    must_fail(
        "falling",
        ask("falling", ring(|i| 256 - i, |i| (i as u32 + 1) % 256 * 4096)),
        CORRUPT,
    );
}

/// One entry as long as the ring is its own successor.
#[test]
fn entry_that_is_its_own_successor() {
    let image = Image::new(&disk());
    let zero = Descriptor::zero(image.at.bat_offset + 8192, 4096);
    let raw = RawEntry { descriptors: vec![zero; 32_766], ..entry(&image) };
    assert_eq!(raw.length(), MB);
    assert_eq!(ask("the whole ring", vec![(0, raw_entry(&raw))]).unwrap(), allocated());
    let turned = RawEntry { tail: 512 << 10, ..raw };
    let answer = ask("the whole ring, turned", vec![(512 << 10, raw_entry(&turned))]);
    assert_eq!(answer.unwrap(), allocated());
}

/// Each sector begins an entry that claims to fill the ring: checking them all would read the
/// log once for each.
#[test]
fn entries_inside_one_another() {
    for length in [MB, 512 << 10, 128 << 10] {
        let image = Image::new(&disk());
        let one =
            |i| RawEntry { entry_length: Some(length as u32), sequence: i + 1, ..entry(&image) };
        let parts = (0..256).map(|i| (i * 4096, raw_entry(&one(i)))).collect();
        must_fail("inside one another", ask("inside one another", parts), CORRUPT);
    }
}

/// Counts the bytes that are read.
struct Counted(Patched, Arc<AtomicU64>);

impl Source for Counted {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.1.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.0.read_exact_at(buffer, offset)
    }
}

/// The same in a log of a gigabyte, in a file that is hardly there: it is read a few times,
/// not once for each entry.
#[test]
fn a_log_of_a_gigabyte() {
    const LENGTH: u64 = 1 << 30;
    let image = Image::new(&disk());
    let (guid, free) = (image.at.log_guid, image.bytes.len() as u64);
    let mut dirty = image.clone();
    dirty.headers(48, guid.to_bytes_le());
    dirty.headers(68, (LENGTH as u32).to_le_bytes());
    dirty.headers(72, free.to_le_bytes());
    let empty = Patched::new(&Arc::new(dirty.bytes)).long(free + LENGTH);
    let mut raw = RawEntry { entry_length: Some(LENGTH as u32), ..entry(&image) };
    let full = (0..100).fold(empty.clone(), |log, i| {
        raw.sequence = i + 1;
        log.with(free + i * 4096, raw_entry(&raw))
    });
    for (name, source) in [("empty", empty), ("full", full)] {
        let read = Arc::new(AtomicU64::new(0));
        let source = Counted(source, read.clone());
        must_fail(name, query(source).bounded(name, MEMORY), CORRUPT);
        let read = read.load(Ordering::Relaxed);
        assert!(read < 4 * LENGTH, "{name}: {read} bytes read");
    }
}

/// As many ignored entries as fit into a log of 64 MB, beside as many active ones.
#[test]
fn half_a_log_after_a_torn_entry() {
    let length = 64 * MB;
    let image = Image::new(&disk().log_length(length));
    let half = length / 4096 / 2;
    let one = |i: u64| {
        // The torn one takes a sector.
        let tail = 4096 * (i.max(half) - half) as u32;
        (i * 4096, raw_entry(&RawEntry { sequence: i + 1, tail, ..entry(&image) }))
    };
    let parts = (0..2 * half).filter(|&i| i != half).map(one).collect();
    let log = LogPlan::Raw(parts);
    let bytes = Arc::new(Image::new(&disk().log_length(length).log(log)).bytes);
    let report = check_source(Patched::new(&bytes), 2 * MEMORY).unwrap();
    assert_eq!((report.total, report.findings.len()), (half - 1, 100));
}

/// Descriptors that cut one run of zeros into as many pieces as there is room for.
#[test]
fn a_replay_in_many_pieces() {
    let image = Image::new(&disk().log_length(8 * MB));
    let free = image.bytes.len() as u64;
    let descriptors = (0..200_000).map(|i| Descriptor::zero(free + i * 8192, 4096)).collect();
    let raw = RawEntry { descriptors, last_file_offset: 1 << 40, ..entry(&image) };
    let log = LogPlan::Raw(vec![(0, raw_entry(&raw))]);
    let source = Patched::new(&Arc::new(Image::new(&disk().log_length(8 * MB).log(log)).bytes));
    let tight = source.clone();
    let answer = query(source).bounded("pieces", 4 * MEMORY);
    assert_eq!(answer.unwrap().ranges, allocated());
    let tight = query(tight).memory_budget(MEMORY / 2);
    must_fail("pieces", tight.bounded("pieces", MEMORY), OUT_OF_MEMORY);
}

/// Junk that begins like an entry, with a right checksum.
#[test]
fn junk_with_a_right_checksum() {
    let image = Image::new(&disk());
    for fill in [0x00, 0x01, 0x7F, 0x80, 0xFF] {
        let mut bytes = vec![fill; 8192];
        bytes[..4].copy_from_slice(b"loge");
        bytes[8..12].copy_from_slice(&8192_u32.to_le_bytes());
        bytes[12..16].fill(0);
        bytes[32..48].copy_from_slice(&image.at.log_guid.to_bytes_le());
        store_crc(&mut bytes);
        must_fail("junk", ask("junk", vec![(0, bytes)]), CORRUPT);
    }
}
