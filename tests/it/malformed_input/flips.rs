//! Flips every byte that a query reads: if a checksum covers it, the result is an error or an answer
//! with every changed range; otherwise the query ends without a panic.

use super::bounds::{MEMORY, Question, bounded};
use crate::common::prelude::*;
use crate::common::tables::table_bytes;
use vhdx_rct_fixtures::rct::{Branch, Checksum, HEADERS, RctBuilder};
use vhdx_rct_fixtures::testing::seeds;
use vhdx_rct_fixtures::vhdx::Target;

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

    /// Returns the problem with one flip, if there is one.
    fn flip(&self, at: u64, mask: u8, allowed: Allowed) -> Option<String> {
        let byte = self.bytes[at as usize] ^ mask;
        let found = self.ask(Patched::new(&self.bytes).with(at, [byte])).ok()?;
        let right = allowed == Allowed::Anything || covers(&found, &self.expected);
        (!right).then(|| format!("{at:#x} ^ {mask:#04x}: {found:?}"))
    }

    /// Flips each byte under each mask; every third byte unless all seeds are asked for.
    fn walk(
        self,
        places: impl IntoIterator<Item = Range<u64>>,
        masks: &'static [u8],
        allowed: Allowed,
    ) {
        let (victim, mut problems) = (Arc::new(self), Vec::new());
        let step = 3_usize.div_ceil(seeds(1, 3).count());
        for at in places.into_iter().flatten().step_by(step) {
            let (name, victim) = (format!("{} at {at:#x}", victim.path), victim.clone());
            let flip = move |&mask| victim.flip(at, mask, allowed);
            problems.extend(bounded(&name, MEMORY, move || {
                masks.iter().filter_map(flip).collect::<Vec<_>>()
            }));
        }
        let some = problems[..problems.len().min(20)].join("\n");
        assert!(problems.is_empty(), "{} flips of {}:\n{some}", problems.len(), victim.path);
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

/// The child is damaged, and the question is for its changes since its base.
fn damaged_child(log: LogPlan) -> (Victim, Image) {
    let base = base();
    let child = child(&base, log);
    let files = MemoryStorage::new().with(BASE, base.bytes);
    (Victim::new(files, CHILD, child.bytes.clone(), Baseline::File(BASE.into()), &CHANGES), child)
}

/// The base is damaged, and the question is for all allocated ranges.
fn damaged_base() -> (Victim, Image) {
    let base = base();
    let files = MemoryStorage::new().with(CHILD, child(&base, LogPlan::Clean).bytes);
    let allocated = [0..MB, 2 * MB..4 * MB];
    (Victim::new(files, BASE, base.bytes.clone(), Baseline::Allocated, &allocated), base)
}

/// A child whose log is clean, and a base.
fn damaged_disks() -> [(Victim, Image); 2] {
    [damaged_child(LogPlan::Clean), damaged_base()]
}

#[test]
fn flips_in_headers_lose_no_range() {
    for (victim, image) in damaged_disks() {
        let headers = image.at.header_offsets.map(|at| at..at + 4 * KB);
        victim.walk([0..8, 8..64].into_iter().chain(headers), FEW, Allowed::Superset);
    }
}

/// The other copy is invalid, so a flip is an error.
#[test]
fn flips_in_the_only_region_table_lose_no_range() {
    for copy in [0, 1] {
        let (mut victim, child) = damaged_child(LogPlan::Clean);
        let table = child.at.region_table_offsets[copy];
        let other = child.at.region_table_offsets[1 - copy] as usize;
        Arc::get_mut(&mut victim.bytes).unwrap()[other] ^= 1;
        let rest = (table + 128 + copy as u64..table + 64 * KB).step_by(5).map(|at| at..at + 1);
        victim.walk([table..table + 128].into_iter().chain(rest), FEW, Allowed::Superset);
    }
}

#[test]
fn flips_in_one_of_two_region_tables_lose_no_range() {
    let (victim, child) = damaged_child(LogPlan::Clean);
    let places = child.at.region_table_offsets.map(|at| at..at + 112);
    victim.walk(places, FEW, Allowed::Superset);
}

const ALL_BITS: &[u8] = &[0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFF];

/// No checksum covers the metadata: a flip of the disk's size yields another right answer.
#[test]
fn flips_in_metadata_do_not_panic() {
    for (victim, image) in damaged_disks() {
        let table = image.at.metadata_offset;
        let places = [table..table + 32 * 8, table + 4096..table + 4096 + 64];
        let items = image.at.metadata_items.values().map(|&(at, length)| at..at + length);
        victim.walk(places.into_iter().chain(items), ALL_BITS, Allowed::Anything);
    }
}

/// Flips of the disk's id and of the locator's linkage are errors, though no checksum covers them.
#[test]
fn flips_in_compared_metadata_lose_no_range() {
    for (victim, image) in damaged_disks() {
        let items = [ids::VIRTUAL_DISK_ID, ids::PARENT_LOCATOR];
        let items = items.iter().filter_map(|id| image.at.metadata_items.get(id));
        victim.walk(items.map(|&(at, length)| at..at + length), ALL_BITS, Allowed::Superset);
    }
}

#[test]
fn flips_in_bats_and_bitmaps_do_not_panic() {
    for (victim, image) in damaged_disks() {
        let bat = image.at.bat_offset;
        let mut places = vec![bat..bat + 40];
        if let Some(&bitmap) = image.at.bitmap.get(&0) {
            let entry = image.at.bitmap_entry_offset(0);
            places.extend([entry..entry + 8, bitmap..bitmap + 1024]);
        }
        victim.walk(places, ALL_BITS, Allowed::Anything);
    }
}

/// All structures are updated through the log. An invalid entry counts as absent, and without a
/// single valid one there is nothing to replay.
fn dirty() -> DirtyLog {
    let targets = vec![Target::Bat, Target::Metadata, Target::Bitmaps, Target::RegionTables];
    DirtyLog { targets, ..DirtyLog::default() }
}

#[test]
fn flips_in_a_log_of_one_entry_lose_no_range() {
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

/// A damaged head is like a torn one, so the answer may be that of the entry before.
#[test]
fn flips_in_a_log_of_three_entries_do_not_panic() {
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
    let branches = [(Uuid::from_u128(0xA), 0), (BRANCH, 3)];
    let branches = branches.map(|(guid, first)| Branch { guid, first, limit: u32::MAX });
    let table = RctBuilder::new(4 * MB).branches(branches.into(), newest).header_checksum(checksum);
    let with =
        |table: RctBuilder, (range, number): &(Range<_>, _)| table.with(range.clone(), *number);
    let mut pages = vec![0x9000..0xA000];
    let bytes = table_bytes(&units.iter().fold(table, with), |_, placement| {
        pages.extend(placement.sequence_pages.values().map(|&page| page..page + 4096));
    });
    (bytes, pages)
}

fn table_of(disk: &str) -> &'static str {
    if disk == CHILD { "/disks/child.avhdx.rct" } else { "/disks/base.vhdx.rct" }
}

/// Only the child's table holds the id, and the base's table confirms it; one of the two is
/// damaged.
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
fn flips_in_table_pages_lose_no_range() {
    for disk in [CHILD, BASE] {
        let (victim, pages) = damaged_table(disk, Checksum::At4From8);
        assert_eq!(pages.len(), 2);
        victim.walk(pages, ONE, Allowed::Superset);
    }
}

/// The start of the history in both header copies.
fn histories() -> [Range<u64>; 2] {
    HEADERS.map(|at| at + 0x1000..at + 0x1000 + 24 * 3)
}

/// The header copies are identical: the other one replaces a damaged one.
#[test]
fn flips_in_one_of_two_table_headers_lose_no_range() {
    for disk in [CHILD, BASE] {
        let (victim, _) = damaged_table(disk, Checksum::At4From8Whole);
        let fields = HEADERS.map(|at| at..at + 0x80);
        victim.walk(fields.into_iter().chain(histories()), FEW, Allowed::Superset);
        let (victim, _) = damaged_table(disk, Checksum::At4From8Whole);
        let rest = HEADERS.map(|at| at + 0x80..at + 0x4000).into_iter().flatten().step_by(7);
        victim.walk(rest.map(|at| at..at + 1), ONE, Allowed::Superset);
    }
}

/// If the checksum covers only the header's first page, nothing covers the history. A single table
/// is safe even then: it contains the id, or the question is refused.
#[test]
fn flips_in_an_unprotected_history_lose_no_range() {
    let disk = MemoryStorage::new().with(CHILD, base().bytes);
    let (bytes, _) = table(5, &[(10..20, 6), (200..201, 6)], Checksum::At4From8);
    let changes = [10 << 14..20 << 14, 200 << 14..201 << 14];
    let since = Baseline::Rct(RctId::new(BRANCH, 4));
    let victim = Victim::new(disk, table_of(CHILD), bytes, since, &changes);
    victim.walk(histories(), ALL_BITS, Allowed::Superset);
}

/// A parent whose damaged history no longer begins the child's confirms nothing.
#[test]
fn flips_in_an_unprotected_history_of_a_chain_lose_no_range() {
    for disk in [CHILD, BASE] {
        let (victim, _) = damaged_table(disk, Checksum::At4From8);
        victim.walk(histories(), ALL_BITS, Allowed::Superset);
    }
}
