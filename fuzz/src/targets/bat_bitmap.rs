//! The block allocation table and the sector bitmaps, with a reader of its own to agree with.
//!
//! Input: which skeleton, a hint, BAT entries with their places, and a part of a bitmap.

use crate::ask::{Answer, joined, open, reading, whole};
use crate::bytes::Take;
use crate::media::{Disks, Image, Skeleton};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;
use uuid::Uuid;
use vhdx_rct::{Baseline, ByteRange};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{Block, MB, ParentLocator, Placement, VhdxBuilder};

const BASE: &str = "/disks/base.vhdx";
const DISK: &str = "/disks/disk.avhdx";
/// The file goes on with zeros up to here, so that most places exist.
const LENGTH: u64 = 64 * MB;

/// A skeleton, and the values of its metadata.
struct Disk {
    file: Skeleton,
    base: Skeleton,
    size: u64,
    block: u64,
    sector: u64,
    child: bool,
}

static DISKS: LazyLock<Vec<Disk>> = LazyLock::new(|| {
    vec![
        disk(5 * MB + 512, MB, 512, true),
        disk((9 << 30) + 512, MB, 512, true),
        disk(100 * MB, 32 * MB, 4096, true),
        disk(40 << 30, 8 * MB, 512, true),
        disk(5 * MB + 512, MB, 512, false),
        disk(70 << 30, 2 * MB, 4096, false),
    ]
});

fn disk(size: u64, block: u64, sector: u32, child: bool) -> Disk {
    let disk = |seed| {
        let disk = VhdxBuilder::new(size).seed(seed).disk_id(Uuid::from_u128(9));
        disk.block_size(block).logical_sector_size(sector).physical_sector_size(4096)
    };
    let base = Skeleton::new(&disk(1));
    let own = disk(2).force_bitmap(0).block(0, Block::Full(Fill::ZEROS));
    let own = if child {
        own.parent(ParentLocator::new(base.at.data_write_guid).relative(r".\base.vhdx"))
    } else {
        own
    };
    Disk { file: Skeleton::new(&own), base, size, block, sector: sector.into(), child }
}

/// The table as changed by the input.
struct Table {
    payload: BTreeMap<u64, u64>,
    bitmaps: BTreeMap<u64, u64>,
}

pub fn run(data: &[u8]) {
    let mut input = Take(data);
    let disk = &DISKS[usize::from(input.u8()) % DISKS.len()];
    let hint = u64::from(input.u32()) << (input.u8() % 24);
    let mut image = disk.file.image();
    image.set_length(LENGTH);
    let table = table(disk, &mut image, &mut input);
    let place = disk.file.at.bitmap[&0] + u64::from(input.u16());
    image.put(place, input.some(2048));
    let disks = Disks::default().with(DISK, image.clone()).with(BASE, disk.base.image());
    let opened = open(&reading(disks.shared()), DISK);
    let ask = |since| {
        let answer = opened.as_ref().map_err(Clone::clone);
        answer.and_then(|opened| whole(opened, &since, hint))
    };
    agree(ask(Baseline::Allocated), expected(disk, &image, &table, false));
    if disk.child {
        agree(ask(Baseline::File(BASE.into())), expected(disk, &image, &table, true));
        agree(ask(Baseline::Parent), expected(disk, &image, &table, true));
    }
}

/// An entry comes as a short place, state and offset, or as eight bytes as they are.
fn table(disk: &Disk, image: &mut Image, input: &mut Take) -> Table {
    let at = &disk.file.at;
    let blocks = disk.size.div_ceil(disk.block);
    let own = (at.payload[&0] | 6, at.bitmap[&0] | 6);
    let mut table = Table { payload: [(0, own.0)].into(), bitmaps: [(0, own.1)].into() };
    for _ in 0..input.u8() {
        let (index, state) = (u64::from(input.u16()), input.u8());
        let entry = match state & 0x80 {
            0 => u64::from(state & 7) | u64::from(input.u8()) << 20,
            _ => input.u64(),
        };
        if state & 0x40 == 0 {
            let block = if state & 0x20 == 0 { index } else { blocks.saturating_sub(index) };
            let block = block % blocks;
            image.put(at.bat_entry_offset(block), entry.to_le_bytes());
            table.payload.insert(block, entry);
        } else {
            let chunk = index % blocks.div_ceil(at.chunk_ratio);
            let offset = at.bitmap_entry_offset(chunk);
            // The last chunk of a file without a parent has no entry of this kind.
            if offset + 8 <= at.bat_offset + at.bat_length {
                image.put(offset, entry.to_le_bytes());
                table.bitmaps.insert(chunk, entry);
            }
        }
    }
    table
}

