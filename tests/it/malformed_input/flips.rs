//! Flips every byte of what a query reads: where a checksum covers it, the answer is an error,
//! the same, or larger; elsewhere it may be another one, and the query ends without a panic.

use super::bounds::{Question, TIME};
use crate::common::image::Image;
use crate::common::memory::{MemoryStorage, Patched, WithFile};
use crate::common::ranges;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use uuid::Uuid;
use vhdx_rct::{Baseline, ByteRange, Error, RctId};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::{Branch, Checksum, HEADERS, RctBuilder};
use vhdx_rct_fixtures::vhdx::{
    Block, DirtyLog, HeaderPlan, KB, LogPlan, MB, ParentLocator, Target, VhdxBuilder, ids,
};

const CHILD: &str = "/disks/child.avhdx";
const BASE: &str = "/disks/base.vhdx";

/// A chain of which one file is damaged byte by byte.
struct Victim {
    files: MemoryStorage,
    path: &'static str,
    bytes: Arc<Vec<u8>>,
    since: Baseline,
    /// The ranges that every answer must contain.
    expected: Vec<ByteRange>,
}

/// The permitted effects of a flip.
#[derive(Clone, Copy, PartialEq)]
enum Allowed {
    /// An error, or an answer with every range of the right one.
    Superset,
    /// Anything that ends.
    Anything,
}

impl Victim {
    fn new(
        files: MemoryStorage,
        path: &'static str,
        bytes: Vec<u8>,
        since: Baseline,
        expected: &[Range<u64>],
    ) -> Self {
        let victim =
            Victim { files, path, bytes: Arc::new(bytes), since, expected: ranges(expected) };
        assert_eq!(victim.ask(Patched::new(&victim.bytes)).unwrap(), victim.expected);
        victim
    }

    fn ask(&self, damaged: Patched) -> Result<Vec<ByteRange>, Error> {
        let mut files = self.files.clone();
        files.insert(self.path, Arc::new(damaged));
        Ok(Question::within(files, CHILD, self.since.clone()).ask()?.ranges)
    }

    /// The problem with one flip, if there is one.
    fn flip(&self, at: u64, mask: u8, allowed: Allowed) -> Option<String> {
        let byte = self.bytes[at as usize] ^ mask;
        let damaged = Patched::new(&self.bytes).with(at, [byte]);
        match catch_unwind(AssertUnwindSafe(|| self.ask(damaged))) {
            Err(_) => Some("panicked".into()),
            Ok(Err(_)) => None,
            Ok(Ok(found)) if allowed == Allowed::Anything || covers(&found, &self.expected) => None,
            Ok(Ok(found)) => Some(format!("{found:?}")),
        }
    }

    /// Flips bytes under each mask on a thread; none may take longer than [`TIME`].
    fn walk(self, places: impl IntoIterator<Item = Range<u64>>, masks: &[u8], allowed: Allowed) {
        let places: Vec<u64> = places.into_iter().flatten().collect();
        let total = places.len() * masks.len();
        let masks = masks.to_vec();
        let at = Arc::new(AtomicU64::new(0));
        let (sender, result) = mpsc::channel();
        let reached = at.clone();
        thread::spawn(move || {
            for place in places {
                reached.store(place, Ordering::Relaxed);
                for &mask in &masks {
                    let problem = self.flip(place, mask, allowed);
                    let problem = problem.map(|what| format!("{place:#x} ^ {mask:#04x}: {what}"));
                    if sender.send(problem).is_err() {
                        return;
                    }
                }
            }
        });
        let mut problems = Vec::new();
        for _ in 0..total {
            match result.recv_timeout(TIME) {
                Ok(problem) => problems.extend(problem),
                Err(_) => panic!("hangs at {:#x}", at.load(Ordering::Relaxed)),
            }
        }
        let some = problems.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
        assert!(problems.is_empty(), "{} of {total} flips:\n{some}", problems.len());
    }
}

