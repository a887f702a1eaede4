//! What a `.vhds` file shows of each fact, taken down without trusting any.

use super::file::checksum_holds;
use super::layout::*;
use crate::error::Result;
use crate::source::Reader;
use byteorder::{ByteOrder, LittleEndian};

/// One header copy as it stands.
#[derive(Debug, Clone)]
pub(crate) struct HeaderCopy {
    pub offset: u64,
    pub signed: bool,
    pub checksum_holds: bool,
    pub sequence_number: u64,
    pub version: u32,
}

/// A set as it stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probe {
    pub signed: bool,
    pub headers: Vec<HeaderCopy>,
}

pub(crate) fn probe(file: &Reader) -> Result<Probe> {
    let available = file.length().min(FILE_SIGNATURE.len() as u64) as usize;
    let start = file.read_vec(0, available, "the file's first bytes")?;
    let mut found = Probe { signed: start == FILE_SIGNATURE, headers: Vec::new() };
    for offset in HEADER_OFFSETS {
        if file.length() < offset + HEADER_BYTES as u64 {
            continue;
        }
        let bytes = file.read_vec(offset, HEADER_BYTES, "a header of the set")?;
        found.headers.push(HeaderCopy {
            offset,
            signed: bytes.starts_with(HEADER_SIGNATURE),
            checksum_holds: checksum_holds(&bytes),
            sequence_number: LittleEndian::read_u64(&bytes[SEQUENCE_AT..]),
            version: LittleEndian::read_u32(&bytes[VERSION_AT..]),
        });
    }
    Ok(found)
}
