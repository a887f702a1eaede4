//! Finds the structure that a patch changes.

use super::model::Model;
use super::plan::Place;
use crate::media::Image;
use crate::patch::{Area, Patch};
use vhdx_rct_fixtures::rct::{Checksum, HEADERS, PAGE, RctPlacement};
use vhdx_rct_fixtures::vhdx::{Placement, store_crc};

/// Changes one of the files.
pub fn apply(
    patch: &Patch,
    place: Place,
    model: &Model,
    images: &mut [(Image, Option<Image>)],
    file: u8,
) {
    let file = usize::from(file) % images.len();
    let (at, rct) = &model.places[file];
    let (disk, table) = &mut images[file];
    match (table, rct.as_ref().and_then(|rct| in_table(place, rct))) {
        (Some(table), Some(area)) => {
            // The most common convention, whatever the table has.
            patch.apply(table, area, |bytes| Checksum::At4From8.store(bytes));
        }
        _ if matches!(place, Place::End) => {
            disk.set_length(disk.length() * u64::from(patch.at) / 0xFFFF);
        }
        _ => patch.apply(disk, in_disk(place, at, patch.at), store_crc),
    }
}

fn in_table(place: Place, rct: &RctPlacement) -> Option<Area> {
    let (start, length) = match place {
        Place::RctHeader(second) => (HEADERS[usize::from(second)], 0x48),
        Place::RctHistory(second) => (HEADERS[usize::from(second)] + 0x1000, 96),
        Place::RctOffsets => (*rct.offset_pages.first()?, 64),
        Place::RctSequences => (rct.sequence_pages.values().next().copied().unwrap_or(0), PAGE),
        _ => return None,
    };
    Some(Area::in_page(start, length))
}

fn in_disk(place: Place, at: &Placement, index: u16) -> Area {
    let checked = |start, length, covered| Area { start, length, covered: Some((start, covered)) };
    match place {
        Place::Header(second) => checked(at.header_offsets[usize::from(second)], 80, 4096),
        Place::RegionTable(second) => {
            checked(at.region_table_offsets[usize::from(second)], 96, 65536)
        }
        Place::MetadataTable => Area::plain(at.metadata_offset, 288),
        Place::MetadataItems => Area::plain(at.metadata_offset + 65536, 512),
        Place::Bat => Area::plain(at.bat_offset, 128),
        Place::Bitmap => match at.bitmap.iter().next() {
            Some((_, &bitmap)) if index.is_multiple_of(2) => Area::plain(bitmap, 2048),
            first => {
                let chunk = first.map_or(0, |(&chunk, _)| chunk);
                Area::plain(at.bitmap_entry_offset(chunk), 8)
            }
        },
        Place::Log => {
            let entries = at.log_entries.len().max(1);
            let entry = at.log_entries.get(usize::from(index) % entries);
            let (start, length) = entry.copied().unwrap_or((0, 4096));
            // In an entry that wraps at the ring's end, the restored checksum is wrong as well.
            checked(at.log_offset + start, 160, length as usize)
        }
        _ => Area::plain(0, at.file_length),
    }
}
