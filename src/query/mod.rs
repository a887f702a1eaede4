//! The range-query engine: selects the layers that answer a question, and scans them for ranges.

mod consistency;
mod plan;
mod scanner;
mod since_id;

pub use consistency::TableEvidence;
pub(crate) use plan::{Plan, Reference};
pub(crate) use scanner::RangeScanner;
pub(crate) use since_id::Tables;
