//! The file type identifier and the header pair ([MS-VHDX] 2.2.1, 2.2.2).

use super::error::{OtherFormat, VhdxError, ensure};
use super::layout::*;
use crate::error::Result;
use crate::size::to_usize;
use crate::source::FileView;
use crate::wire::{Fields, checksum};
use byteorder::{ByteOrder, LittleEndian};
use std::cmp::Reverse;

/// The state of one copy of a structure that is stored twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CopyState {
    /// The signature and the checksum are correct.
    Valid,
    /// The signature is missing: the copy was never written, or was overwritten.
    NoSignature,
    /// The checksum is wrong: the copy was partially written or damaged.
    BadChecksum,
}

/// The index and the bytes of each valid copy.
type ValidCopies<'a> = Vec<(usize, &'a [u8])>;

impl StoredTwice {
    /// Returns the state of both copies, and at least one valid copy. `bytes` begin at offset `at`
    /// of the file.
    pub(super) fn find<'a>(
        &self,
        bytes: &'a [u8],
        at: u64,
    ) -> Result<([CopyState; 2], ValidCopies<'a>), VhdxError> {
        let (what, mut states, mut valid) = (self.what, [CopyState::Valid; 2], Vec::new());
        for (index, offset) in self.offsets.into_iter().enumerate() {
            let rest = bytes.get(to_usize(offset - at)..).unwrap_or_default();
            let end = at + bytes.len() as u64;
            let copy = rest.get(..self.length).ok_or(VhdxError::Truncated { what, offset, end })?;
            if !copy.starts_with(self.signature.as_bytes()) {
                states[index] = CopyState::NoSignature;
            } else if checksum(copy, CHECKSUM_AT) != LittleEndian::read_u32(&copy[CHECKSUM_AT..]) {
                states[index] = CopyState::BadChecksum;
            } else {
                valid.push((index, copy));
            }
        }
        let (signature, offsets) = (self.signature, self.offsets);
        let none = VhdxError::NoValidCopy { what, signature, offsets, states };
        ensure(!valid.is_empty(), none).map(|()| (states, valid))
    }
}

/// Verifies that the file is a VHDX file and returns its creator text (diagnostic only).
pub(super) fn read_identifier(file: FileView<'_>, start: &[u8]) -> Result<String> {
    if !start.starts_with(FILE_SIGNATURE) {
        let format = match start {
            _ if start.starts_with(b"vhdsetv1") => OtherFormat::VhdSet,
            _ if start.starts_with(b"conectix") => OtherFormat::Vhd,
            _ if ends_with_vhd_footer(file) => OtherFormat::FixedVhd,
            _ => OtherFormat::Unknown,
        };
        let found = String::from_utf8_lossy(&start[..start.len().min(8)]);
        return Err(VhdxError::Signature { format, found: found.escape_debug().to_string() }.into());
    }
    let what = "file type identifier";
    let identifier = FileTypeIdentifier::parse(&mut Fields::new(what, start))
        .map_err(|_| VhdxError::Truncated { what, offset: 0, end: start.len() as u64 })?;
    let units: Vec<u16> = identifier.creator.chunks_exact(2).map(LittleEndian::read_u16).collect();
    let text = units.split(|&unit| unit == 0).next().unwrap_or_default();
    Ok(String::from_utf16_lossy(text))
}

fn ends_with_vhd_footer(file: FileView<'_>) -> bool {
    let Some(at) = file.length.checked_sub(512) else { return false };
    file.read_vec(at, 8, "the last sector").is_ok_and(|bytes| bytes == b"conectix")
}

/// Reads the current header.
pub(super) fn read_pair(file: FileView<'_>) -> Result<Header> {
    let [first, second] = HEADERS.offsets;
    let length = to_usize(second - first) + HEADERS.length;
    let bytes = file.read_vec(first, length, "the headers")?;
    parse_pair(&bytes, first).map(|(header, _)| header)
}

/// Parses the current header and the state of both copies from bytes of the file that begin at
/// `at`.
pub(super) fn parse_pair(bytes: &[u8], at: u64) -> Result<(Header, [CopyState; 2])> {
    let (states, copies) = HEADERS.find(bytes, at)?;
    let parse = |&(index, copy): &_| Header::parse(&mut Fields::new("a header", copy), index);
    let mut headers = copies.iter().map(parse).collect::<Result<Vec<_>>>()?;
    if let [first, second] = &*headers
        && first.sequence_number == second.sequence_number
        && copies[0].1 != copies[1].1
    {
        return Err(VhdxError::HeadersDiffer(first.sequence_number).into());
    }
    headers.sort_by_key(|header| Reverse(header.sequence_number));
    let header = headers.swap_remove(0);
    header.verify()?;
    Ok((header, states))
}

impl Header {
    fn verify(&self) -> Result<(), VhdxError> {
        let verify_version = |structure, expected, found| {
            ensure(found == expected, VhdxError::Version { structure, expected, found })
        };
        verify_version("header", 1, self.version)?;
        let dirty = !self.log_guid.is_nil();
        // The log's version is irrelevant if there is nothing to replay.
        if dirty {
            verify_version("log", 0, self.log_version)?;
        }
        let (offset, length) = (self.log_offset, self.log_length);
        // A file whose log was never used may lack one.
        let none = !dirty && (offset, length) == (0, 0);
        let placed = is_placed(offset, length) && (length > 0 || !dirty);
        let what = "the log".into();
        ensure(none || placed, VhdxError::Place { what, offset, length })
    }
}

/// Returns whether this is a possible place of the log or a region.
pub(super) fn is_placed(offset: u64, length: u64) -> bool {
    let aligned = offset.is_multiple_of(MIB) && length.is_multiple_of(MIB);
    aligned && offset >= HEADER_SECTION && offset.checked_add(length).is_some()
}
