//! Tracking tables that lead astray.

use super::bounds::*;
use super::files::DISK;
use crate::common::deep::Deep;
use crate::common::image::Image;
use crate::common::memory::{MemoryStorage, Patched, WithFile};
use crate::common::ranges;
use std::path::Path;
use std::sync::Arc;
use vhdx_rct::source::{SliceSource, Source};
use vhdx_rct::{Error, RctId};
use vhdx_rct_fixtures::rct::{
    Checksum, Convention, HEADERS, OFFSET_TABLE, RctBuilder, Until, fix_checksum, patch,
};
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::vhdx::{MB, VhdxBuilder};

/// Three chunks of units.
const UNITS: u64 = 2500;
const SIZE: u64 = UNITS << 14;

fn table() -> RctBuilder {
    RctBuilder::new(SIZE).seed(5).with(10..20, 3).with(2000..2001, 4).detailed_all()
}

fn id() -> RctId {
    let (branch, number) = table().current_id();
    RctId::new(branch, number)
}

fn bytes(damage: impl FnOnce(&Path)) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table");
    table().write(&path).unwrap();
    damage(&path);
    std::fs::read(path).unwrap()
}

fn query(table: impl Source + 'static) -> Question {
    let mut files = MemoryStorage::new().with(DISK, Image::new(&VhdxBuilder::new(SIZE)).bytes);
    files.insert(format!("{DISK}.rct"), Arc::new(table));
    Question::within(files, DISK, id())
}

#[test]
fn base_table_is_valid() {
    let answer = query(SliceSource(bytes(|_| {}))).ask().unwrap();
    assert_eq!(answer.ranges, ranges(&[10 << 14..20 << 14, 2000 << 14..2001 << 14]));
}

/// The entry of a chunk, in a page with a right checksum.
fn entry(path: &Path, chunk: u64, entry: i32) {
    patch(path, OFFSET_TABLE + 12 + 4 * chunk, &entry.to_le_bytes()).unwrap();
    fix_checksum(path, OFFSET_TABLE, Checksum::At4From8).unwrap();
}

fn header(path: &Path, at: u64, bytes: &[u8]) {
    for header in HEADERS {
        patch(path, header + at, bytes).unwrap();
        fix_checksum(path, header, Checksum::At4From8).unwrap();
    }
}

#[test]
fn the_gallery() {
    const UNITS_AT: u64 = 0x28;
    const BRANCHES_AT: u64 = 0x44;
    type Damage = fn(&Path);
    let cases: [(&str, Damage, Code); 17] = [
        ("an entry that names the offset table", |p| entry(p, 0, -9), CORRUPT),
        ("an entry that names a header", |p| entry(p, 0, -1), CORRUPT),
        ("an entry that names the other header", |p| entry(p, 1, -5), CORRUPT),
        ("an entry behind the end", |p| entry(p, 2, -13), CORRUPT),
        ("an entry at 2^31", |p| entry(p, 2, i32::MIN), CORRUPT),
        ("an entry that another one has", |p| entry(p, 2, -10), CORRUPT),
        ("an entry that the one behind has", |p| entry(p, 0, -11), CORRUPT),
        ("no units", |p| header(p, UNITS_AT, &[0; 8]), UNTRUSTED),
        ("2^63 units", |p| header(p, UNITS_AT, &(1_u64 << 63).to_le_bytes()), UNTRUSTED),
        ("2^64 - 1 units", |p| header(p, UNITS_AT, &[0xFF; 8]), UNTRUSTED),
        ("a unit less", |p| header(p, UNITS_AT, &(UNITS - 1).to_le_bytes()), UNTRUSTED),
        ("a unit more", |p| header(p, UNITS_AT, &(UNITS + 1).to_le_bytes()), UNTRUSTED),
        ("no branches", |p| header(p, BRANCHES_AT, &[0; 2]), UNTRUSTED),
        ("512 branches", |p| header(p, BRANCHES_AT, &[0, 2]), UNTRUSTED),
        ("65535 branches", |p| header(p, BRANCHES_AT, &[0xFF; 2]), UNTRUSTED),
        ("all zeros", |p| std::fs::write(p, vec![0; 0xD000]).unwrap(), UNTRUSTED),
        ("nothing", |p| std::fs::write(p, []).unwrap(), CUT_SHORT),
    ];
    for (name, damage, code) in cases {
        must_fail(name, query(SliceSource(bytes(damage))).bounded(name, MEMORY), code);
    }
}

