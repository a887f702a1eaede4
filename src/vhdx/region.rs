//! The region tables ([MS-VHDX] 2.2.3): the places of the BAT and the metadata.

use super::error::{VhdxError, ensure};
use super::header::{CopyState, is_placed};
use super::layout::*;
use crate::error::Result;
use crate::wire::Fields;
use uuid::Uuid;

/// Everything in the file besides blocks: the log and every region, by offset.
#[derive(Debug, Clone)]
pub(crate) struct Regions {
    pub bat: Region,
    pub metadata: Region,
    /// The log and all regions, sorted, none overlapping.
    pub all: Vec<Region>,
    pub states: [CopyState; 2],
}

impl Regions {
    /// Parses the regions from the start of the file.
    pub(super) fn parse(start: &[u8], header: &Header) -> Result<Self> {
        let (states, copies) = REGION_TABLES.find(start, 0)?;
        let mut fields = Fields::new("a region table", copies[0].1);
        let count = RegionTableHeader::parse(&mut fields)?.entry_count;
        ensure(count <= MAX_TABLE_ENTRIES, VhdxError::RegionCount(count))?;
        let regions = (0..count).map(|_| Region::parse(&mut fields));
        let mut all = regions.collect::<Result<Vec<_>>>()?;
        all.iter().try_for_each(Region::verify)?;
        all.sort_unstable_by_key(|region| region.id);
        if let Some(twice) = all.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(VhdxError::RegionTwice(twice[0].id).into());
        }
        let find = |id: Uuid, name| {
            let found = all.iter().find(|region| region.id == id).copied();
            found.ok_or(VhdxError::RegionMissing(name))
        };
        let (bat, metadata) = (find(BAT_REGION, "BAT")?, find(METADATA_REGION, "metadata")?);
        all.extend(header.log());
        all.sort_unstable_by_key(|region| region.offset);
        if let Some(pair) = all.windows(2).find(|pair| pair[0].end() > pair[1].offset) {
            let (start, end, next) = (pair[0].offset, pair[0].end(), pair[1].offset);
            return Err(VhdxError::RegionOverlap { start, end, next }.into());
        }
        Ok(Regions { bat, metadata, all, states })
    }

    /// Returns whether `offset..end` overlaps the log or a region.
    pub(super) fn occupied(&self, offset: u64, end: u64) -> bool {
        self.all.iter().any(|region| offset < region.end() && region.offset < end)
    }
}

impl Region {
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.length
    }

    fn verify(&self) -> Result<(), VhdxError> {
        let Region { id, offset, length, required } = *self;
        let known = [BAT_REGION, METADATA_REGION].contains(&id);
        ensure(known || !required, VhdxError::UnknownRequired { what: "region", id })?;
        let what = format!("region {id}");
        let placed = is_placed(offset, length) && length > 0;
        ensure(placed, VhdxError::Place { what, offset, length })
    }
}

impl Header {
    /// Returns the place of the log, if the file has one.
    pub(super) fn log(&self) -> Option<Region> {
        let (offset, length) = (self.log_offset, self.log_length);
        (length > 0).then_some(Region { id: Uuid::nil(), offset, length, required: true })
    }
}
