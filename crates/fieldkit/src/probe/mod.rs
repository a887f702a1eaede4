//! What the files show of each fact, read as they are stored.

pub(crate) mod rct;
pub(crate) mod vhds;
