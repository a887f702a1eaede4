//! Malformed tracking tables.

use super::bounds::*;
use super::files::DISK;
use crate::common::deep::Deep;
use crate::common::tables::{current_id, table_bytes, table_headers, table_word};
use vhdx_rct_fixtures::rct::{
    Checksum, Convention, HEADERS, RctBuilder, Until, fix_checksum, patch,
};

/// Three chunks of units.
const UNITS: u64 = 2500;
const SIZE: u64 = UNITS << 14;

fn table() -> RctBuilder {
    RctBuilder::new(SIZE).seed(5).with(10..20, 3).with(2000..2001, 4).detailed_all()
}

fn id() -> RctId {
    current_id(&table())
}

fn bytes(damage: impl FnOnce(&Path)) -> Vec<u8> {
    table_bytes(&table(), |path, _| damage(path))
}

/// The ranges of [`table`] since its newest id.
fn table_changes() -> Vec<ByteRange> {
    ranges(&[10 << 14..20 << 14, 2000 << 14..2001 << 14])
}

fn query(table: impl Source + 'static) -> Question {
    let mut files = MemoryStorage::new().with(DISK, Image::new(&VhdxBuilder::new(SIZE)).bytes);
    files.insert(format!("{DISK}.rct"), Arc::new(table));
    Question::within(files, DISK, id())
}

#[test]
fn base_table_is_valid() {
    let answer = query(SliceSource(bytes(|_| {}))).ask().unwrap();
    assert_eq!(answer.ranges, table_changes());
}

/// Changes the entry of a chunk.
fn entry(path: &Path, chunk: u64, entry: i32) {
    table_word(path, 12 + 4 * chunk, entry);
}

#[test]
fn rejects_damaged_headers_and_entries() {
    const UNITS_AT: u64 = 0x28;
    const BRANCHES_AT: u64 = 0x44;
    fn units(path: &Path, units: u64) {
        table_headers(path, UNITS_AT, &units.to_le_bytes());
    }
    type Damage = fn(&Path);
    let cases: &[(&str, Damage, Code)] = &[
        ("an entry that names the offset table", |p| entry(p, 0, -9), CORRUPT),
        ("an entry that names a header", |p| entry(p, 0, -1), CORRUPT),
        ("an entry that names the other header", |p| entry(p, 1, -5), CORRUPT),
        ("an entry after the end", |p| entry(p, 2, -13), CORRUPT),
        ("an entry at 2^31", |p| entry(p, 2, i32::MIN), CORRUPT),
        ("an entry that another one has", |p| entry(p, 2, -10), CORRUPT),
        ("an entry that the next one has", |p| entry(p, 0, -11), CORRUPT),
        ("no units", |p| units(p, 0), UNTRUSTED),
        ("2^63 units", |p| units(p, 1 << 63), UNTRUSTED),
        ("2^64 - 1 units", |p| units(p, u64::MAX), UNTRUSTED),
        ("a unit less", |p| units(p, UNITS - 1), UNTRUSTED),
        ("a unit more", |p| units(p, UNITS + 1), UNTRUSTED),
        ("no branches", |p| table_headers(p, BRANCHES_AT, &[0; 2]), UNTRUSTED),
        ("512 branches", |p| table_headers(p, BRANCHES_AT, &[0, 2]), UNTRUSTED),
        ("65535 branches", |p| table_headers(p, BRANCHES_AT, &[0xFF; 2]), UNTRUSTED),
        ("all zeros", |p| std::fs::write(p, vec![0; 0xD000]).unwrap(), UNTRUSTED),
        ("an empty file", |p| std::fs::write(p, []).unwrap(), CUT_SHORT),
    ];
    for &(name, damage, code) in cases {
        must_fail(name, query(SliceSource(bytes(damage))).bounded(name, MEMORY), code);
    }
}

