//! Logs that would take unbounded time or memory, or replay structures of other logs.

use super::bounds::*;
use super::files::{check_source, query};
use std::sync::atomic::{AtomicU64, Ordering};
use vhdx_rct_fixtures::vhdx::log::{Descriptor, RawEntry, raw_entry};

/// An entry that changes nothing: zeros in place of zeros of the BAT.
fn entry(image: &Image) -> RawEntry {
    image.log_entry(vec![Descriptor::zero(image.at.bat_offset + 8192, 4096)])
}

fn ask(name: &str, parts: Vec<(u64, Vec<u8>)>) -> Result<Vec<ByteRange>, Error> {
    let source = Patched::new(&Arc::new(Image::with_log(parts).bytes));
    query(source).bounded(name, MEMORY).map(|answer| answer.ranges)
}

#[track_caller]
fn must_accept(name: &str, answer: Result<Vec<ByteRange>, Error>) {
    assert_eq!(answer.unwrap_or_else(|error| panic!("{name}: {error}")), single_allocated());
}

#[test]
fn bounds_zero_descriptors_of_maximum_length() {
    let image = Image::new(&single());
    let free = image.bytes.len() as u64;
    let cases = [
        ("over everything", 0, 1 << 62, 1 << 62, false),
        ("after the file's end", 4 * MB, 1 << 62, free, false),
        ("past 2^64", 4096_u64.wrapping_neg(), 8192, 1 << 63, false),
        ("from 2^63 on", 1 << 63, 1 << 63, 1 << 63, false),
        ("after all content", free, 1 << 62, 1 << 63, true),
        ("over the content", 4 * MB, 1 << 62, 1 << 63, true),
        ("empty", 4 * MB, 0, free, true),
        ("empty, far away", 1 << 62, 0, free, true),
        ("in a file of 2^64 - 1 bytes", 4 * MB, 1 << 62, u64::MAX, true),
    ];
    for (name, offset, length, last_file_offset, accepted) in cases {
        let descriptors = vec![Descriptor::zero(offset, length)];
        let raw = RawEntry { last_file_offset, descriptors, ..entry(&image) };
        let answer = ask(name, vec![(0, raw_entry(&raw))]);
        if accepted { must_accept(name, answer) } else { must_fail(name, answer, CORRUPT) }
    }
}

#[test]
fn rejects_replayed_junk_in_structures() {
    let image = Image::new(&single());
    let ask = |name: &str, offsets: &[u64]| {
        let junk = |&offset: &u64| Descriptor::data(offset, vec![0xEE; 4096]);
        let raw = RawEntry { descriptors: offsets.iter().map(junk).collect(), ..entry(&image) };
        ask(name, vec![(0, raw_entry(&raw))])
    };
    let cases: [(_, &[u64], _); 3] = [
        ("the region tables", &[192 << 10, 256 << 10], CORRUPT),
        ("the metadata", &[image.at.metadata_offset], METADATA_CORRUPT),
        ("the BAT", &[image.at.bat_offset], BAT_CORRUPT),
    ];
    for (name, offsets, code) in cases {
        must_fail(name, ask(name, offsets), code);
    }
    // The log itself was read before; the headers are compared at the end.
    for offset in [0, 64 << 10, 128 << 10, image.at.log_offset, image.at.log_offset + 4096] {
        let name = format!("{offset:#x}");
        if let Ok(ranges) = ask(&name, &[offset]) {
            assert_eq!(ranges, single_allocated(), "{name}");
        }
    }
}

/// The last entry in the ring ends at the start of the first.
#[test]
fn bounds_entries_that_form_a_cycle() {
    let image = Image::new(&single());
    let ask_ring = |name: &str, sequence: fn(u64) -> u64, tail: fn(u64) -> u64| {
        let one = |i| {
            let (sequence, tail) = (sequence(i), (tail(i) * 4096) as u32);
            (i * 4096, raw_entry(&RawEntry { sequence, tail, ..entry(&image) }))
        };
        ask(name, (0..256).map(one).collect())
    };
    let accept = |name, sequence, tail| must_accept(name, ask_ring(name, sequence, tail));
    let reject = |name, sequence, tail| must_fail(name, ask_ring(name, sequence, tail), CORRUPT);
    accept("rising", |i| i + 1, |_| 0);
    accept("from the middle", |i| (i + 128) % 256 + 1, |_| 128);
    accept("up to the maximum", |i| u64::MAX - 255 + i, |_| 0);
    // Each is complete in itself, and any of them may be the one to replay.
    reject("all alike", |_| 7, |i| i);
    reject("falling", |i| 256 - i, |i| (i + 1) % 256);
}

