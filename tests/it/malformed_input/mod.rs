//! Files made to break their reader, media that fail, and every byte flipped: an error or an
//! answer that is large enough, in bounded time and memory; never a panic.

mod blocks;
pub mod bounds;
mod chains;
mod files;
mod flips;
#[cfg(unix)]
mod in_use;
mod json;
mod large;
mod log;
mod media;
#[cfg(unix)]
mod paths;
mod random;
mod rct;
