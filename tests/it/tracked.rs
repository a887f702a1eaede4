//! Disks with change tracking: answers since an RCT id against the builder's record, and refused
//! tables.

use crate::common::faulty::Faulty;
use crate::common::{ranges, seeds};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vhdx_rct::source::LocalStorage;
use vhdx_rct::{
    Baseline, ByteRange, ChangeQuery, Disk, Error, OpenOptions, ReturnValue, VirtualDiskChanges,
};
use vhdx_rct_fixtures::history::History;
use vhdx_rct_fixtures::ranges::{clip, coalesce};
use vhdx_rct_fixtures::rct::{
    Checksum, Convention, HEADERS, HeaderPlan, RctBuilder, Tracked, Until, fix_checksum, id_text,
    patch, read_at,
};
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::vhdx::{DirtyLog, LogPlan, VhdxBuilder};

fn baseline(id: (uuid::Uuid, u32)) -> Baseline {
    id_text(id.0, id.1).parse().unwrap()
}

fn since(path: &Path, id: (uuid::Uuid, u32)) -> ChangeQuery {
    Disk::open(path).unwrap().changes(baseline(id))
}

#[test]
fn every_created_id_matches_the_record() {
    let seeds = seeds(40, 320);
    let (mut answers, all) = (0, seeds.end);
    for seed in seeds {
        let folder = tempfile::tempdir().unwrap();
        let history = History::random(folder.path(), seed).unwrap();
        let leaf = history.files.last().unwrap();
        let mut rng = Rng::new(seed);
        for (id, expected) in &history.created {
            let answer = since(leaf, *id).collect().unwrap();
            assert_eq!(answer.ranges, ranges(expected), "seed {seed}, {}", id_text(id.0, id.1));
            let cut = rng.below(history.size + 1);
            for region in [0..cut, cut..history.size] {
                let part = since(leaf, *id).region(region.clone()).collect().unwrap();
                let clipped = coalesce(expected.iter().map(|range| clip(range, &region)).collect());
                assert_eq!(part.ranges, ranges(&clipped), "seed {seed}, {region:?}");
            }
            answers += 1;
        }
    }
    assert!(answers > all * 3, "only {answers} ids were sealed");
}

#[test]
fn resuming_after_the_range_limit_loses_nothing() {
    for seed in seeds(12, 40) {
        let folder = tempfile::tempdir().unwrap();
        let history = History::random(folder.path(), seed).unwrap();
        let leaf = history.files.last().unwrap();
        for (id, expected) in &history.created {
            let (mut joined, mut at) = (Vec::new(), 0);
            while at < history.size {
                let part = since(leaf, *id).region(at..).max_ranges(2).collect().unwrap();
                joined.extend(part.ranges);
                at += part.processed_byte_length;
            }
            assert_eq!(joined, ranges(expected), "seed {seed}");
        }
    }
}

#[test]
fn known_ids_are_the_created_ids() {
    for seed in seeds(40, 320) {
        let folder = tempfile::tempdir().unwrap();
        let history = History::random(folder.path(), seed).unwrap();
        let known = Disk::open(history.files.last().unwrap()).unwrap().known_ids();
        let mut texts: Vec<String> =
            known.iter().flat_map(|ids| ids.ids()).map(|id| id.to_string()).collect();
        let mut expected: Vec<String> =
            history.created.iter().map(|((g, n), _)| id_text(*g, *n)).collect();
        texts.sort();
        expected.sort();
        assert_eq!(texts, expected, "seed {seed}");
    }
}

/// A disk of this size without any block, and the table that `tracked` leaves.
fn tracked_disk(folder: &Path, size: u64, table: &RctBuilder) -> PathBuf {
    let path = folder.join("disk.vhdx");
    VhdxBuilder::new(size).block_size(32 << 20).write(&path).unwrap();
    table.write(folder.join("disk.vhdx.rct")).unwrap();
    path
}