/// 511 branches that contradict one another and the current number: none of them is answered
/// for, and the current branch, which is none of them, is.
#[test]
fn branches_that_contradict_one_another() {
    for (first, number) in [(u32::MAX, 0_u32), (0, u32::MAX), (u32::MAX, u32::MAX), (1, 0)] {
        let table = bytes(|path| {
            let branches: Vec<u8> = (0_u128..511)
                .flat_map(|i| [&i.to_le_bytes()[..], &first.to_le_bytes(), &[0xFF; 4]].concat())
                .collect();
            header(path, 0x1000, &branches);
            header(path, 0x44, &511_u16.to_le_bytes());
            header(path, 0x40, &number.to_le_bytes());
        });
        let question = query(SliceSource(table));
        for i in [0, 1, 510] {
            let mut branch = [0; 16];
            branch[..2].copy_from_slice(&(i as u16).to_le_bytes());
            let since = RctId::new(uuid::Uuid::from_bytes_le(branch), first).into();
            let old = Question { since, ..question.clone() };
            must_fail("an old id", old.bounded("an old id", MEMORY), UNKNOWN_ID);
        }
        let answer = question.bounded("the current branch", MEMORY).unwrap();
        assert_eq!(answer.ranges, ranges(&[10 << 14..20 << 14, 2000 << 14..2001 << 14]));
        let known =
            bounded("known ids", MEMORY, move || Ok::<_, Error>(question.open()?.known_ids()));
        let known = known.unwrap();
        assert_eq!(known.len(), 1);
        assert_eq!((known[0].branch, known[0].last), (id().branch, number));
    }
}

/// A sequence page that was never written indicates that nothing changed, and a raw CRC of zeros is
/// zero: it is refused, whether other pages have decided for a convention or not.
#[test]
fn rejects_sequence_pages_of_zeros() {
    for (raw, at) in [(true, 0), (true, 4), (true, 8), (false, 4)] {
        let convention = Convention { at, zeroed: true, until: Until::Page, raw };
        for pages in [&[0, 1, 2][..], &[0], &[1], &[2]] {
            let table = table().sequence_checksum(Checksum::Any(convention));
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("table");
            let placement = table.write(&path).unwrap();
            for page in pages {
                patch(&path, placement.sequence_pages[page], &[0; 4096]).unwrap();
            }
            let bytes = std::fs::read(&path).unwrap();
            let answer = query(SliceSource(bytes)).bounded("zeros", MEMORY);
            must_fail("zeros", answer, CORRUPT);
        }
    }
}

/// Probing takes about as long whatever the headers hold.
#[test]
fn probing_headers_is_bounded() {
    let mut rng = Rng::new(1);
    for _ in 0..20 {
        let table = bytes(|path| {
            for header in HEADERS {
                let junk: Vec<u8> = (0..0x800).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
                patch(path, header, &junk).unwrap();
                // A count that makes a history as long as can be.
                patch(path, header + 0x44, &511_u16.to_le_bytes()).unwrap();
            }
        });
        let answer = query(SliceSource(table)).bounded("probing", MEMORY);
        must_fail("probing", answer, UNTRUSTED);
    }
}

