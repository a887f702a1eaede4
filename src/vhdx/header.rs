//! The file type identifier and the header pair ([MS-VHDX] 2.2.1, 2.2.2).

use super::layout::*;
use crate::bytes::{checksum, guid};
use crate::error::{ErrorKind, Result};
use crate::source::Reader;
use byteorder::{ByteOrder, LittleEndian};
use uuid::Uuid;

/// The current header of a file: of the two copies, the valid one, or the newer of two.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Which copy this is: 0 (at 64 KB) or 1 (at 128 KB).
    pub copy: usize,
    /// Grows with every change of the header.
    pub sequence_number: u64,
    /// Changes whenever the file is opened for writing.
    pub file_write_guid: Uuid,
    /// Changes before what a guest sees is changed; a child remembers its parent's.
    pub data_write_guid: Uuid,
    /// Nil where the log is empty.
    pub log_guid: Uuid,
    /// The log's length in bytes.
    pub log_length: u64,
    /// The log's offset in the file, in bytes.
    pub log_offset: u64,
    log_version: u16,
    version: u16,
}

/// What one header copy looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CopyState {
    /// Signature and checksum hold.
    Valid,
    /// The signature is missing: never written, or overwritten.
    NoSignature,
    /// The checksum does not hold: torn or damaged.
    BadChecksum,
}

/// Signature and checksum of a structure that keeps the checksum at byte 4.
pub(super) fn copy_state(bytes: &[u8], signature: &[u8; 4]) -> CopyState {
    if &bytes[..4] != signature {
        CopyState::NoSignature
    } else if checksum(bytes, 4) != LittleEndian::read_u32(&bytes[4..]) {
        CopyState::BadChecksum
    } else {
        CopyState::Valid
    }
}

/// Makes sure that the file is a VHDX and returns its creator text (diagnostic only).
pub(super) fn read_identifier(file: &Reader) -> Result<String> {
    let available = file.length().min((8 + CREATOR_BYTES) as u64) as usize;
    let bytes = file.read_vec(0, available, "the file type identifier")?;
    if !bytes.starts_with(FILE_SIGNATURE) {
        return Err(foreign(file, &bytes));
    }
    let units: Vec<u16> = bytes[8..].chunks_exact(2).map(LittleEndian::read_u16).collect();
    let text = units.split(|&unit| unit == 0).next().unwrap_or_default();
    Ok(String::from_utf16_lossy(text))
}

fn foreign(file: &Reader, bytes: &[u8]) -> crate::Error {
    let (kind, what) = match bytes {
        _ if bytes.starts_with(b"vhdsetv1") => (
            ErrorKind::UnknownFormat,
            "is a VHD Set (.vhds), and a single disk (.vhdx, .avhdx) is needed here",
        ),
        _ if bytes.starts_with(b"conectix") => (
            ErrorKind::UnknownFormat,
            "is a VHD of the first version, which has no change tracking; convert it to VHDX",
        ),
        _ if ends_with_vhd_footer(file) => (
            ErrorKind::UnknownFormat,
            "is a fixed VHD of the first version, which has no change tracking; convert it to VHDX",
        ),
        _ => (ErrorKind::NotVirtualDisk, "is no virtual hard disk in VHDX format"),
    };
    let found = String::from_utf8_lossy(&bytes[..bytes.len().min(8)]).escape_debug().to_string();
    file.error(
        kind,
        format!("the file {what}: its first bytes should be \"vhdxfile\" and are \"{found}\""),
    )
}

fn ends_with_vhd_footer(file: &Reader) -> bool {
    let Some(at) = file.length().checked_sub(512) else { return false };
    file.read_vec(at, 8, "the last sector").is_ok_and(|bytes| bytes == b"conectix")
}

/// The current header and the state of both copies.
pub(super) fn read_pair(file: &Reader) -> Result<(Header, [CopyState; 2])> {
    let mut copies = [const { Vec::new() }; 2];
    for (copy, offset) in copies.iter_mut().zip(HEADER_OFFSETS) {
        *copy = file.read_vec(offset, HEADER_BYTES, "a header")?;
    }
    let states = [0, 1].map(|i| copy_state(&copies[i], HEADER_SIGNATURE));
    let sequences = [0, 1].map(|i| LittleEndian::read_u64(&copies[i][8..]));
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
                    "no valid header: the copies at 64 KB and 128 KB should be signed \"head\" and match \
                     their CRC-32C, and are {:?} and {:?}",
                    states[0], states[1]
                ),
            ));
        }
    };
    let header = parse(&copies[current], current);
    validate(file, &header)?;
    Ok((header, states))
}

fn parse(bytes: &[u8], copy: usize) -> Header {
    Header {
        copy,
        sequence_number: LittleEndian::read_u64(&bytes[8..]),
        file_write_guid: guid(&bytes[16..]),
        data_write_guid: guid(&bytes[32..]),
        log_guid: guid(&bytes[48..]),
        log_version: LittleEndian::read_u16(&bytes[64..]),
        version: LittleEndian::read_u16(&bytes[66..]),
        log_length: LittleEndian::read_u32(&bytes[68..]).into(),
        log_offset: LittleEndian::read_u64(&bytes[72..]),
    }
}

fn validate(file: &Reader, header: &Header) -> Result<()> {
    if header.version != 1 {
        let message = format!("the header should have version 1 and has {}", header.version);
        return Err(file.error(ErrorKind::UnsupportedVersion, message));
    }
    let dirty = !header.log_guid.is_nil();
    // The log's version says nothing while there is nothing to replay.
    if dirty && header.log_version != 0 {
        let message = format!("the log should have version 0 and has {}", header.log_version);
        return Err(file.error(ErrorKind::UnsupportedVersion, message));
    }
    let (offset, length) = (header.log_offset, header.log_length);
    let aligned = offset % MB == 0 && length % MB == 0;
    let placed = offset >= HEADER_SECTION && offset.checked_add(length).is_some();
    // A file whose log was never used need not have one.
    let none = !dirty && (offset, length) == (0, 0);
    if !none && (!aligned || !placed || (dirty && length == 0)) {
        return Err(file.error(
            ErrorKind::Corrupt,
            format!(
                "the header places the log at {offset:#x} with {length:#x} bytes; both should be multiples \
                 of 1 MB, the offset at least 1 MB"
            ),
        ));
    }
    Ok(())
}