fn refusal(query: ChangeQuery) -> (ReturnValue, Option<u32>, Error) {
    let error = query.collect().unwrap_err();
    (error.return_value(), error.win32_code(), error)
}

#[test]
fn rejects_unreliable_tables() {
    const SIZE: u64 = 100 << 20;
    let folder = tempfile::tempdir().unwrap();
    let mut tracked = Tracked::new(SIZE, 1);
    let id = tracked.create_id();
    tracked.write(5 << 20..6 << 20);
    let disk = tracked_disk(folder.path(), SIZE, &tracked.builder());
    let table = folder.path().join("disk.vhdx.rct");
    assert_eq!(since(&disk, id).collect().unwrap().ranges, ranges(&[5 << 20..6 << 20]));

    // Another size of disk.
    tracked.builder().units(SIZE / (16 << 10) + 1).write(&table).unwrap();
    assert!(matches!(refusal(since(&disk, id)), (ReturnValue::InvalidState, Some(0xC03A001C), _)));

    // An id that was never created: another branch, or a future number.
    tracked.builder().write(&table).unwrap();
    for unknown in [(uuid::Uuid::from_u128(9), id.1), (id.0, id.1 + 1)] {
        let (code, win32, error) = refusal(since(&disk, unknown));
        assert_eq!((code, win32), (ReturnValue::InvalidState, Some(0xC03A0030)));
        assert!(
            error.to_string().contains(&id_text(id.0, id.1)),
            "names the newest known id: {error}"
        );
    }

    // Cut short: inside the offset table.
    fs::OpenOptions::new().write(true).open(&table).unwrap().set_len(0x9000 + 100).unwrap();
    assert!(matches!(refusal(since(&disk, id)), (ReturnValue::Failed, Some(0xC03A0013), _)));

    // Neither header valid.
    let broken = tracked.builder().headers(HeaderPlan::BothBroken);
    broken.write(&table).unwrap();
    let (code, _, error) = refusal(since(&disk, id));
    assert_eq!(code, ReturnValue::InvalidState);
    assert!(error.to_string().contains("inspect"), "says what to do: {error}");

    // No table at all.
    fs::remove_file(&table).unwrap();
    assert!(matches!(refusal(since(&disk, id)), (ReturnValue::InvalidState, Some(0xC03A002A), _)));
}

#[test]
fn rejects_an_unclean_disk_unless_allowed() {
    const SIZE: u64 = 64 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhdx");
    VhdxBuilder::new(SIZE).log(LogPlan::Dirty(DirtyLog::default())).write(&path).unwrap();
    let mut tracked = Tracked::new(SIZE, 1);
    let id = tracked.create_id();
    tracked.write(0..1);
    tracked.builder().write(folder.path().join("disk.vhdx.rct")).unwrap();
    assert!(matches!(refusal(since(&path, id)), (ReturnValue::InvalidState, Some(0xC03A001C), _)));
    let unclean = OpenOptions::new().allow_unclean(true).open(&path).unwrap();
    assert_eq!(unclean.changes(baseline(id)).collect().unwrap().ranges, ranges(&[0..16 << 10]));
}

/// The bytes of the disk that one sequence page covers.
const CHUNK: u64 = 1021 << 14;

/// The table of three chunks with a sequence page each, in checksums of these conventions.
fn table_of(tracked: &Tracked, headers: Convention, pages: Convention) -> RctBuilder {
    let table = tracked.builder().detailed_all().header_checksum(Checksum::Any(headers));
    table.sequence_checksum(Checksum::Any(pages))
}

fn writes_in_every_chunk(rng: &mut Rng) -> (Tracked, u64) {
    let size = 3 * CHUNK - rng.below(32_000) * 512;
    let mut tracked = Tracked::new(size, rng.next_u64());
    for _ in 0..rng.range(1..6) {
        for chunk in 0..3 {
            let start = chunk * CHUNK + rng.below(size - 2 * CHUNK);
            tracked.write(start..(start + rng.range(1..1 << 20)).min(size));
        }
        if rng.one_in(3) {
            tracked.new_branch()
        } else {
            tracked.create_id()
        };
    }
    (tracked, size)
}

