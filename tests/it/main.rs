//! The library, used as its users use it, and what surrounds it.
#![allow(clippy::single_range_in_vec_init)] // a list of ranges may have one

mod baselines;
mod chains;
mod common;
mod field_samples;
mod fuzz_findings;
mod hostile;
mod house;
mod jobs;
mod lives;
mod others;
mod peers;
mod real_images;
mod refusals;
mod returns;
mod sets;
mod threads;
mod torn;
mod tracked;