/// A file of 8 TB that holds nothing after its pages: memory follows the budget, not the
/// file's length.
#[test]
fn a_table_of_eight_terabytes() {
    let source = Patched::new(&Arc::new(bytes(|_| {}))).long(1 << 43);
    let tight = query(source).memory_budget(MEMORY / 2);
    match tight.bounded("a long table", MEMORY) {
        Ok(answer) => assert_eq!(answer.ranges.len(), 2),
        Err(error) => must_fail("a long table", Err::<(), _>(error), OUT_OF_MEMORY),
    }
}

/// The same beside each of 256 files: only the root's answers, the others are not walked.
#[test]
fn a_long_chain_of_tables_of_eight_terabytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table");
    let table = RctBuilder::new(4 * MB).seed(5).with(3..5, 1).detailed_all();
    table.write(&path).unwrap();
    let (branch, number) = table.current_id();
    let long = Patched::new(&Arc::new(std::fs::read(&path).unwrap())).long(1 << 43);
    let deep = Arc::new(Deep::new(256, None).with_table(long));
    let question = Question::new(deep.path(0), RctId::new(branch, number));
    let question = question.with(|options| options.storage(deep)).memory_budget(1 << 20);
    let answer = question.bounded("a chain of long tables", 4 * MEMORY).unwrap();
    assert_eq!(answer.ranges, ranges(&[3 << 14..5 << 14, MB..2 * MB]));
}

/// A table in which any page is a sequence page.
struct Everywhere {
    file: Patched,
    page: Vec<u8>,
    behind: u64,
}

impl Source for Everywhere {
    fn size(&self) -> std::io::Result<u64> {
        Ok(1 << 43)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        if offset < self.behind {
            return self.file.read_exact_at(buffer, offset);
        }
        buffer.chunks_mut(4096).for_each(|page| page.copy_from_slice(&self.page));
        Ok(())
    }
}

/// Sequence pages as far from one another as can be: the list of those that were named is
/// bounded by the budget, too.
#[test]
fn pages_all_over_a_table() {
    const CHUNKS: u64 = 4000;
    let size = (CHUNKS * 1021) << 14;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table");
    let table = RctBuilder::new(size).detailed([0]);
    let placement = table.write(&path).unwrap();
    let behind = placement.sequence_pages[&0];
    for chunk in 0..CHUNKS {
        let page = (i64::from(i32::MIN) + 1 + chunk as i64 * 500_000) as i32;
        patch(&path, placement.entry(chunk), &page.to_le_bytes()).unwrap();
    }
    for &page in &placement.offset_pages {
        fix_checksum(&path, page, Checksum::At4From8).unwrap();
    }
    let bytes = std::fs::read(&path).unwrap();
    let page = bytes[behind as usize..][..4096].to_vec();
    let disk = Image::new(&VhdxBuilder::new(size).block_size(256 * MB));
    let (branch, number) = table.current_id();
    let id = RctId::new(branch, number);
    let table = Everywhere { file: Patched::new(&Arc::new(bytes)), page, behind };
    let mut files = MemoryStorage::new().with(DISK, disk.bytes);
    files.insert(format!("{DISK}.rct"), Arc::new(table));
    let question = Question::within(files, DISK, id);
    let tight = question.clone().memory_budget(MEMORY);
    let answer = question.bounded("pages all over", 3 * MEMORY).unwrap();
    assert_eq!((answer.processed_byte_length, answer.ranges.len()), (size, 0));
    let refused = tight.bounded("pages all over", MEMORY + MEMORY / 4);
    must_fail("pages all over", refused, OUT_OF_MEMORY);
    // The budget is that of the disk: enough for one question, not for two at once.
    let disk = question.memory_budget(3 * MEMORY).open().unwrap();
    let ask = || disk.changes(id).collect().map(|answer| answer.ranges.len());
    let mut first = disk.changes(id).ranges().unwrap();
    assert!(first.next().is_none());
    must_fail("a second question", ask(), OUT_OF_MEMORY);
    drop(first);
    assert_eq!(ask().unwrap(), 0);
}
