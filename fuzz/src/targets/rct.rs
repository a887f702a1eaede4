//! The `.rct` table beside a disk: headers, branch history, offset pages, sequence pages; with
//! a reader of its own to agree with.
//!
//! Input: which disk, flags, the conventions of the checksums, the header and its branches,
//! entries that differ from the first, and sequence pages.

use crate::ask::{checked, joined, open, reading, whole};
use crate::bytes::Take;
use crate::media::{Disks, Scratch, Skeleton};
use std::sync::LazyLock;
use uuid::Uuid;
use vhdx_rct::{Baseline, ByteRange, RctId, VirtualDiskChanges};
use vhdx_rct_fixtures::rct::{
    Checksum, Convention, HEADERS, OFFSET_TABLE, PAGE, RctBuilder, Tracked,
};
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::vhdx::{MB, VhdxBuilder, put};

const DISK: &str = "/disks/disk.vhdx";
const TABLE: &str = "/disks/disk.vhdx.rct";
const HEADER: usize = 0x48;
const BRANCHES: usize = 0x1000;
const VALUES: usize = 12;
const PER_PAGE: usize = 1021;

// Flags.
const SEAL_FIRST: u8 = 1;
const SEAL_SECOND: u8 = 2;
const SECOND_ALIKE: u8 = 4;
const SEAL_OFFSETS: u8 = 8;
const SEAL_SEQUENCES: u8 = 16;
const CUT: u8 = 32;
const INSPECT: u8 = 64;
const ALL_RIGHT: u8 = SEAL_FIRST | SEAL_SECOND | SECOND_ALIKE | SEAL_OFFSETS | SEAL_SEQUENCES;

/// Sizes of disks and how many offset pages their tables have.
const SIZES: [(u64, usize); 4] =
    [(5 * MB + 512, 1), (100 * MB, 1), (1021 * 16384, 1), (18 << 30, 2)];

static SKELETONS: LazyLock<Vec<Skeleton>> = LazyLock::new(|| {
    let disk = |&(size, _): &(u64, usize)| VhdxBuilder::new(size).block_size(256 * MB);
    SIZES.iter().map(|size| Skeleton::new(&disk(size))).collect()
});

/// A table as the input has it.
struct Table {
    bytes: Vec<u8>,
    entries: Vec<i32>,
    offset_pages: usize,
    sequence_pages: Vec<[u32; PER_PAGE]>,
    ids: Vec<RctId>,
}

pub fn run(data: &[u8]) {
    let mut input = Take(data);
    let variant = usize::from(input.u8()) % SIZES.len();
    let (flags, hint) = (input.u8(), u64::from(input.u32()) << 3);
    let table = table(variant, flags, &mut input);
    if flags & INSPECT != 0 {
        inspect(&table.bytes);
    }
    let disks = Disks::default().with(DISK, SKELETONS[variant].image());
    let disks = disks.with_bytes(TABLE, table.bytes.clone()).shared();
    // A table that cannot be used refuses only the questions that need it.
    let disk = open(&reading(disks), DISK).expect("a disk that is whole");
    let mut ids = table.ids.clone();
    ids.extend(disk.known_ids().iter().flat_map(|known| known.ids().take(2)));
    for id in ids.into_iter().take(4) {
        assert_eq!(id.to_string().parse::<RctId>().expect("an id's own text"), id);
        if let Ok(answer) = whole(&disk, &Baseline::Rct(id), hint) {
            agree(&table, id, &answer);
        }
    }
}

