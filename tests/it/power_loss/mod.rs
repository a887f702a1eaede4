//! Files that lost power while they were written to: every prefix of a writer's calls, the last
//! one torn. Each is read as the state before an update or after it, or refused where nothing
//! else would be true.

mod rct;
mod set;
mod vhdx;

use crate::common::memory::Patched;
use vhdx_rct_fixtures::power::Cut;

/// What is left of a file.
fn source(cut: &Cut) -> Patched {
    let whole = Patched::new(&cut.base).long(cut.length);
    cut.patches.iter().fold(whole, |file, (at, bytes)| file.with(*at, bytes.as_slice()))
}
