//! What one layer (a disk file, or its tracking table) says of a stretch of the virtual disk.

use crate::error::Result;
use crate::mask::Mask;

/// What a layer has where it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// Nothing: the layer below decides.
    Absent,
    /// Zeros, whatever lies below.
    Zero,
    /// No promise about the content; read as zeros, and never the layer below.
    Undefined,
    /// Bytes of its own.
    Data,
}

/// A stretch of the virtual disk, from where a layer was asked to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub end: u64,
    pub held: Held,
    /// Where the first byte lies in the layer's file; only with [`Held::Data`], and good for
    /// the whole extent only if the layer was asked to map it.
    pub file_offset: u64,
}

/// Which stretches a question reports.
pub(crate) type Rule = fn(Held) -> bool;

/// One layer of a chain, asked from the front to the back.
pub(crate) trait Layer: Send {
    /// The extent that begins at `at` and ends after it, at `limit` or before. Stretches of
    /// equal state may come in several extents. `at < limit`.
    fn extent(&mut self, at: u64, limit: u64) -> Result<Extent>;

    /// A cursor of its own for another thread, which asks from `from` on. A check that looks at
    /// all that was read is shared, and each of them counts.
    fn fork(&self, from: u64) -> Box<dyn Layer>;

    /// The units from the one that holds `at` on, as far as the layer has them at hand in
    /// detail; false where an extent is the better answer. `at < limit`.
    fn mask(&mut self, at: u64, limit: u64, rule: Rule, mask: &mut Mask) -> Result<bool>;
}
