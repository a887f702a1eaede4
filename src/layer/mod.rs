//! Layers: what one file of a chain, or its tracking table, reports about a part of the virtual
//! disk.

mod state;
mod unit_bitmap;

pub(crate) use state::{LayerState, StateSet};
pub(crate) use unit_bitmap::UnitBitmap;

use crate::error::Result;

/// A part of the virtual disk in one state, from the requested offset up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerExtent {
    pub end: u64,
    pub state: LayerState,
    /// The offset of the first byte in the layer's file. Only with [`LayerState::Data`], and valid
    /// for the whole extent only if mapped extents were requested.
    pub file_offset: u64,
}

/// One layer of a chain, queried in ascending order.
pub(crate) trait Layer: Send {
    /// Returns the extent that begins at `at` and ends after it, at `limit` or before. Neighboring
    /// extents may have the same state. `at < limit`.
    fn extent(&mut self, at: u64, limit: u64) -> Result<LayerExtent>;

    /// Fills the bitmap with the units from the one that contains `at` on, as far as the layer has
    /// their details loaded. Returns false if an extent is more efficient. `at < limit`.
    fn fill(&mut self, _at: u64, _limit: u64, _bitmap: &mut UnitBitmap) -> Result<bool> {
        Ok(false)
    }
}