/// The crate must find what a plain reading of the table finds, or refuse where that does.
fn agree(answer: Answer, expected: Option<Vec<ByteRange>>) {
    let answer = answer.map(|answer| answer.ranges).map_err(|error| error.to_string());
    match (expected, answer) {
        (Some(expected), found) => assert_eq!(found, Ok(expected)),
        (None, Ok(found)) => panic!("a table that breaks the format was read as {found:?}"),
        (None, Err(_)) => {}
    }
}

/// None where the table breaks the format.
fn expected(disk: &Disk, image: &Image, table: &Table, since: bool) -> Option<Vec<ByteRange>> {
    let mut out = Vec::new();
    for (&block, &entry) in &table.payload {
        let start = block * disk.block;
        let whole = start..(start + disk.block).min(disk.size);
        let place = entry & !0xF_FFFF;
        // Of the last block, only what the disk uses has to be there.
        let used = whole.end - whole.start;
        match entry & 7 {
            0 => {}
            1 => out.extend(disk.child.then_some(whole)),
            2 | 3 => out.extend(since.then_some(whole)),
            6 | 7 if !fits(&disk.file.at, place, used) => return None,
            7 if disk.child => out.extend(sectors(disk, image, table, block, whole)?),
            6 | 7 => out.push(whole),
            _ => return None,
        }
    }
    Some(joined(out.into_iter().map(ByteRange::from).collect()))
}

fn sectors(
    disk: &Disk,
    image: &Image,
    table: &Table,
    block: u64,
    whole: Range<u64>,
) -> Option<Vec<Range<u64>>> {
    let ratio = disk.file.at.chunk_ratio;
    let entry = table.bitmaps.get(&(block / ratio)).copied().unwrap_or_default();
    let place = entry & !0xF_FFFF;
    if entry & 7 < 6 || !fits(&disk.file.at, place, MB) {
        return None;
    }
    let count = disk.block / disk.sector;
    let bits = image.get(place + block % ratio * count / 8, (count / 8) as usize);
    let present = (0..count).filter(|&i| bits[(i / 8) as usize] >> (i % 8) & 1 == 1);
    let ranges = present.map(|i| {
        let start = whole.start + i * disk.sector;
        start.min(whole.end)..(start + disk.sector).min(whole.end)
    });
    Some(ranges.filter(|range| !range.is_empty()).collect())
}

/// Inside the file, and nowhere that is taken.
fn fits(at: &Placement, place: u64, length: u64) -> bool {
    let Some(end) = place.checked_add(length) else { return false };
    let taken = [
        (0, MB),
        (at.log_offset, at.log_length),
        (at.bat_offset, at.bat_length),
        (at.metadata_offset, at.metadata_length),
    ];
    end <= LENGTH && taken.iter().all(|&(start, length)| end <= start || place >= start + length)
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for (index, disk) in DISKS.iter().enumerate() {
        let mb = |place: u64| (place / MB) as u8;
        let (payload, bitmap) = (mb(disk.file.at.payload[&0]), mb(disk.file.at.bitmap[&0]));
        let last = [1, 0, 0x20 | if disk.child { 7 } else { 6 }, payload];
        let far = [[0xFF, 0x1F, 6, payload], [0, 0x20, 1, 0], [1, 0, 0x46, bitmap]].concat();
        let plain = [[1, 0, 2, 0], [2, 0, 3, 9], [3, 0, 6, payload], [4, 0, 0, 1]].concat();
        let start = [index as u8, 0x11, 0x22, 0, 0, 9];
        let bits = [0, 0, 0xFF, 0x0F, 0x00, 0x55, 0x80];
        for (count, entries) in [(4, plain.clone()), (5, [&plain[..], &last].concat())] {
            out.push([&start[..], &[count], &entries, &bits].concat());
        }
        out.push([&start[..], &[4], &last, &far, &bits].concat());
        // The last block is cut where the disk ends; whatever has state 7 is there.
        let used = disk.size - (disk.size - 1) / disk.block * disk.block;
        let cut = [[1, 0, 0x27, mb(LENGTH - used)], [0, 0, 0x47, bitmap]].concat();
        out.push([&start[..], &[2], &cut, &bits].concat());
    }
    // Two chunks with one bitmap.
    let bitmap = (DISKS[1].file.at.bitmap[&0] / MB) as u8;
    out.push(vec![1, 0x11, 0x22, 0, 0, 9, 1, 1, 0, 0x46, bitmap]);
    out
}