/// 511 branches contradict one another and the current number: the table resolves only ids of the
/// current branch, which is none of them.
#[test]
fn rejects_ids_of_contradictory_branches() {
    for (first, number) in [(u32::MAX, 0_u32), (0, u32::MAX), (u32::MAX, u32::MAX), (1, 0)] {
        let table = bytes(|path| {
            let branches: Vec<u8> = (0_u128..511)
                .flat_map(|i| [&i.to_le_bytes()[..], &first.to_le_bytes(), &[0xFF; 4]].concat())
                .collect();
            table_headers(path, 0x1000, &branches);
            table_headers(path, 0x44, &511_u16.to_le_bytes());
            table_headers(path, 0x40, &number.to_le_bytes());
        });
        let question = query(SliceSource(table));
        for i in [0, 1, 510] {
            let branch = uuid::Uuid::from_bytes_le(u128::to_le_bytes(i));
            let old = Question { since: RctId::new(branch, first).into(), ..question.clone() };
            must_fail("an old id", old.bounded("an old id", MEMORY), UNKNOWN_ID);
        }
        let answer = question.bounded("the current branch", MEMORY).unwrap();
        assert_eq!(answer.ranges, table_changes());
        let known =
            bounded("known ids", MEMORY, move || Ok::<_, Error>(question.open()?.known_ids()));
        let known = known.unwrap();
        assert_eq!(known.len(), 1);
        assert_eq!((known[0].branch, known[0].last), (id().branch, number));
    }
}

/// A sequence page that was never written would report no changes, and a raw CRC of zeros is
/// zero: it is refused, whether other pages have determined a convention or not.
#[test]
fn rejects_sequence_pages_of_zeros() {
    for (raw, at) in [(true, 0), (true, 4), (true, 8), (false, 4)] {
        let convention = Convention { at, zeroed: true, until: Until::Page, raw };
        for pages in [&[0, 1, 2][..], &[0], &[1], &[2]] {
            let table = table().sequence_checksum(Checksum::Any(convention));
            let bytes = table_bytes(&table, |path, placement| {
                for page in pages {
                    patch(path, placement.sequence_pages[page], &[0; 4096]).unwrap();
                }
            });
            let name = format!("pages {pages:?}, checksum at {at}, raw {raw}");
            must_fail(&name, query(SliceSource(bytes)).bounded(&name, MEMORY), CORRUPT);
        }
    }
}

/// The headers are random.
#[test]
fn bounds_the_probing_of_headers() {
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

/// The file has 8 TiB, with zeros after its pages: the memory depends on the budget, not on the
/// file's length.
#[test]
fn bounds_the_memory_of_a_long_table() {
    let source = Patched::new(&Arc::new(bytes(|_| {}))).long(1 << 43);
    let tight = query(source).memory_budget(MEMORY / 2);
    match tight.bounded("a long table", MEMORY) {
        Ok(answer) => assert_eq!(answer.ranges.len(), 2),
        Err(error) => must_fail("a long table", Err::<(), _>(error), OUT_OF_MEMORY),
    }
}

/// The same beside each of 256 files: only the table of the root resolves the id.
#[test]
fn bounds_the_memory_of_a_long_chain_of_long_tables() {
    let table = RctBuilder::new(4 * MB).seed(5).with(3..5, 1).detailed_all();
    let long = Patched::new(&Arc::new(table_bytes(&table, |_, _| {}))).long(1 << 43);
    let deep = Arc::new(Deep::new(256, None).with_table(long));
    let question = Question::new(deep.path(0), current_id(&table));
    let question = question.with(|options| options.storage(deep)).memory_budget(1 << 20);
    let answer = question.bounded("a chain of long tables", 4 * MEMORY).unwrap();
    assert_eq!(answer.ranges, ranges(&[3 << 14..5 << 14, MB..2 * MB]));
}

/// The sequence pages are far from one another, so that the budget also bounds the set of visited
/// pages.
#[test]
fn bounds_the_memory_of_pages_all_over_a_table() {
    const CHUNKS: u64 = 4000;
    let size = (CHUNKS * 1021) << 14;
    let table = RctBuilder::new(size).detailed([0]);
    let id = current_id(&table);
    let page = |chunk: u64| (1 << 31) - 1 - chunk * 500_000;
    let mut written = 0;
    let bytes = table_bytes(&table, |path, placement| {
        written = placement.sequence_pages[&0] as usize;
        for chunk in 0..CHUNKS {
            let entry = -(page(chunk) as i32);
            patch(path, placement.entry(chunk), &entry.to_le_bytes()).unwrap();
        }
        for &page in &placement.offset_pages {
            fix_checksum(path, page, Checksum::At4From8).unwrap();
        }
    });
    let sequence_page = bytes[written..][..4096].to_vec();
    let table = Patched::new(&Arc::new(bytes)).long(1 << 43);
    let table = (0..CHUNKS)
        .fold(table, |table, chunk| table.with(page(chunk) * 4096, sequence_page.as_slice()));
    let disk = Image::new(&VhdxBuilder::new(size).block_size(256 * MB));
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