fn table(variant: usize, flags: u8, input: &mut Take) -> Table {
    let conventions = input.u8();
    let rng = &mut Rng::new(conventions.into());
    let of_headers = match conventions & 15 {
        likely @ 0..6 => Checksum::HEADER[usize::from(likely)],
        _ => Checksum::Any(Convention::of_header(rng)),
    };
    let of_sequences = match conventions >> 4 {
        likely @ 0..4 => Checksum::SEQUENCE[usize::from(likely)],
        _ => Checksum::Any(Convention::of_sequence_page(rng)),
    };
    let offset_pages = SIZES[variant].1;
    let mut bytes = vec![0; OFFSET_TABLE as usize + offset_pages * PAGE as usize];
    let mut ids = Vec::new();
    for (copy, seals) in [SEAL_FIRST, SEAL_SECOND].into_iter().enumerate() {
        let mut header = if copy == 1 && flags & SECOND_ALIKE != 0 {
            bytes[HEADERS[0] as usize..][..0x4000].to_vec()
        } else {
            header(input, &mut ids)
        };
        if flags & seals != 0 {
            of_headers.store(&mut header);
        }
        put(&mut bytes, HEADERS[copy] as usize, header);
    }
    let entries = entries(&mut bytes, offset_pages, flags, input);
    let mut sequence_pages = Vec::new();
    for _ in 0..input.u8().min(12) {
        let (mut page, numbers) = sequence_page(input);
        if flags & SEAL_SEQUENCES != 0 {
            of_sequences.store(&mut page);
        }
        bytes.extend(page);
        sequence_pages.push(numbers);
    }
    if flags & CUT != 0 {
        let most = bytes.len() + 1;
        bytes.truncate(input.u32() as usize % most);
    }
    Table { bytes, entries, offset_pages, sequence_pages, ids }
}

/// A header; its current id and some of its branches' are asked for.
fn header(input: &mut Take, ids: &mut Vec<RctId>) -> Vec<u8> {
    let mut header = vec![0; 0x4000];
    put(&mut header, 0, input.array::<HEADER>());
    let uuid = |bytes: &[u8]| Uuid::from_bytes_le(std::array::from_fn(|i| bytes[i]));
    let number = |bytes: &[u8]| u32::from_le_bytes(std::array::from_fn(|i| bytes[i]));
    ids.push(RctId::new(uuid(&header[0x30..]), number(&header[0x40..])));
    for i in 0..usize::from(input.u8() & 31) {
        let branch = input.array::<24>();
        put(&mut header, BRANCHES + 24 * i, branch);
        ids.extend((i < 2).then(|| RctId::new(uuid(&branch), number(&branch[16..]))));
    }
    header
}

fn entries(bytes: &mut [u8], pages: usize, flags: u8, input: &mut Take) -> Vec<i32> {
    let first = input.u32() as i32;
    let mut entries = vec![first; pages * PER_PAGE];
    for _ in 0..input.u8() {
        let index = usize::from(input.u16()) % entries.len();
        let page = (OFFSET_TABLE / PAGE) as usize + pages;
        // One byte names a page of those that follow, or the entry comes as it is.
        entries[index] = match input.u8() {
            0 => input.u32() as i32,
            near => -((page + usize::from(near) - 1) as i32),
        };
    }
    for (index, numbers) in entries.chunks(PER_PAGE).enumerate() {
        let page = &mut bytes[OFFSET_TABLE as usize + index * PAGE as usize..][..PAGE as usize];
        put(page, 0, 0x7066_666F_u32.to_le_bytes());
        put(page, 8, (index as u32).to_le_bytes());
        let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        put(page, VALUES, numbers);
        if flags & SEAL_OFFSETS != 0 {
            Checksum::At4From8.store(page);
        } else {
            put(page, 0, input.array::<12>());
        }
    }
    entries
}

fn sequence_page(input: &mut Take) -> (Vec<u8>, [u32; PER_PAGE]) {
    let mut page = vec![0; PAGE as usize];
    put(&mut page, 0, input.array::<VALUES>());
    let mut numbers = [input.u32(); PER_PAGE];
    for _ in 0..input.u8() {
        let (index, number) = (usize::from(input.u16()), input.u32());
        numbers[index % PER_PAGE] = number;
    }
    let words: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    put(&mut page, VALUES, words);
    (page, numbers)
}

