//! The file type identifier and the header pair ([MS-VHDX] 2.2.1, 2.2.2).

use super::layout::{self, *};
use crate::error::{ErrorKind, Result};
use crate::limits::Limits;
use crate::size::to_usize;
use crate::source::Reader;
use crate::wire::{Fields, checksum};
use byteorder::{ByteOrder, LittleEndian};
use uuid::Uuid;

/// The current header of a file: the valid copy or, if both are valid, the newer one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The index of this copy: 0 (at 64 KiB) or 1 (at 128 KiB).
    pub copy: usize,
    /// Increases with every update of the header.
    pub sequence_number: u64,
    /// Changes whenever the file is opened for writing.
    pub file_write_guid: Uuid,
    /// Changes before guest-visible content changes; a child records its parent's value.
    pub data_write_guid: Uuid,
    /// The log's id; nil if the log is empty.
    pub log_guid: Uuid,
    /// The log's length in bytes.
    pub log_length: u64,
    /// The log's offset in the file, in bytes.
    pub log_offset: u64,
    log_version: u16,
    version: u16,
}

/// The state of one header copy.
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

/// Returns whether the signature and the checksum of a structure are correct.
pub(super) fn copy_state(
    bytes: &[u8],
    (found, stored): (&[u8; 4], u32),
    signature: &[u8; 4],
) -> CopyState {
    if found != signature {
        CopyState::NoSignature
    } else if checksum(bytes, CHECKSUM_AT) != stored {
        CopyState::BadChecksum
    } else {
        CopyState::Valid
    }
}

/// Verifies that the file is a VHDX file and returns its creator text (diagnostic only).
pub(super) fn read_identifier(file: &Reader, start: &[u8], limits: &Limits) -> Result<String> {
    if !start.starts_with(FILE_SIGNATURE) {
        return Err(foreign(file, start, limits));
    }
    let mut fields = Fields::new("the file type identifier", start);
    let identifier = FileTypeIdentifier::parse(&mut fields)
        .map_err(|_| truncated(file, "the file type identifier", 0))?;
    let units: Vec<u16> = identifier.creator.chunks_exact(2).map(LittleEndian::read_u16).collect();
    let text = units.split(|&unit| unit == 0).next().unwrap_or_default();
    Ok(String::from_utf16_lossy(text))
}

fn foreign(file: &Reader, bytes: &[u8], limits: &Limits) -> crate::Error {
    let (kind, what) = match bytes {
        _ if bytes.starts_with(b"vhdsetv1") => (
            ErrorKind::UnknownFormat,
            "is a VHD Set (.vhds), and a single disk (.vhdx, .avhdx) is needed here",
        ),
        _ if bytes.starts_with(b"conectix") => (
            ErrorKind::UnknownFormat,
            "is a VHD of the first version, which has no change tracking; convert it to VHDX",
        ),
        _ if ends_with_vhd_footer(file, limits) => (
            ErrorKind::UnknownFormat,
            "is a fixed VHD of the first version, which has no change tracking; convert it to VHDX",
        ),
        _ => (ErrorKind::NotVirtualDisk, "is not a virtual hard disk in VHDX format"),
    };
    let found = String::from_utf8_lossy(&bytes[..bytes.len().min(8)]).escape_debug().to_string();
    file.error(
        kind,
        format!("the file {what}: expected it to start with \"vhdxfile\", found \"{found}\""),
    )
}

fn ends_with_vhd_footer(file: &Reader, limits: &Limits) -> bool {
    let Some(at) = file.length().checked_sub(512) else { return false };
    file.read_vec(limits, at, 8, "the last sector").is_ok_and(|bytes| bytes == b"conectix")
}

/// Reads the current header.
pub(super) fn read_pair(file: &Reader, limits: &Limits) -> Result<Header> {
    let length = HEADER_OFFSETS[1] + HEADER_BYTES as u64 - HEADER_OFFSETS[0];
    let bytes = file.read_vec(limits, HEADER_OFFSETS[0], to_usize(length), "the headers")?;
    parse_pair(file, &bytes, HEADER_OFFSETS[0]).map(|(header, _)| header)
}