#[test]
fn reads_tables_of_any_checksum_convention() {
    for seed in seeds(12, 600) {
        let rng = &mut Rng::new(seed);
        let (tracked, size) = writes_in_every_chunk(rng);
        let headers = Convention::of_header(rng);
        let pages = Convention::of_sequence_page(rng);
        let folder = tempfile::tempdir().unwrap();
        let mut table = table_of(&tracked, headers, pages);
        // A checksum in the counter's place decides by chance which copy is current.
        if !(8..16).contains(&headers.at) {
            let plans = [HeaderPlan::FirstStale, HeaderPlan::SecondStale, HeaderPlan::FirstBroken];
            table = table.headers(rng.pick(&plans));
        }
        let disk = tracked_disk(folder.path(), size, &table);
        for id in tracked.ids() {
            let answer = since(&disk, id).collect();
            let answer =
                answer.unwrap_or_else(|e| panic!("seed {seed}: {headers:?} {pages:?} {e}"));
            assert_eq!(answer.ranges, ranges(&tracked.changed_since(id)), "seed {seed}");
        }
    }
}

#[test]
fn rejects_pages_of_another_checksum_convention() {
    let mut tried = 0;
    for seed in seeds(12, 400) {
        let rng = &mut Rng::new(seed);
        let (tracked, size) = writes_in_every_chunk(rng);
        let [pages, others] = [(), ()].map(|()| Convention::of_sequence_page(rng));
        let table = table_of(&tracked, Convention::of_header(rng), pages);
        let folder = tempfile::tempdir().unwrap();
        let disk = tracked_disk(folder.path(), size, &table);
        let path = folder.path().join("disk.vhdx.rct");
        let placement = table.write(&path).unwrap();
        let at = placement.sequence_pages[&rng.below(3)];
        // Only the checksum differs: alone, the page would be good.
        fix_checksum(&path, at, Checksum::Any(others)).unwrap();
        if Checksum::Any(pages).holds(&read_at(&path, at, 0x1000).unwrap()) {
            continue;
        }
        let (code, _, error) = refusal(since(&disk, tracked.current_id()));
        assert_eq!(code, ReturnValue::Failed, "seed {seed}: {pages:?}, {others:?}: {error}");
        assert!(error.to_string().contains("checksum of the sequence page"), "{error}");
        tried += 1;
    }
    assert!(tried > 5, "{tried}");
}

/// Of two copies with different conventions, the one with the likelier convention is current,
/// though the other has the greater counter; a convention by which both hold comes first.
#[test]
fn header_copies_have_one_checksum_convention() {
    const SIZE: u64 = 4 << 20;
    let folder = tempfile::tempdir().unwrap();
    let tracked = Tracked::new(SIZE, 1);
    let rare = Convention { at: 0x5C, zeroed: true, until: Until::History, raw: true };
    let rare = Checksum::Any(rare);
    // The second copy is the newer one, and has an unrelated branch.
    let table = tracked.builder().headers(HeaderPlan::FirstBroken).counter(9);
    let disk = tracked_disk(folder.path(), SIZE, &table);
    let path = folder.path().join("disk.vhdx.rct");
    let ask =
        || -> Result<VirtualDiskChanges, Error> { since(&disk, tracked.current_id()).collect() };
    ask().unwrap();
    fix_checksum(&path, HEADERS[1], rare).unwrap();
    fix_checksum(&path, HEADERS[1], Checksum::At4From8).unwrap();
    ask().unwrap();
    // The first copy, a decoy with the greater counter, by the rare convention only.
    fix_checksum(&path, HEADERS[0], rare).unwrap();
    ask().unwrap();
    let found = vhdx_rct::rct::inspect(&path).unwrap();
    let says = |part: &str| found.notes.iter().any(|note| note.contains(part));
    assert!(says("CRC-32C at 0x04 over 0x08..0x1000 holds on header 2 only"), "{found:?}");
    assert!(says(
        "raw CRC-32C at 0x5c over 0x00..the history's end, itself zero holds on header 1"
    ));
    // Both by the rare one: now the decoy is current.
    patch(&path, HEADERS[1] + 4, &[0; 4]).unwrap();
    fix_checksum(&path, HEADERS[1], rare).unwrap();
    assert_eq!(ask().unwrap_err().win32_code(), Some(0xC03A0030));
}

