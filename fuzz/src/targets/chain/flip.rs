//! Breaks single bytes where they matter.

use super::model::Model;
use super::plan::{Flip, Place, Value};
use crate::media::Image;
use vhdx_rct_fixtures::rct::{Checksum, HEADERS, PAGE, RctPlacement};
use vhdx_rct_fixtures::vhdx::{MB, Placement};

/// Where a structure lies, and the bytes that its checksum at byte 4 covers, if it has one.
struct Target {
    start: u64,
    length: u64,
    seal: Option<(u64, usize)>,
}

/// Breaks one byte, or a few, of one of the files.
pub fn flipped(flip: &Flip, model: &Model, images: &mut [(Image, Option<Image>)]) {
    let file = usize::from(flip.file) % images.len();
    let (at, rct) = &model.places[file];
    let (disk, table) = &mut images[file];
    match table.as_mut().zip(rct.as_ref()) {
        Some((table, rct)) if is_of_table(flip.place) => {
            let target = in_table(flip.place, rct);
            put(flip, &target, table);
            // Whatever convention the table has, the most common one is tried.
            if flip.seal {
                let page = target.start / PAGE * PAGE;
                let mut bytes = table.get(page, 0x4000);
                Checksum::At4From8.store(&mut bytes);
                table.put(page + 4, &bytes[4..8]);
            }
        }
        _ if matches!(flip.place, Place::End) => {
            disk.set_length(disk.length() * u64::from(flip.at) / 0xFFFF);
        }
        _ => {
            let target = in_disk(flip.place, at, flip.at);
            put(flip, &target, disk);
            if let Some((start, length)) = target.seal.filter(|_| flip.seal) {
                disk.seal(start, length);
            }
        }
    }
}

fn is_of_table(place: Place) -> bool {
    use Place::{RctHeader, RctHistory, RctOffsets, RctSequences};
    matches!(place, RctHeader(_) | RctHistory(_) | RctOffsets | RctSequences)
}

fn in_table(place: Place, rct: &RctPlacement) -> Target {
    let (start, length) = match place {
        Place::RctHeader(second) => (HEADERS[usize::from(second)], 0x48),
        Place::RctHistory(second) => (HEADERS[usize::from(second)] + 0x1000, 96),
        Place::RctOffsets => (rct.offset_pages.first().copied().unwrap_or(0), 64),
        _ => (rct.sequence_pages.values().next().copied().unwrap_or(0), PAGE),
    };
    Target { start, length, seal: None }
}

fn in_disk(place: Place, at: &Placement, index: u16) -> Target {
    let plain = |start, length| Target { start, length, seal: None };
    let sealed = |start, length, covered| Target { start, length, seal: Some((start, covered)) };
    match place {
        Place::Header(second) => sealed(at.header_offsets[usize::from(second)], 80, 4096),
        Place::RegionTable(second) => {
            sealed(at.region_table_offsets[usize::from(second)], 96, 65536)
        }
        Place::MetadataTable => plain(at.metadata_offset, 288),
        Place::MetadataItems => plain(at.metadata_offset + 65536, 512),
        Place::Bat => plain(at.bat_offset, 128),
        Place::Bitmap => {
            let first = at.bitmap.iter().next();
            let bitmap = first.filter(|_| index.is_multiple_of(2)).map(|(_, &offset)| offset);
            let chunk = first.map_or(0, |(&chunk, _)| chunk);
            bitmap.map_or(plain(at.bitmap_entry_offset(chunk), 8), |start| plain(start, 2048))
        }
        Place::Log => {
            let entries = at.log_entries.len().max(1);
            let entry = at.log_entries.get(usize::from(index) % entries);
            let (start, length) = entry.copied().unwrap_or((0, 4096));
            // A seal over an entry that wraps at the ring's end is one more broken thing.
            sealed(at.log_offset + start, 160, length as usize)
        }
        _ => plain(0, at.file_length),
    }
}

fn put(flip: &Flip, target: &Target, image: &mut Image) {
    let scattered = u64::from(flip.at).wrapping_mul(0x9E37_79B9);
    let at = match target.length {
        0..=4096 => u64::from(flip.at) % target.length,
        _ => scattered % target.length,
    };
    let wide = |value: u64| (at & !7, value.to_le_bytes().to_vec());
    let (at, bytes) = match flip.value {
        Value::Xor(bits) => (at, vec![image.get(target.start + at, 1)[0] ^ bits]),
        Value::Byte(byte) => (at, vec![byte]),
        Value::Power(bits) => wide(1 << (bits % 64)),
        Value::BelowPower(bits) => wide((1 << (bits % 64)) - 1),
        Value::Word(word) => (at & !3, word.to_le_bytes().to_vec()),
        Value::Megabytes(count, state) => wide((u64::from(count) * MB) | u64::from(state % 8)),
    };
    image.put(target.start + at, bytes);
}
