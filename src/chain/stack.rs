//! The layers of a chain laid over one another: the first that has something decides.

use crate::error::Result;
use crate::extent::{Extent, Held, Layer};

/// Layers, leaf first.
pub(crate) struct Stack {
    slots: Vec<Slot>,
}

struct Slot {
    layer: Box<dyn Layer>,
    /// The layer's disk ends here.
    size: u64,
    /// Behind its end, up to here, the layer reads as zeros over a larger disk below: a disk
    /// that was made smaller and larger again does not show what it once had.
    shadow: u64,
    /// The extent that was found last, and where it begins.
    known: Option<(u64, Extent)>,
}

/// What a stack has at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub extent: Extent,
    /// Which layer decided, 0 for the leaf; where none did, the number of layers.
    pub depth: usize,
}

impl Stack {
    /// `layers` with their disks' sizes, leaf first; `below` is the size of the disk under
    /// the last one, as far as the question looks at it, else 0.
    pub fn new(layers: Vec<(Box<dyn Layer>, u64)>, below: u64) -> Self {
        let mut shadow = below;
        let mut slots: Vec<Slot> = Vec::with_capacity(layers.len());
        for (layer, size) in layers.into_iter().rev() {
            slots.push(Slot { layer, size, shadow, known: None });
            shadow = shadow.max(size);
        }
        slots.reverse();
        Stack { slots }
    }

    /// The same layers, asked from another place on. What lies before `from` somebody else
    /// asks about.
    pub fn fork(&self, from: u64) -> Self {
        let slots = self.slots.iter().map(|slot| Slot {
            layer: slot.layer.fork(from),
            known: None,
            ..*slot
        });
        Stack { slots: slots.collect() }
    }

    /// How many layers there are.
    pub fn layers(&self) -> usize {
        self.slots.len()
    }

    /// The only layer, where it alone decides all that lies before `end`.
    pub fn only_layer(&mut self, end: u64) -> Option<&mut dyn Layer> {
        match &mut self.slots[..] {
            [slot] if end <= slot.size => Some(&mut *slot.layer),
            _ => None,
        }
    }

    /// What lies at `at`, up to `limit` at most. `at < limit`.
    pub fn at(&mut self, at: u64, limit: u64) -> Result<Found> {
        let mut end = limit;
        for (depth, slot) in self.slots.iter_mut().enumerate() {
            let mut extent = slot.at(at, end)?;
            end = end.min(extent.end);
            extent.end = end;
            if extent.held != Held::Absent {
                return Ok(Found { extent, depth });
            }
        }
        let extent = Extent { end, held: Held::Absent, file_offset: 0 };
        Ok(Found { extent, depth: self.slots.len() })
    }
}

impl Slot {
    fn at(&mut self, at: u64, limit: u64) -> Result<Extent> {
        if at >= self.size {
            let (end, held) = if at < self.shadow {
                (limit.min(self.shadow), Held::Zero)
            } else {
                (limit, Held::Absent)
            };
            return Ok(Extent { end, held, file_offset: 0 });
        }
        if let Some((start, extent)) = self.known
            && (start..extent.end).contains(&at)
        {
            return Ok(Extent { file_offset: extent.file_offset + (at - start), ..extent });
        }
        let extent = self.layer.extent(at, limit.min(self.size))?;
        self.known = Some((at, extent));
        Ok(extent)
    }
}
