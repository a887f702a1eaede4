//! The block allocation table and the sector bitmaps, compared with a plain reading of both.

use super::{encode, pick};
use crate::ask::{Answer, CrossCheck, joined, open, reading, whole};
use crate::media::{Disks, Image, Skeleton};
use crate::patch::{Area, MAX_PATCHES, Patch, Patched, Value};
use arbitrary::Arbitrary;
use dearbitrary::Dearbitrary;
use std::array::from_fn;
use std::ops::Range;
use std::sync::LazyLock;
use uuid::Uuid;
use vhdx_rct::{Baseline, ByteRange};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{Block, MB, ParentLocator, Placement, VhdxBuilder};

const BASE: &str = "/disks/base.vhdx";
const DISK: &str = "/disks/disk.avhdx";
/// The file is extended with zeros to this length, so that most places exist.
const LENGTH: u64 = 64 * MB;

pub type Input = Patched<Part>;

/// An entry of the table, by the number of its block or chunk, or the first bitmap block.
#[derive(Arbitrary, Dearbitrary, Clone, Copy, Debug, PartialEq)]
pub enum Part {
    Payload(u16),
    /// Counted from the last block.
    PayloadFromEnd(u16),
    BitmapEntry(u16),
    Bitmap,
}

/// A skeleton, and the values of its metadata.
struct Disk {
    file: Skeleton,
    base: Skeleton,
    size: u64,
    block: u64,
    sector: u64,
    child: bool,
}

