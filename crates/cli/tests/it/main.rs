//! The tool, run as its users run it.

mod cli;
mod guards;
mod sets;
mod sync;
