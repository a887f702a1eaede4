//! The range-query engine: a plan over a chain, and the stream of ranges that it gives.

mod consistency;
mod lanes;
mod plan;
mod ranges;
mod tracked;
mod walk;

pub use consistency::TableEvidence;
pub(crate) use plan::{Baseline, Plan};
pub(crate) use ranges::Ranges;
pub(crate) use tracked::TrackedChain;
