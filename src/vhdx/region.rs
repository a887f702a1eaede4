//! The region tables ([MS-VHDX] 2.2.3): the places of the BAT and the metadata.

use super::header::{CopyState, Header, copy_state, truncated};
use super::layout::*;
use crate::error::{ErrorKind, Result};
use crate::size::to_usize;
use crate::source::Reader;
use crate::wire::Fields;
use uuid::Uuid;

/// A structure's place in the file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Region {
    /// The region's GUID; nil for the log, whose place is in the header.
    pub id: Uuid,
    /// The offset of the first byte.
    pub offset: u64,
    /// The length in bytes.
    pub length: u64,
    /// Whether a reader that does not support the region must refuse the file.
    pub required: bool,
}

impl Region {
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// Everything in the file besides blocks: the log and every region, by offset.
#[derive(Debug, Clone)]
pub(super) struct Regions {
    pub bat: Region,
    pub metadata: Region,
    /// The log and all regions, sorted, none overlapping.
    pub all: Vec<Region>,
    pub states: [CopyState; 2],
}

impl Regions {
    pub(super) fn read(file: &Reader, start: &[u8], header: &Header) -> Result<Self> {
        let mut states = [CopyState::NoSignature; 2];
        let mut current = None;
        for (state, offset) in states.iter_mut().zip(REGION_TABLE_OFFSETS) {
            let range = to_usize(offset)..to_usize(offset) + REGION_TABLE_BYTES;
            let table =
                start.get(range).ok_or_else(|| truncated(file, "a region table", offset))?;
            let mut fields = Fields::new("a region table", table);
            let header = RegionTableHeader::parse(&mut fields).map_err(|e| file.name(e))?;
            *state = copy_state(table, (&header.signature, header.checksum), REGION_SIGNATURE);
            if *state == CopyState::Valid && current.is_none() {
                current = Some((header, fields));
            }
        }
        let Some((table, mut entries)) = current else {
            let message = format!(
                "no region table is valid: expected the copies at 192 KiB and 256 KiB to be signed \"regi\" and \
                 to match their CRC-32C, found {:?} and {:?}",
                states[0], states[1]
            );
            return Err(file.error(ErrorKind::Corrupt, message));
        };
        let mut all = parse(file, &table, &mut entries)?;
        let find = |id: Uuid, name| {
            all.iter().find(|region| region.id == id).copied().ok_or_else(|| {
                file.error(ErrorKind::Corrupt, format!("the region table names no {name} region"))
            })
        };
        let (bat, metadata) = (find(BAT_REGION, "BAT")?, find(METADATA_REGION, "metadata")?);
        if header.log_length > 0 {
            let (offset, length) = (header.log_offset, header.log_length);
            all.push(Region { id: Uuid::nil(), offset, length, required: true });
        }
        verify_disjoint(file, &mut all)?;
        Ok(Regions { bat, metadata, all, states })
    }

    /// Returns whether `offset..end` overlaps the log or a region.
    pub(super) fn occupied(&self, offset: u64, end: u64) -> bool {
        self.all.iter().any(|region| offset < region.end() && region.offset < end)
    }
}

fn parse(
    file: &Reader,
    table: &RegionTableHeader,
    entries: &mut Fields<'_>,
) -> Result<Vec<Region>> {
    let count = table.entry_count;
    if count > MAX_TABLE_ENTRIES {
        let message =
            format!("expected the region table to have at most 2047 entries, found {count}");
        return Err(file.error(ErrorKind::Corrupt, message));
    }
    let mut regions = Vec::new();
    for _ in 0..count {
        let entry = RegionTableEntry::parse(entries).map_err(|error| file.name(error))?;
        let region = Region {
            id: entry.guid,
            offset: entry.file_offset,
            length: entry.length.into(),
            required: entry.required(),
        };
        validate(file, &region)?;
        regions.push(region);
    }
    let mut ids: Vec<Uuid> = regions.iter().map(|region| region.id).collect();
    ids.sort_unstable();
    if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        let message = format!("the region table names region {} twice", twice[0]);
        return Err(file.error(ErrorKind::Corrupt, message));
    }
    Ok(regions)
}

fn validate(file: &Reader, region: &Region) -> Result<()> {
    let Region { id, offset, length, required } = *region;
    if required && id != BAT_REGION && id != METADATA_REGION {
        let message = format!(
            "region {id} is marked as required and this version does not know it; a newer reader is needed"
        );
        return Err(file.error(ErrorKind::UnknownRequired, message));
    }
    let aligned = offset % MB == 0 && length % MB == 0;
    if !aligned || offset < HEADER_SECTION || length == 0 || offset.checked_add(length).is_none() {
        let message = format!(
            "expected region {id} to have an offset and a length that are multiples of 1 MiB, the offset at least \
             1 MiB, found {length:#x} bytes at {offset:#x}"
        );
        return Err(file.error(ErrorKind::Corrupt, message));
    }
    Ok(())
}

fn verify_disjoint(file: &Reader, regions: &mut [Region]) -> Result<()> {
    regions.sort_unstable_by_key(|region| region.offset);
    match regions.windows(2).find(|pair| pair[0].end() > pair[1].offset) {
        None => Ok(()),
        Some(pair) => Err(file.error(
            ErrorKind::Corrupt,
            format!(
                "two structures overlap in the file: one at {:#x} to {:#x}, one from {:#x} on (the log \
                 counts as one)",
                pair[0].offset,
                pair[0].end(),
                pair[1].offset
            ),
        )),
    }
}
