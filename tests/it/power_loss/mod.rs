//! Power loss during a write: every prefix of a writer's calls, the last one torn. Each is read as
//! the state before or after an update, or refused if neither is certain.

mod rct;
mod set;
mod vhdx;

use crate::common::memory::Patched;
use vhdx_rct_fixtures::power::Cut;

/// The file after a power loss.
fn source(cut: &Cut) -> Patched {
    let whole = Patched::new(&cut.base).long(cut.length);
    cut.patches.iter().fold(whole, |file, (at, bytes)| file.with(*at, bytes.as_slice()))
}
