//! Every structure has the size and the field offsets in the specification.

use super::*;
use crate::error::{ErrorKind, Result};
use crate::wire::Fields;
use crate::wire::testing::{sample, word};
use uuid::Uuid;

/// Parses a structure of this size from exactly that many bytes, and refuses one byte less.
fn parse_all<'a, T>(bytes: &'a [u8], size: usize, parse: fn(&mut Fields<'a>) -> Result<T>) -> T {
    let mut fields = Fields::new("the structure", bytes);
    let value = parse(&mut fields).unwrap();
    assert_eq!(fields.position(), size);
    let short = parse(&mut Fields::new("the structure", &bytes[..size - 1]));
    let error = short.err().expect("a structure without its last byte is accepted");
    assert_eq!((error.kind(), error.io_kind()), (ErrorKind::Truncated, None));
    value
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn guid(bytes: &[u8], at: usize) -> Uuid {
    Uuid::from_bytes_le(bytes[at..at + 16].try_into().unwrap())
}

#[test]
fn file_type_identifier_has_its_size() {
    let bytes = sample(8192);
    let identifier = parse_all(&bytes, 520, FileTypeIdentifier::parse);
    assert_eq!(identifier.signature, bytes[..8]);
    assert_eq!(identifier.creator, bytes[8..520]);
}

#[test]
fn header_has_its_size() {
    let bytes = sample(8192);
    let header = parse_all(&bytes, HEADERS.length, |fields| Header::parse(fields, 1));
    assert_eq!((header.signature.as_slice(), header.checksum), (&bytes[..4], word(&bytes, 4)));
    assert_eq!(header.sequence_number, long(&bytes, 8));
    assert_eq!(header.file_write_guid, guid(&bytes, 16));
    assert_eq!(header.data_write_guid, guid(&bytes, 32));
    assert_eq!(header.log_guid, guid(&bytes, 48));
    assert_eq!((header.log_version, header.version), (half(&bytes, 64), half(&bytes, 66)));
    assert_eq!((header.log_length, header.log_offset), (word(&bytes, 68).into(), long(&bytes, 72)));
    assert_eq!(header.copy, 1);
}

#[test]
fn region_table_has_its_sizes() {
    let bytes = sample(8192);
    let header = parse_all(&bytes, 16, RegionTableHeader::parse);
    assert_eq!((header.signature.as_slice(), header.checksum), (&bytes[..4], word(&bytes, 4)));
    assert_eq!((header.entry_count, header.reserved), (word(&bytes, 8), word(&bytes, 12)));
    let region = parse_all(&bytes, 32, Region::parse);
    assert_eq!((region.id, region.offset), (guid(&bytes, 0), long(&bytes, 16)));
    assert_eq!((region.length, region.required), (word(&bytes, 24).into(), bytes[28] & 1 == 1));
    assert_eq!(16 + MAX_TABLE_ENTRIES as usize * 32, REGION_TABLES.length - 16);
}

#[test]
fn log_entry_header_has_its_size() {
    let bytes = sample(8192);
    let header = parse_all(&bytes, LOG_ENTRY_HEADER as usize, |fields| LogEntry::parse(fields, 7));
    assert_eq!((header.signature.as_slice(), header.checksum), (&bytes[..4], word(&bytes, 4)));
    assert_eq!(header.entry_length, u64::from(word(&bytes, 8)));
    assert_eq!((header.at, header.tail), (7, word(&bytes, 12).into()));
    assert_eq!(header.sequence_number, long(&bytes, 16));
    assert_eq!(header.descriptor_count, u64::from(word(&bytes, 24)));
    assert_eq!(header.reserved, word(&bytes, 28));
    assert_eq!(header.log_guid, guid(&bytes, 32));
    assert_eq!(header.flushed_file_offset, long(&bytes, 48));
    assert_eq!(header.last_file_offset, long(&bytes, 56));
}

#[test]
fn log_descriptors_have_their_size() {
    let mut bytes = sample(8192);
    for (signature, kind, length) in [
        (b"zero", (true, false), long(&bytes, 8)),
        (b"desc", (false, true), LOG_SECTOR),
        (b"else", (false, false), long(&bytes, 8)),
    ] {
        bytes[..4].copy_from_slice(signature);
        let found = parse_all(&bytes, LOG_DESCRIPTOR as usize, LogDescriptor::parse);
        assert_eq!(found.signature, *signature);
        assert_eq!(
            (&found.trailing_bytes[..], &found.leading_bytes[..]),
            (&bytes[4..8], &bytes[8..16])
        );
        assert_eq!(
            (found.file_offset, found.sequence_number),
            (long(&bytes, 16), long(&bytes, 24))
        );
        assert_eq!((found.is_zero(), found.is_data()), kind);
        assert_eq!(found.length(), length);
    }
}

#[test]
fn data_sector_has_its_size() {
    let bytes = sample(8192);
    let sector = parse_all(&bytes, LOG_SECTOR_BYTES, DataSector::parse);
    assert_eq!((sector.signature.as_slice(), sector.sequence_high), (&bytes[..4], word(&bytes, 4)));
    assert_eq!(sector.data, bytes[8..4092]);
    assert_eq!(sector.sequence_low, word(&bytes, 4092));
}

#[test]
fn metadata_table_has_its_sizes() {
    let bytes = sample(8192);
    let header = parse_all(&bytes, 32, MetadataTableHeader::parse);
    assert_eq!((header.signature.as_slice(), header.reserved), (&bytes[..8], half(&bytes, 8)));
    assert_eq!(header.entry_count, half(&bytes, 10));
    assert_eq!(header.reserved2, bytes[12..32]);
    let entry = parse_all(&bytes, 32, MetadataTableEntry::parse);
    assert_eq!((entry.item_id, entry.offset), (guid(&bytes, 0), word(&bytes, 16)));
    assert_eq!((entry.length, entry.flags), (word(&bytes, 20), word(&bytes, 24)));
    assert_eq!(entry.reserved2, word(&bytes, 28));
}

#[test]
fn metadata_items_have_their_sizes() {
    let bytes = sample(8192);
    let parameters = parse_all(&bytes, 8, FileParameters::parse);
    assert_eq!((parameters.block_size, parameters.flags), (word(&bytes, 0), word(&bytes, 4)));
    let header = parse_all(&bytes, 20, ParentLocatorHeader::parse);
    assert_eq!((header.locator_type, header.reserved), (guid(&bytes, 0), half(&bytes, 16)));
    assert_eq!(header.key_value_count, half(&bytes, 18));
    let entry = parse_all(&bytes, LOCATOR_ENTRY, ParentLocatorEntry::parse);
    assert_eq!((entry.key_offset, entry.value_offset), (word(&bytes, 0), word(&bytes, 4)));
    assert_eq!((entry.key_length, entry.value_length), (half(&bytes, 8), half(&bytes, 10)));
}