/// An answer must be what a plain reading of the table gives.
fn agree(table: &Table, id: RctId, answer: &VirtualDiskChanges) {
    let (unit, size) = (u64::from(answer.granularity), answer.disk.virtual_size);
    let first_page = (OFFSET_TABLE / PAGE) as usize + table.offset_pages;
    let chunk_bytes = PER_PAGE as u64 * unit;
    let mut out = Vec::new();
    for (chunk, start) in (0..size).step_by(chunk_bytes as usize).enumerate() {
        if let Ok(number) = u32::try_from(table.entries[chunk]) {
            let whole = ByteRange::from(start..size.min(start + chunk_bytes));
            out.extend((number > id.number).then_some(whole));
            continue;
        }
        let page = table.entries[chunk].unsigned_abs() as usize;
        let page = page.checked_sub(first_page).expect("a page behind the offset table");
        let starts = (start..size).step_by(unit as usize);
        for (number, start) in table.sequence_pages[page].iter().zip(starts) {
            let whole = ByteRange::from(start..size.min(start + unit));
            out.extend((*number > id.number).then_some(whole));
        }
    }
    assert_eq!(answer.ranges, joined(out), "since {id}");
}

/// Shows whatever is there.
fn inspect(bytes: &[u8]) {
    static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);
    std::fs::write(SCRATCH.path(), bytes).expect("a file in memory");
    let shown = checked(vhdx_rct::rct::inspect(SCRATCH.path()));
    assert_eq!(shown.is_some(), !bytes.is_empty(), "what does not fit is a note");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for (variant, &(size, _)) in SIZES.iter().enumerate() {
        let mut tracked = Tracked::new(size, variant as u64);
        tracked.write(size / 2..size / 2 + 1);
        tracked.create_id();
        tracked.write(0..40_000);
        let simple = tracked.builder();
        tracked.new_branch();
        tracked.write(size - 1..size);
        tracked.create_id();
        tracked.write(size / 3..size / 2);
        let long = tracked.builder();
        for (index, builder) in [simple, long].into_iter().enumerate() {
            let conventions = (variant * 2 + index) as u8;
            let of_headers = Checksum::HEADER[usize::from(conventions) % 6];
            let of_sequences = Checksum::SEQUENCE[usize::from(conventions) % 4];
            let builder = builder.header_checksum(of_headers).sequence_checksum(of_sequences);
            let flags = ALL_RIGHT | if index == 0 { INSPECT } else { 0 };
            out.push(seed(variant, flags, (conventions % 6) | ((conventions % 4) << 4), &builder));
        }
    }
    out
}

fn seed(variant: usize, flags: u8, conventions: u8, builder: &RctBuilder) -> Vec<u8> {
    let scratch = Scratch::new();
    let placement = builder.write(scratch.path()).expect("a table");
    let bytes = scratch.bytes();
    let header = &bytes[HEADERS[0] as usize..];
    let branches = header[0x44];
    let mut out = vec![variant as u8, flags, 0x77, 0x77, 1, 0, conventions];
    out.extend(&header[..HEADER]);
    out.push(branches);
    out.extend(&header[BRANCHES..][..24 * usize::from(branches)]);
    out.extend([0; 4]);
    let chunks = placement.units.div_ceil(PER_PAGE as u64);
    let word = |at: u64| std::array::from_fn::<u8, 4, _>(|i| bytes[at as usize + i]);
    let used: Vec<u64> =
        (0..chunks).filter(|&chunk| word(placement.entry(chunk)) != [0; 4]).take(255).collect();
    out.push(used.len() as u8);
    for chunk in used {
        out.extend((chunk as u16).to_le_bytes());
        out.push(0);
        out.extend(word(placement.entry(chunk)));
    }
    out.push(placement.sequence_pages.len().min(12) as u8);
    let mut pages: Vec<u64> = placement.sequence_pages.values().copied().collect();
    pages.sort_unstable();
    for page in pages.into_iter().take(12) {
        let number = |i: usize| word(page + (VALUES + 4 * i) as u64);
        out.extend(&bytes[page as usize..][..VALUES]);
        out.extend(number(0));
        let others: Vec<usize> =
            (0..PER_PAGE).filter(|&i| number(i) != number(0)).take(255).collect();
        out.push(others.len() as u8);
        for i in others {
            out.extend((i as u16).to_le_bytes());
            out.extend(number(i));
        }
    }
    out
}
