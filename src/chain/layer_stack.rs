//! The layers of a chain on top of each other: the topmost present layer decides.

use crate::error::Result;
use crate::layer::{Layer, LayerExtent, LayerState};

/// Layers, leaf first.
pub(crate) struct LayerStack {
    layers: Vec<LayerEntry>,
}

/// A layer of a stack.
pub(crate) struct LayerEntry {
    layer: Box<dyn Layer>,
    /// The size of the layer's disk in bytes.
    size: u64,
    /// The end of the zeros that the layer has past its own end, over a larger disk below: a disk
    /// that was shrunk and grown again does not expose its old content.
    zero_until: u64,
    /// The extent that was found last, and its start.
    known: Option<(u64, LayerExtent)>,
}

/// The extent of a stack at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StackExtent {
    pub extent: LayerExtent,
    /// The index of the layer that decided, 0 for the leaf; the number of layers if none did.
    pub depth: usize,
}

impl LayerStack {
    /// Stacks layers, leaf first; `below` is the size of the disk under the last one if it matters
    /// to the question, else 0.
    pub(crate) fn new(mut layers: Vec<LayerEntry>, below: u64) -> Self {
        let mut zero_until = below;
        for entry in layers.iter_mut().rev() {
            entry.zero_until = zero_until;
            zero_until = zero_until.max(entry.size);
        }
        LayerStack { layers }
    }

    /// Returns the only layer that decides everything before `end`, if there is exactly one.
    pub(crate) fn only_layer(&mut self, end: u64) -> Option<&mut dyn Layer> {
        match &mut self.layers[..] {
            [entry] if end <= entry.size => Some(&mut *entry.layer),
            _ => None,
        }
    }

    /// Returns the extent at `at`, which ends at `limit` or before. `at < limit`.
    pub(crate) fn extent(&mut self, at: u64, limit: u64) -> Result<StackExtent> {
        let mut end = limit;
        for (depth, entry) in self.layers.iter_mut().enumerate() {
            let mut extent = entry.extent(at, end)?;
            end = end.min(extent.end);
            extent.end = end;
            if extent.state != LayerState::Absent {
                return Ok(StackExtent { extent, depth });
            }
        }
        let extent = LayerExtent { end, state: LayerState::Absent, file_offset: 0 };
        Ok(StackExtent { extent, depth: self.layers.len() })
    }
}

impl LayerEntry {
    pub(crate) fn new(layer: impl Layer + 'static, size: u64) -> Self {
        LayerEntry { layer: Box::new(layer), size, zero_until: 0, known: None }
    }

    fn extent(&mut self, at: u64, limit: u64) -> Result<LayerExtent> {
        if at >= self.size {
            let (end, state) = if at < self.zero_until {
                (limit.min(self.zero_until), LayerState::Zero)
            } else {
                (limit, LayerState::Absent)
            };
            return Ok(LayerExtent { end, state, file_offset: 0 });
        }
        if let Some((start, extent)) = self.known
            && (start..extent.end).contains(&at)
        {
            return Ok(LayerExtent { file_offset: extent.file_offset + (at - start), ..extent });
        }
        let extent = self.layer.extent(at, limit.min(self.size))?;
        self.known = Some((at, extent));
        Ok(extent)
    }
}
