//! The tool, run as its users run it.

mod changes;
mod failures;
mod info;
mod inspect;
mod map;
mod qemu;
mod recipe;
mod sets;
mod sync;
mod terminal;
mod tool;
mod usage;