/// Queries with counted reads; returns the ranges and the number of table bytes read.
fn counted(disk: &Path, id: (uuid::Uuid, u32), region: Range<u64>) -> (Vec<ByteRange>, usize) {
    let storage = Faulty::recording(LocalStorage::new());
    let disk = OpenOptions::new().storage(Arc::new(storage.clone())).open(disk).unwrap();
    let answer = disk.changes(baseline(id)).region(region).collect().unwrap();
    let reads = storage.take_reads().into_iter();
    let of_table = reads.filter(|(path, _)| path.extension() == Some("rct".as_ref()));
    (answer.ranges, of_table.flat_map(|(_, reads)| reads).map(|(_, length)| length).sum())
}

#[test]
fn a_query_reads_only_its_part_of_a_large_table() {
    const TB: u64 = 1 << 40;
    const GB: u64 = 1 << 30;
    let folder = tempfile::tempdir().unwrap();
    let mut tracked = Tracked::new(64 * TB, 1);
    let id = tracked.create_id();
    let middle = 32 * TB..32 * TB + GB;
    tracked.write(0..1);
    for step in 0..64 {
        let at = middle.start + step * (16 << 20);
        tracked.write(at..at + (100 << 10));
    }
    let disk = tracked_disk(folder.path(), 64 * TB, &tracked.builder());
    let expected: Vec<_> =
        tracked.changed_since(id).iter().map(|range| clip(range, &middle)).collect();
    let (found, read) = counted(&disk, id, middle.clone());
    assert_eq!(found, ranges(&coalesce(expected)));
    assert!(read < 1 << 20, "{read} bytes of the table were read for 1 GB");
    assert_eq!(counted(&disk, id, middle).1, read, "the same region reads the same bytes");
    // Uniform chunks cost nothing but their entry.
    let (_, untouched) = counted(&disk, id, TB..TB + GB);
    assert!(untouched < 100 << 10, "{untouched} bytes for an untouched gigabyte");
    assert_eq!(since(&disk, id).collect().unwrap().ranges, ranges(&tracked.changed_since(id)));
}

#[test]
fn reads_several_offset_pages_and_partial_last_chunks() {
    let folder = tempfile::tempdir().unwrap();
    // 20 GB needs two offset pages; the last chunk of neither size is full.
    for (size, pages) in [(20 << 30, 2), ((20 << 30) + 512, 2), (127 << 30, 8), (16 << 10, 1)] {
        let mut tracked = Tracked::new(size, 3);
        tracked.write(0..1);
        let id = tracked.create_id();
        let changed = [size - 1..size, size / 2..(size / 2 + (40 << 10)).min(size)];
        changed.iter().for_each(|range| tracked.write(range.clone()));
        let placement = tracked.builder().write(folder.path().join("disk.vhdx.rct")).unwrap();
        assert_eq!(placement.offset_pages.len(), pages, "{size}");
        let disk = tracked_disk(folder.path(), size, &tracked.builder());
        assert_eq!(
            since(&disk, id).collect().unwrap().ranges,
            ranges(&tracked.changed_since(id)),
            "{size}"
        );
    }
}

/// The size was published for the new table of a real disk of 127 GiB.
#[test]
fn new_table_of_127_gib_has_the_size_of_a_real_one() {
    let folder = tempfile::tempdir().unwrap();
    let placement = RctBuilder::new(127 << 30).write(folder.path().join("x.rct")).unwrap();
    assert_eq!(placement.file_len, 69_632);
}
