//! The region tables ([MS-VHDX] 2.2.3): where the BAT and the metadata lie.

use super::header::{CopyState, Header, copy_state};
use super::layout::*;
use crate::bytes::guid;
use crate::error::{ErrorKind, Result};
use crate::source::Reader;
use byteorder::{ByteOrder, LittleEndian};
use uuid::Uuid;

/// A structure's place in the file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Region {
    /// Which region; nil for the log, which the header places.
    pub id: Uuid,
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// A reader that does not know it must not open the file.
    pub required: bool,
}

impl Region {
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// Everything that occupies the file besides blocks: the log and every region, by offset.
#[derive(Debug, Clone)]
pub(super) struct Regions {
    pub bat: Region,
    pub metadata: Region,
    /// All of them with the log, sorted, none overlapping.
    pub all: Vec<Region>,
    pub states: [CopyState; 2],
}

impl Regions {
    pub fn read(file: &Reader, header: &Header) -> Result<Self> {
        let mut states = [CopyState::NoSignature; 2];
        let mut current = None;
        for (state, offset) in states.iter_mut().zip(REGION_TABLE_OFFSETS) {
            let table = file.read_vec(offset, REGION_TABLE_BYTES, "a region table")?;
            *state = copy_state(&table, REGION_SIGNATURE);
            if *state == CopyState::Valid && current.is_none() {
                current = Some(table);
            }
        }
        let Some(table) = current else {
            let message = format!(
                "no valid region table: the copies at 192 KB and 256 KB should be signed \"regi\" and match \
                 their CRC-32C, and are {:?} and {:?}",
                states[0], states[1]
            );
            return Err(file.error(ErrorKind::Corrupt, message));
        };
        let mut all = parse(file, &table)?;
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
        must_be_disjoint(file, &mut all)?;
        Ok(Regions { bat, metadata, all, states })
    }

    /// Does `offset..end` touch the log or a region?
    pub fn occupied(&self, offset: u64, end: u64) -> bool {
        self.all.iter().any(|region| offset < region.end() && region.offset < end)
    }
}

fn parse(file: &Reader, table: &[u8]) -> Result<Vec<Region>> {
    let count = LittleEndian::read_u32(&table[8..]);
    if count > MAX_TABLE_ENTRIES {
        let message =
            format!("the region table should have at most 2047 entries and claims {count}");
        return Err(file.error(ErrorKind::Corrupt, message));
    }
    let mut regions = Vec::new();
    for entry in table[16..].chunks_exact(32).take(count as usize) {
        let region = Region {
            id: guid(entry),
            offset: LittleEndian::read_u64(&entry[16..]),
            length: LittleEndian::read_u32(&entry[24..]).into(),
            required: LittleEndian::read_u32(&entry[28..]) & 1 != 0,
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
            "region {id} lies at {offset:#x} with {length:#x} bytes; both should be multiples of 1 MB, \
             from 1 MB on"
        );
        return Err(file.error(ErrorKind::Corrupt, message));
    }
    Ok(())
}

fn must_be_disjoint(file: &Reader, regions: &mut [Region]) -> Result<()> {
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