static DISKS: LazyLock<[Disk; 6]> = LazyLock::new(|| {
    [
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
    let mut own = disk(2).force_bitmap(0).block(0, Block::Full(Fill::ZEROS));
    if child {
        own = own.parent(ParentLocator::new(base.at.data_write_guid).relative(r".\base.vhdx"));
    }
    Disk { file: Skeleton::new(&own), base, size, block, sector: sector.into(), child }
}

pub fn run(input: &Input) -> bool {
    let disk = pick(&*DISKS, input.file);
    let at = &disk.file.at;
    let mut image = disk.file.image();
    image.set_length(LENGTH);
    let blocks = disk.size.div_ceil(disk.block);
    for (part, patch) in input.patches.iter().take(MAX_PATCHES) {
        let area = match *part {
            Part::Payload(block) => (at.bat_entry_offset(u64::from(block) % blocks), 8),
            Part::PayloadFromEnd(block) => {
                (at.bat_entry_offset(blocks - 1 - u64::from(block) % blocks), 8)
            }
            Part::BitmapEntry(chunk) => {
                let chunks = blocks.div_ceil(at.chunk_ratio);
                let offset = at.bitmap_entry_offset(u64::from(chunk) % chunks);
                // The last chunk of a file without a parent has no such entry.
                (offset.min(at.bat_offset + at.bat_length - 8), 8)
            }
            Part::Bitmap => (at.bitmap[&0], 4096),
        };
        patch.apply(&mut image, Area::plain(area.0, area.1), |_| {});
    }
    let bat = image.get(at.bat_offset, at.bat_length as usize);
    let disks = Disks::default().with(DISK, image.clone()).with(BASE, disk.base.image());
    let opened = open(&reading(disks), DISK);
    let ask = |since| {
        let answer = opened.as_ref().map_err(Clone::clone);
        answer.and_then(|opened| whole(opened, &since, &input.check))
    };
    let answered = agree(ask(Baseline::Allocated), expected(disk, &image, &bat, false));
    if disk.child {
        agree(ask(Baseline::File(BASE.into())), expected(disk, &image, &bat, true));
        agree(ask(Baseline::Parent), expected(disk, &image, &bat, true));
    }
    answered
}

/// The crate must find what a plain reading of the table finds, or refuse what that refuses.
fn agree(answer: Answer, expected: Option<Vec<ByteRange>>) -> bool {
    let answer = answer.map(|answer| answer.ranges).map_err(|error| error.to_string());
    match (expected, answer) {
        (Some(expected), found) => assert_eq!(found, Ok(expected)),
        (None, Ok(found)) => panic!("a table that breaks the format was read as {found:?}"),
        (None, Err(_)) => return false,
    }
    true
}

/// None if the table breaks the format.
fn expected(disk: &Disk, image: &Image, bat: &[u8], since: bool) -> Option<Vec<ByteRange>> {
    let mut out = Vec::new();
    for block in 0..disk.size.div_ceil(disk.block) {
        let entry = entry(disk, bat, disk.file.at.bat_entry_offset(block));
        let start = block * disk.block;
        let whole = start..(start + disk.block).min(disk.size);
        let place = entry & !0xF_FFFF;
        // Only the used part of the last block has to be in the file.
        let used = whole.end - whole.start;
        match entry & 7 {
            0 => {}
            1 => out.extend(disk.child.then_some(whole)),
            2 | 3 => out.extend(since.then_some(whole)),
            6 | 7 if !fits(&disk.file.at, place, used) => return None,
            7 if disk.child => out.extend(sectors(disk, image, bat, block, whole)?),
            6 | 7 => out.push(whole),
            _ => return None,
        }
    }
    Some(joined(out.into_iter().map(ByteRange::from).collect()))
}

/// The entry at an offset in the file; zero after the table's end.
fn entry(disk: &Disk, bat: &[u8], offset: u64) -> u64 {
    let at = (offset - disk.file.at.bat_offset) as usize;
    bat.get(at..at + 8).map_or(0, |entry| u64::from_le_bytes(from_fn(|i| entry[i])))
}

fn sectors(
    disk: &Disk,
    image: &Image,
    bat: &[u8],
    block: u64,
    whole: Range<u64>,
) -> Option<Vec<Range<u64>>> {
    let ratio = disk.file.at.chunk_ratio;
    let entry = entry(disk, bat, disk.file.at.bitmap_entry_offset(block / ratio));
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

/// Whether the place is in the file and not taken.
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
    let seed = |(file, disk): (u8, &Disk)| {
        let mb = |place: u64| (place / MB) as u8;
        let (payload, bitmap) = (mb(disk.file.at.payload[&0]), mb(disk.file.at.bitmap[&0]));
        let partial = if disk.child { 7 } else { 6 };
        let last = (Part::PayloadFromEnd(0), payload, partial);
        // Of the last block, only the used part is in the file.
        let used = disk.size - (disk.size - 1) / disk.block * disk.block;
        let cut = (Part::PayloadFromEnd(0), mb(LENGTH - used), partial);
        let plain = [(1, 0, 2), (2, 9, 3), (3, payload, 6), (4, 1, 0)];
        let plain = plain.map(|(block, mb, state)| (Part::Payload(block), mb, state));
        let tables = [
            plain.to_vec(),
            [&plain[..], &[last]].concat(),
            vec![last, (Part::Payload(0x1FFF), payload, 6), (Part::BitmapEntry(1), bitmap, 6)],
            vec![cut, (Part::BitmapEntry(0), bitmap, 7)],
            // Two chunks share a bitmap.
            vec![(Part::Payload(0), payload, partial), (Part::BitmapEntry(1), bitmap, 6)],
        ];
        let checks = [
            CrossCheck::Again,
            CrossCheck::Split(disk.size / 3),
            CrossCheck::Resumed(1),
            CrossCheck::Extents,
            CrossCheck::Content(disk.size / 2),
        ];
        let input = move |(table, check): (Vec<(Part, u8, u8)>, _)| {
            let entry = |(part, mb, state)| (part, Value::Megabytes(mb, state));
            let bits = [(Part::Bitmap, Value::Long(0x5500_0FFF))];
            let patch = |(part, value)| (part, Patch { at: 0, value, restore: false });
            let patches = table.into_iter().map(entry).chain(bits).map(patch).collect();
            encode(&Input { file, check, patches })
        };
        tables.into_iter().zip(checks).map(input)
    };
    (0..).zip(&*DISKS).flat_map(seed).collect()
}
