//! The fuzz targets: functions of a structured input, and what they share.
//!
//! The parsers of the crate under test are private. Each target therefore builds a file with the
//! fixture builders, changes it as the input describes, and asks questions about it.

pub mod ask;
pub mod media;
pub mod patch;
pub mod targets;
