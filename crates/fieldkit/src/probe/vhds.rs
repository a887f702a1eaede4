//! Reads a `.vhds` file without trusting any of the facts.

use crate::error::Result;
use crate::pack::PackedFile;
use vhdx_rct::vhd_set::raw::{self, *};

/// One header copy as stored.
#[derive(Debug, Clone)]
pub(crate) struct HeaderCopy {
    pub offset: u64,
    pub signed: bool,
    pub checksum_holds: bool,
    pub sequence_number: u64,
    pub version: u32,
}

/// A set as stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probe {
    pub signed: bool,
    pub headers: Vec<HeaderCopy>,
}

pub(crate) fn probe(file: &PackedFile) -> Result<Probe> {
    let available = file.length().min(FILE_SIGNATURE.len() as u64) as usize;
    let start = file.read(0, available)?;
    let mut found = Probe { signed: start == FILE_SIGNATURE, headers: Vec::new() };
    for offset in HEADER_OFFSETS {
        if file.length() < offset + HEADER_BYTES as u64 {
            continue;
        }
        let bytes = file.read(offset, HEADER_BYTES)?;
        let header = raw::HeaderCopy::from_bytes(&bytes)?;
        found.headers.push(HeaderCopy {
            offset,
            signed: header.signature == *HEADER_SIGNATURE,
            checksum_holds: checksum_holds(&bytes),
            sequence_number: header.sequence_number,
            version: header.version,
        });
    }
    Ok(found)
}