/// Parses the current header and the state of both copies from bytes of the file that begin at
/// `at`.
pub(super) fn parse_pair(file: &Reader, bytes: &[u8], at: u64) -> Result<(Header, [CopyState; 2])> {
    let mut copies: [&[u8]; 2] = [&[]; 2];
    for (copy, offset) in copies.iter_mut().zip(HEADER_OFFSETS) {
        let range = to_usize(offset - at)..to_usize(offset - at) + HEADER_BYTES;
        *copy = bytes.get(range).ok_or_else(|| truncated(file, "a header", offset))?;
    }
    let parse = |bytes| {
        let parsed = layout::Header::parse(&mut Fields::new("a header", bytes));
        parsed.map_err(|error| file.name(error))
    };
    let parsed = [parse(copies[0])?, parse(copies[1])?];
    let states = [0, 1].map(|i| {
        copy_state(copies[i], (&parsed[i].signature, parsed[i].checksum), HEADER_SIGNATURE)
    });
    let sequences = [0, 1].map(|i| parsed[i].sequence_number);
    let current = match states.map(|state| state == CopyState::Valid) {
        [true, true] if sequences[0] == sequences[1] && copies[0] != copies[1] => {
            return Err(file.error(
                ErrorKind::Corrupt,
                format!(
                    "both headers carry sequence number {} and they differ, so neither is known to be \
                     current; repair the file with its owner's tools first",
                    sequences[0]
                ),
            ));
        }
        [true, true] => usize::from(sequences[1] > sequences[0]),
        [true, false] => 0,
        [false, true] => 1,
        [false, false] => {
            return Err(file.error(
                ErrorKind::Corrupt,
                format!(
                    "no header is valid: expected the copies at 64 KiB and 128 KiB to be signed \"head\" and to \
                     match their CRC-32C, found {:?} and {:?}",
                    states[0], states[1]
                ),
            ));
        }
    };
    let header = Header::new(&parsed[current], current);
    validate(file, &header)?;
    Ok((header, states))
}

impl Header {
    fn new(parsed: &layout::Header, copy: usize) -> Self {
        Header {
            copy,
            sequence_number: parsed.sequence_number,
            file_write_guid: parsed.file_write_guid,
            data_write_guid: parsed.data_write_guid,
            log_guid: parsed.log_guid,
            log_version: parsed.log_version,
            version: parsed.version,
            log_length: parsed.log_length.into(),
            log_offset: parsed.log_offset,
        }
    }
}

fn validate(file: &Reader, header: &Header) -> Result<()> {
    if header.version != 1 {
        let message = format!("expected header version 1, found {}", header.version);
        return Err(file.error(ErrorKind::UnsupportedVersion, message));
    }
    let dirty = !header.log_guid.is_nil();
    // The log's version is irrelevant if there is nothing to replay.
    if dirty && header.log_version != 0 {
        let message = format!("expected log version 0, found {}", header.log_version);
        return Err(file.error(ErrorKind::UnsupportedVersion, message));
    }
    let (offset, length) = (header.log_offset, header.log_length);
    let aligned = offset % MB == 0 && length % MB == 0;
    let placed = offset >= HEADER_SECTION && offset.checked_add(length).is_some();
    // A file whose log was never used may lack one.
    let none = !dirty && (offset, length) == (0, 0);
    if !none && (!aligned || !placed || (dirty && length == 0)) {
        return Err(file.error(
            ErrorKind::Corrupt,
            format!(
                "expected the log's offset and length to be multiples of 1 MiB, the offset at least 1 MiB, found \
                 {length:#x} bytes at {offset:#x}"
            ),
        ));
    }
    Ok(())
}

/// Returns the error for a file that ends before a structure of the header section.
pub(super) fn truncated(file: &Reader, what: &str, offset: u64) -> crate::Error {
    let message = format!(
        "expected {what} at offset {offset:#x}, but the file ends at {:#x}; it was truncated",
        file.length()
    );
    file.error(ErrorKind::Truncated, message)
}