/// Returns true if each of `expected` lies inside one of `found`.
fn covers(found: &[ByteRange], expected: &[ByteRange]) -> bool {
    let inside =
        |one: &ByteRange, other: &ByteRange| other.offset <= one.offset && one.end() <= other.end();
    expected.iter().all(|one| found.iter().any(|other| inside(one, other)))
}

/// A few flips of each byte: the lowest bit, one in the middle, all.
const FEW: &[u8] = &[0x01, 0x20, 0xFF];
const ONE: &[u8] = &[0x10];

fn disk(seed: u64) -> VhdxBuilder {
    VhdxBuilder::new(4 * MB)
        .seed(seed)
        .headers(HeaderPlan::Identical)
        .disk_id(Uuid::from_u128(0xD15C))
}

fn base() -> Image {
    Image::new(&disk(1).block(0, Block::Full(Fill(1))).block(3, Block::Full(Fill(1))))
}

fn child(base: &Image, log: LogPlan) -> Image {
    let locator = ParentLocator::new(base.at.data_write_guid).relative(r".\base.vhdx");
    let partial = Block::Partial { sectors: vec![8..24, 100..101], fill: Fill(2) };
    let child = disk(2).parent(locator).block(0, partial).block(1, Block::Zero { anchor: None });
    Image::new(&child.block(2, Block::Full(Fill(3))).log(log))
}

const CHANGES: [Range<u64>; 3] = [4096..12288, 51200..51712, MB..3 * MB];

/// The child is damaged, and asked for what changed since its base.
fn damaged_child(log: LogPlan) -> (Victim, Image) {
    let base = base();
    let child = child(&base, log);
    let files = MemoryStorage::new().with(BASE, base.bytes);
    (Victim::new(files, CHILD, child.bytes.clone(), Baseline::File(BASE.into()), &CHANGES), child)
}

/// The base is damaged, and all that the chain holds is asked for.
fn damaged_base() -> (Victim, Image) {
    let base = base();
    let files = MemoryStorage::new().with(CHILD, child(&base, LogPlan::Clean).bytes);
    let allocated = [0..MB, 2 * MB..4 * MB];
    (Victim::new(files, BASE, base.bytes.clone(), Baseline::Allocated, &allocated), base)
}

fn headers(image: &Image) -> Vec<Range<u64>> {
    let mut places = vec![0..8, 8..64];
    places.extend(image.at.header_offsets.map(|at| at..at + 4 * KB));
    places
}

#[test]
fn headers_of_a_child() {
    let (victim, child) = damaged_child(LogPlan::Clean);
    victim.walk(headers(&child), FEW, Allowed::Superset);
}

#[test]
fn headers_of_a_base() {
    let (victim, base) = damaged_base();
    victim.walk(headers(&base), FEW, Allowed::Superset);
}

/// The table in use, entries and all: with the other copy gone, a flip is an error.
#[test]
fn region_tables() {
    for copy in [0, 1] {
        let (mut victim, child) = damaged_child(LogPlan::Clean);
        let table = child.at.region_table_offsets[copy];
        let other = child.at.region_table_offsets[1 - copy] as usize;
        Arc::get_mut(&mut victim.bytes).unwrap()[other] ^= 1;
        let entries = table..table + 128;
        victim.walk(
            [entries, table + 128 + copy as u64..table + 64 * KB].into_iter().enumerate().flat_map(
                |(i, range)| range.step_by(if i == 0 { 1 } else { 5 }).map(|at| at..at + 1),
            ),
            FEW,
            Allowed::Superset,
        );
    }
}

#[test]
fn region_tables_that_back_each_other() {
    let (victim, child) = damaged_child(LogPlan::Clean);
    let places = child.at.region_table_offsets.map(|at| at..at + 112);
    victim.walk(places, FEW, Allowed::Superset);
}

/// No checksum covers what follows; a flip of the disk's size is another right answer.
fn metadata(image: &Image) -> Vec<Range<u64>> {
    let table = image.at.metadata_offset;
    let mut places = vec![table..table + 32 * 8, table + 4096..table + 4096 + 64];
    places.extend(image.at.metadata_items.values().map(|&(at, length)| at..at + length));
    places
}