/// The entry is as long as the ring.
#[test]
fn replays_an_entry_that_is_its_own_successor() {
    let image = Image::new(&single());
    let zero = Descriptor::zero(image.at.bat_offset + 8192, 4096);
    let raw = RawEntry { descriptors: vec![zero; 32_766], ..entry(&image) };
    assert_eq!(raw.length(), MB);
    for (name, tail) in [("the whole ring", 0), ("from the middle of the ring", 512 << 10)] {
        let raw = RawEntry { tail, ..raw.clone() };
        must_accept(name, ask(name, vec![(tail.into(), raw_entry(&raw))]));
    }
}

/// Each sector begins an entry that claims to fill the ring: checking them all would read the
/// log once for each.
#[test]
fn rejects_entries_inside_one_another() {
    let image = Image::new(&single());
    for length in [MB, 512 << 10, 128 << 10] {
        let entry_length = Some(length as u32);
        let one = |i| RawEntry { entry_length, sequence: i + 1, ..entry(&image) };
        let parts = (0..256).map(|i| (i * 4096, raw_entry(&one(i)))).collect();
        let name = format!("entries of {length} bytes");
        must_fail(&name, ask(&name, parts), CORRUPT);
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

/// The same in a log of 1 GiB: it is read a few times, not once for each entry.
#[test]
fn reads_a_log_of_a_gibibyte_a_few_times() {
    const LENGTH: u64 = 1 << 30;
    let image = Image::new(&single());
    let free = image.bytes.len() as u64;
    let mut dirty = image.clone();
    dirty.headers(48, image.at.log_guid.to_bytes_le());
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

fn source_with_log(disk: impl Fn() -> VhdxBuilder, parts: Vec<(u64, Vec<u8>)>) -> Patched {
    Patched::new(&Arc::new(Image::new(&disk().log(LogPlan::Raw(parts))).bytes))
}

/// Half of a log of 64 MiB is active, and the other half is ignored entries.
#[test]
fn check_bounds_findings_about_entries_after_a_torn_one() {
    let disk = || single().log_length(64 * MB);
    let image = Image::new(&disk());
    let half = 64 * MB / 4096 / 2;
    let one = |i: u64| {
        // The torn one takes a sector.
        let tail = 4096 * (i.max(half) - half) as u32;
        (i * 4096, raw_entry(&RawEntry { sequence: i + 1, tail, ..entry(&image) }))
    };
    let parts = (0..2 * half).filter(|&i| i != half).map(one).collect();
    let report = check_source(source_with_log(disk, parts), 2 * MEMORY).unwrap();
    assert_eq!((report.total, report.findings.len()), (half - 1, 100));
}

/// Descriptors cut one run of zeros into as many pieces as fit.
#[test]
fn bounds_the_memory_of_a_replay_in_many_pieces() {
    let disk = || single().log_length(8 * MB);
    let image = Image::new(&disk());
    let free = image.bytes.len() as u64;
    let descriptors = (0..200_000).map(|i| Descriptor::zero(free + i * 8192, 4096)).collect();
    let raw = RawEntry { descriptors, last_file_offset: 1 << 40, ..entry(&image) };
    let question = query(source_with_log(disk, vec![(0, raw_entry(&raw))]));
    let answer = question.bounded("pieces", 4 * MEMORY);
    assert_eq!(answer.unwrap().ranges, single_allocated());
    let tight = question.memory_budget(MEMORY / 2);
    must_fail("pieces", tight.bounded("pieces", MEMORY), OUT_OF_MEMORY);
}

#[test]
fn rejects_junk_with_a_valid_checksum() {
    let image = Image::new(&single());
    for fill in [0x00, 0x01, 0x7F, 0x80, 0xFF] {
        let mut bytes = vec![fill; 8192];
        bytes[..4].copy_from_slice(b"loge");
        bytes[8..12].copy_from_slice(&8192_u32.to_le_bytes());
        bytes[12..16].fill(0);
        bytes[32..48].copy_from_slice(&image.at.log_guid.to_bytes_le());
        store_crc(&mut bytes);
        let name = format!("{fill:#x}");
        must_fail(&name, ask(&name, vec![(0, bytes)]), CORRUPT);
    }
}
