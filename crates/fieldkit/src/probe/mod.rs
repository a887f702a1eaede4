//! Reads the files as they are stored, without trusting any fact.

pub(crate) mod rct;
pub(crate) mod vhds;
