//! The range-query engine: selects the layers that answer a question, and scans them for ranges.

mod answering;
mod consistency;
mod plan;
mod scanner;

pub(crate) use answering::Tables;
pub use consistency::TableEvidence;
pub(crate) use plan::{Plan, Reference};
pub(crate) use scanner::RangeScanner;
