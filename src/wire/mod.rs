//! Code that the formats share: fields in file order, GUIDs, CRC-32C.

mod checksum;
mod fields;

pub(crate) use checksum::checksum;
pub(crate) use fields::{FieldRecord, Fields};
