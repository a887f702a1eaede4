//! The chain from a leaf to its root: finds and opens parents, and the tracking tables beside them.

mod extents;
mod file;
mod layer_stack;
mod opening;
mod resolver;
mod table;
mod windows_path;

pub(crate) use extents::ExtentIter;
pub use extents::{Extent, ExtentKind};
pub use file::{DiskFile, FileIdentity, Tracking};
pub(crate) use layer_stack::{LayerEntry, LayerStack};
pub(crate) use resolver::FileResolver;
pub(crate) use windows_path::{WindowsPath, same_name};

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::vhdx::{Coalescing, Extents, Vhdx};
use crate::warning::Warning;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The maximum number of files in a chain. Hyper-V makes at most 50 checkpoints, every file of a
/// chain is held open, and a process often may open no more than 1024.
pub const MAX_CHAIN_FILES: usize = 256;

/// A disk's file and its parents, leaf first, with the tracking tables beside them. Opened once, as
/// far as the parents are available.
pub(crate) struct Chain {
    /// The open files, leaf first.
    pub files: Vec<DiskFile>,
    /// The reason why the next parent is not open.
    pub missing_parent: Option<Error>,
    pub warnings: Vec<Warning>,
}

impl Chain {
    /// Fails if a parent is not open.
    pub(crate) fn verify_complete(&self) -> Result<()> {
        self.missing_parent.clone().map_or(Ok(()), Err)
    }

    /// Returns the requested file.
    pub(crate) fn leaf(&self) -> &Vhdx {
        &self.files[0].vhdx
    }

    /// Returns the depth of the file that a path leads to; None if it is not a file of the chain.
    pub(crate) fn position(&self, resolver: &FileResolver, path: &Path) -> Option<usize> {
        let name = resolver.canonical(path).ok()?;
        self.files.iter().position(|file| file.name == name)
    }

    /// Returns the content of the blocks of the files at these depths.
    pub(crate) fn layers(
        &self,
        depths: Range<usize>,
        coalescing: Coalescing,
        limits: &Limits,
    ) -> Vec<LayerEntry> {
        let blocks = |vhdx: &Arc<Vhdx>| Extents::new(vhdx.clone(), coalescing, limits);
        let files = self.files[depths].iter().map(|file| &file.vhdx);
        files.map(|vhdx| LayerEntry::new(blocks(vhdx), vhdx.virtual_size())).collect()
    }

    /// Returns all open files on top of each other, with the place of data in them.
    pub(crate) fn stack(&self, limits: &Limits) -> LayerStack {
        LayerStack::new(self.layers(0..self.files.len(), Coalescing::Mapped, limits), 0)
    }
}
