//! The `.rct` table beside a disk (headers, branch history, offset pages, sequence pages),
//! compared with a plain reading of it.

use super::{encode, pick};
use crate::ask::{CrossCheck, joined, open, reading, whole};
use crate::media::{Disks, Image, Scratch, Skeleton, inspect};
use crate::patch::{Area, Copies, MAX_PATCHES, Patch, Value};
use arbitrary::Arbitrary;
use dearbitrary::Dearbitrary;
use std::array::from_fn;
use std::sync::LazyLock;
use uuid::Uuid;
use vhdx_rct::{Baseline, ByteRange, RctId, VirtualDiskChanges};
use vhdx_rct_fixtures::rct::{
    Checksum, Convention, HEADERS, OFFSET_TABLE, PAGE, RctPlacement, Tracked, UNITS_PER_CHUNK,
};
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::vhdx::{MB, VhdxBuilder};

const DISK: &str = "/disks/disk.vhdx";
const TABLE: &str = "/disks/disk.vhdx.rct";
/// The offset of the history in a header, and of the values in the other pages.
const BRANCHES: u64 = 0x1000;
const VALUES: u64 = 12;
const HEADER_LENGTH: usize = 0x4000;

#[derive(Arbitrary, Dearbitrary, Debug, PartialEq)]
pub struct Input {
    table: u8,
    /// The conventions of the headers and of the sequence pages.
    checksums: u8,
    inspect: bool,
    check: CrossCheck,
    /// Chunks, and the page after the offset table that describes each.
    pages: Vec<(u16, u8)>,
    patches: Vec<(Part, Patch)>,
    /// The file ends here.
    length: Option<u32>,
}

#[derive(Arbitrary, Dearbitrary, Clone, Copy, Debug, PartialEq)]
pub enum Part {
    Header(Copies),
    Branch(Copies, u8),
    OffsetPage(u8),
    /// The entry of a chunk.
    Entry(u16),
    SequencePage(u8),
    /// A number in a page after the offset table.
    Number(u8, u16),
}

/// A table, and the disk beside it.
struct Table {
    disk: Skeleton,
    bytes: Vec<u8>,
    at: RctPlacement,
}

static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| {
    let sizes = [5 * MB + 512, 100 * MB, 1021 * 16384, 18 << 30];
    (0..).zip(sizes).flat_map(|(seed, size)| tables(seed, size)).collect()
});

/// A table with one branch, and one with two.
fn tables(seed: u64, size: u64) -> [Table; 2] {
    let mut tracked = Tracked::new(size, seed);
    tracked.write(size / 2..size / 2 + 1);
    tracked.create_id();
    tracked.write(0..40_000);
    let simple = tracked.builder();
    tracked.new_branch();
    tracked.write(size - 1..size);
    tracked.create_id();
    tracked.write(size / 3..size / 2);
    [simple, tracked.builder().gap_pages(1)].map(|builder| {
        let scratch = Scratch::new();
        let at = builder.write(scratch.path()).expect("a table");
        let disk = Skeleton::new(&VhdxBuilder::new(size).block_size(256 * MB));
        Table { disk, bytes: scratch.bytes(), at }
    })
}

pub fn run(input: &Input) -> bool {
    let table = pick(&TABLES, input.table);
    let mut image = Image::from_bytes(table.bytes.clone());
    change(input, table, &mut image);
    let ids = HEADERS.map(|header| ids(&image, header)).concat();
    if let Some(length) = input.length {
        image.set_length(u64::from(length) % (image.length() + 1));
    }
    if input.inspect {
        let shown = inspect(&image, |path| vhdx_rct::rct::inspect(path));
        assert_eq!(shown, image.length() > 0, "what does not fit is a note");
    }
    let disks = Disks::default().with(DISK, table.disk.image()).with(TABLE, image.clone());
    // A table that cannot be used refuses only the questions that need it.
    let disk = open(&reading(disks), DISK).expect("a disk that is whole");
    let known = disk.known_ids();
    let known = known.iter().flat_map(|known| known.ids().take(2));
    let mut answered = false;
    for id in ids.into_iter().chain(known).take(6) {
        assert_eq!(id.to_string().parse::<RctId>().expect("an id's own text"), id);
        if let Ok(answer) = whole(&disk, &Baseline::Rct(id), &input.check) {
            agree(table, &image, id, &answer);
            answered = true;
        }
    }
    answered
}

