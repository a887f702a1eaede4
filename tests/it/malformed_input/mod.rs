//! Malformed files, failing media, and every byte flipped: an error or an answer that contains
//! every changed range, in bounded time and memory, and without a panic.

mod blocked_reads;
pub mod bounds;
mod catalogs;
mod files;
mod flips;
#[cfg(unix)]
mod in_use;
mod large;
mod log;
mod media;
#[cfg(unix)]
mod paths;
mod random;
mod rct;
