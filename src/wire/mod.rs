//! Code that the formats share: fields in file order, GUIDs, CRC-32C.

mod checksum;
mod fields;
mod structure;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use checksum::checksum;
pub(crate) use fields::{FieldRecord, Fields};
pub(crate) use structure::structure;
