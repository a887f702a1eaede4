//! Tests of the library through its public API, and of the project around it.
#![allow(clippy::single_range_in_vec_init)] // a list of ranges may have one

mod architecture;
mod baselines;
mod chains;
mod common;
mod errors;
mod fuzz_findings;
mod jobs;
mod lives;
mod malformed_input;
mod next_baselines;
mod open_once;
mod peers;
mod power_loss;
mod questions;
mod reader_bugs;
mod real_images;
mod refusals;
mod regions;
mod return_values;
mod sets;
mod tracked;