/// Changes the table as the input describes. All checksums follow the input's conventions, except
/// those that a patch leaves wrong.
fn change(input: &Input, table: &Table, image: &mut Image) {
    let rng = &mut Rng::new(input.checksums.into());
    let of_headers = match input.checksums % 16 {
        likely @ 0..6 => Checksum::HEADER[usize::from(likely)],
        _ => Checksum::Any(Convention::of_header(rng)),
    };
    let of_sequences = match input.checksums / 16 {
        likely @ 0..4 => Checksum::SEQUENCE[usize::from(likely)],
        _ => Checksum::Any(Convention::of_sequence_page(rng)),
    };
    let chunks = table.at.units.div_ceil(UNITS_PER_CHUNK);
    let entry = |chunk: u16| table.at.entry(u64::from(chunk) % chunks);
    let first_page = OFFSET_TABLE / PAGE + table.at.offset_pages.len() as u64;
    let pages = (table.bytes.len() as u64 / PAGE - first_page) as u8;
    let after_offsets = |page: u8| (first_page + u64::from(page % pages)) * PAGE;
    for (chunk, page) in input.pages.iter().take(MAX_PATCHES) {
        let page = (first_page + u64::from(*page)) as i32;
        image.put(entry(*chunk), (-page).to_le_bytes());
    }
    let restore = Patch { at: 0, value: Value::Xor(0), restore: true };
    let restored = [Part::Header(Copies::Both), Part::OffsetPage(0), Part::OffsetPage(1)];
    let restored = restored.into_iter().chain((0..pages).map(Part::SequencePage));
    let restored = restored.map(|part| (part, restore.clone()));
    for (part, patch) in restored.chain(input.patches.iter().take(MAX_PATCHES).cloned()) {
        let in_page = |start, length| vec![Area::in_page(start, length)];
        let headers =
            |copies: Copies, at, length| copies.areas(&HEADERS, at, length, HEADER_LENGTH);
        let (areas, checksum) = match part {
            Part::Header(copies) => (headers(copies, 0, 0x48), of_headers),
            Part::Branch(copies, index) => {
                (headers(copies, BRANCHES + 24 * u64::from(index), 24), of_headers)
            }
            Part::OffsetPage(index) => {
                (in_page(*pick(&table.at.offset_pages, index), PAGE), Checksum::At4From8)
            }
            Part::Entry(chunk) => (in_page(entry(chunk), 4), Checksum::At4From8),
            Part::SequencePage(page) => (in_page(after_offsets(page), PAGE), of_sequences),
            Part::Number(page, index) => {
                let at = VALUES + 4 * (u64::from(index) % UNITS_PER_CHUNK);
                (in_page(after_offsets(page) + at, 4), of_sequences)
            }
        };
        for area in areas {
            patch.apply(image, area, |bytes| checksum.store(bytes));
        }
    }
}

/// The current id of a header and those of its first two branches.
fn ids(image: &Image, header: u64) -> Vec<RctId> {
    let id = |at: u64| {
        let bytes = image.get(header + at, 20);
        let number = u32::from_le_bytes(from_fn(|i| bytes[16 + i]));
        RctId::new(Uuid::from_bytes_le(from_fn(|i| bytes[i])), number)
    };
    [0x30, BRANCHES, BRANCHES + 24].map(id).into()
}

/// An answer must be what a plain reading of the table gives.
fn agree(table: &Table, image: &Image, id: RctId, answer: &VirtualDiskChanges) {
    let (unit, size) = (u64::from(answer.granularity), answer.disk.virtual_size);
    let bytes = image.get(0, image.length() as usize);
    let word = |at: u64| from_fn(|i| bytes[at as usize + i]);
    let chunk_bytes = UNITS_PER_CHUNK * unit;
    let mut out = Vec::new();
    for (chunk, start) in (0..).zip((0..size).step_by(chunk_bytes as usize)) {
        let entry = i32::from_le_bytes(word(table.at.entry(chunk)));
        if let Ok(number) = u32::try_from(entry) {
            let whole = ByteRange::from(start..size.min(start + chunk_bytes));
            out.extend((number > id.number).then_some(whole));
            continue;
        }
        let page = u64::from(entry.unsigned_abs()) * PAGE;
        let after = *table.at.offset_pages.last().expect("an offset page") + PAGE;
        assert!(page >= after, "a page of the offset table as sequence page");
        for (index, start) in (0..UNITS_PER_CHUNK).zip((start..size).step_by(unit as usize)) {
            let number = u32::from_le_bytes(word(page + VALUES + 4 * index));
            let whole = ByteRange::from(start..size.min(start + unit));
            out.extend((number > id.number).then_some(whole));
        }
    }
    assert_eq!(answer.ranges, joined(out), "since {id}");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let patch = |part, value| (part, Patch { at: 0, value, restore: true });
    let seed = |table: u8| {
        let changed = vec![
            patch(Part::Number(0, 1), Value::Word(1)),
            patch(Part::Number(0, 300), Value::Word(2)),
            patch(Part::Entry(1), Value::Word(1)),
            patch(Part::Branch(Copies::Both, 5), Value::Bytes(23, [7; 32])),
        ];
        let inputs = [(vec![], vec![]), (vec![(0, 0)], vec![]), (vec![(2, 0)], changed)];
        (0..).zip(inputs).map(move |(index, (pages, patches))| {
            encode(&Input {
                table,
                checksums: (table + 3 * index) % 8 + 16 * ((table + index) % 6),
                inspect: index == 0,
                check: CrossCheck::Extents,
                pages,
                patches,
                length: None,
            })
        })
    };
    (0..TABLES.len() as u8).flat_map(seed).collect()
}