const ALL_BITS: &[u8] = &[0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFF];

#[test]
fn metadata_of_both() {
    let (victim, child) = damaged_child(LogPlan::Clean);
    victim.walk(metadata(&child), ALL_BITS, Allowed::Anything);
    let (victim, base) = damaged_base();
    victim.walk(metadata(&base), ALL_BITS, Allowed::Anything);
}

/// Flips of identity are errors even where no checksum covers it: of the disk's id, and of
/// the locator's linkage.
#[test]
fn metadata_that_is_compared() {
    let (victim, child) = damaged_child(LogPlan::Clean);
    let (id, _) = child.at.metadata_items[&ids::VIRTUAL_DISK_ID];
    let (locator, length) = child.at.metadata_items[&ids::PARENT_LOCATOR];
    victim.walk([id..id + 16, locator..locator + length], ALL_BITS, Allowed::Superset);
    let (victim, base) = damaged_base();
    let (id, _) = base.at.metadata_items[&ids::VIRTUAL_DISK_ID];
    victim.walk([id..id + 16], ALL_BITS, Allowed::Superset);
}

#[test]
fn bats_and_bitmaps() {
    let (victim, child) = damaged_child(LogPlan::Clean);
    let (bat, bitmap) = (child.at.bat_offset, child.at.bitmap[&0]);
    let bitmap_entry = child.at.bitmap_entry_offset(0);
    let places = [bat..bat + 40, bitmap_entry..bitmap_entry + 8, bitmap..bitmap + 1024];
    victim.walk(places, ALL_BITS, Allowed::Anything);
    let (victim, base) = damaged_base();
    let bat = base.at.bat_offset;
    victim.walk([bat..bat + 40], ALL_BITS, Allowed::Anything);
}

/// Everything that can go through the log does. An entry that does not hold any more is as
/// good as none, and with a single one that leaves nothing to replay.
fn dirty() -> DirtyLog {
    let targets = vec![Target::Bat, Target::Metadata, Target::Bitmaps, Target::RegionTables];
    DirtyLog { targets, ..DirtyLog::default() }
}

#[test]
fn a_log_of_one_entry() {
    let (victim, child) = damaged_child(LogPlan::Dirty(dirty()));
    let (start, length) = child.at.log_entries[0];
    let log = child.at.log_offset;
    let sectors = (log + start..log + start + length).step_by(4096);
    // Every byte of the descriptors, both ends of each sector, and some between.
    let ends = sectors.flat_map(|at| [at..at + 16, at + 4080..at + 4096]);
    let between = (log + start..log + start + length).step_by(61).map(|at| at..at + 1);
    let descriptors = log + start..log + start + 4096;
    let places = std::iter::once(descriptors).chain(ends).chain(between);
    victim.walk(places, ONE, Allowed::Superset);
}

/// A damaged head is the same as one that was not written to its end, so the answer may be
/// that of the entry before.
#[test]
fn a_log_of_three_entries() {
    let log = DirtyLog { entries: 3, torn: true, older: true, ..dirty() };
    let (victim, child) = damaged_child(LogPlan::Dirty(log));
    let log = child.at.log_offset;
    let headers = child.at.log_entries.iter().map(|&(at, _)| log + at..log + at + 128);
    victim.walk(headers, ALL_BITS, Allowed::Anything);
}

const BRANCH: Uuid = Uuid::from_u128(0xB);

/// A table with numbers for units, in which the newest id has this number.
fn table(
    newest: u32,
    units: &[(Range<u64>, u32)],
    checksum: Checksum,
) -> (Vec<u8>, Vec<Range<u64>>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table");
    let branches = [(Uuid::from_u128(0xA), 0), (BRANCH, 3)];
    let branches = branches.map(|(guid, first)| Branch { guid, first, limit: u32::MAX });
    let mut builder =
        RctBuilder::new(4 * MB).branches(branches.into(), newest).header_checksum(checksum);
    for (range, number) in units {
        builder.set(range.clone(), *number);
    }
    let placement = builder.write(&path).unwrap();
    let mut pages = vec![0x9000..0xA000];
    pages.extend(placement.sequence_pages.values().map(|&page| page..page + 4096));
    (std::fs::read(&path).unwrap(), pages)
}

fn table_of(disk: &str) -> &'static str {
    if disk == CHILD { "/disks/child.avhdx.rct" } else { "/disks/base.vhdx.rct" }
}

/// The child alone resolves the id, and the base's table is its witness; one of the two tables
/// is damaged.
fn damaged_table(disk: &str, checksum: Checksum) -> (Victim, Vec<Range<u64>>) {
    let table = |disk: &str| match disk {
        CHILD => table(7, &[(0..4, 3), (64..192, 3), (0..1, 8), (130..140, 8)], checksum),
        _ => table(5, &[(200..201, 4), (210..220, 6)], checksum),
    };
    let base = base();
    let other = if disk == CHILD { BASE } else { CHILD };
    let files = MemoryStorage::new()
        .with(CHILD, child(&base, LogPlan::Clean).bytes)
        .with(BASE, base.bytes)
        .with(table_of(other), table(other).0);
    let (bytes, pages) = table(disk);
    let zero = MB..2 * MB;
    let changes = [0..1 << 14, zero, 130 << 14..140 << 14, 210 << 14..220 << 14];
    let since = Baseline::Rct(RctId::new(BRANCH, 7));
    let mut victim = Victim::new(files, table_of(disk), bytes, since, &changes);
    // Without its table the child answers by its blocks: of unit 0, it holds a part.
    victim.expected[0] = (4096..12288).into();
    (victim, pages)
}

#[test]
fn pages_of_a_table() {
    for disk in [CHILD, BASE] {
        let (victim, pages) = damaged_table(disk, Checksum::At4From8);
        assert_eq!(pages.len(), 2);
        victim.walk(pages, ONE, Allowed::Superset);
    }
}

/// The copies are the same; a damaged one gives way to the other.
#[test]
fn headers_of_a_table() {
    for disk in [CHILD, BASE] {
        let (victim, _) = damaged_table(disk, Checksum::At4From8Whole);
        let fields = HEADERS.map(|at| at..at + 0x80);
        let history = HEADERS.map(|at| at + 0x1000..at + 0x1000 + 24 * 3);
        victim.walk(fields.into_iter().chain(history), FEW, Allowed::Superset);
        let (victim, _) = damaged_table(disk, Checksum::At4From8Whole);
        let rest = HEADERS.map(|at| at + 0x80..at + 0x4000).into_iter().flatten().step_by(7);
        victim.walk(rest.map(|at| at..at + 1), ONE, Allowed::Superset);
    }
}

/// Where the checksum covers the header's first page only, nothing covers the history. A
/// table that is asked alone is safe even then: it knows the id, or it refuses.
#[test]
fn a_history_without_checksum() {
    let base = base();
    let disk = MemoryStorage::new().with(CHILD, base.bytes);
    let (bytes, _) = table(5, &[(10..20, 6), (200..201, 6)], Checksum::At4From8);
    let changes = [10 << 14..20 << 14, 200 << 14..201 << 14];
    let since = Baseline::Rct(RctId::new(BRANCH, 4));
    let victim = Victim::new(disk, table_of(CHILD), bytes, since, &changes);
    let history = HEADERS.map(|at| at + 0x1000..at + 0x1000 + 24 * 3);
    victim.walk(history, ALL_BITS, Allowed::Superset);
}

/// A parent whose damaged history does not begin the child's any more is no witness.
#[test]
fn a_history_without_checksum_in_a_chain() {
    for disk in [CHILD, BASE] {
        let (victim, _) = damaged_table(disk, Checksum::At4From8);
        let history = HEADERS.map(|at| at + 0x1000..at + 0x1000 + 24 * 3);
        victim.walk(history, ALL_BITS, Allowed::Superset);
    }
}
