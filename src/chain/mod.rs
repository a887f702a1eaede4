//! The chain from a leaf to its root: finds and opens parents, and the tracking tables beside them.

mod extents;
mod layer_stack;
mod resolver;
mod table;
mod windows_path;

pub(crate) use extents::ExtentIter;
pub use extents::{Extent, ExtentKind};
pub(crate) use layer_stack::{LayerStack, SizedLayer};
pub(crate) use resolver::FileResolver;
pub(crate) use table::Table;
pub(crate) use windows_path::{WindowsPath, same_name};

use crate::error::{Error, ErrorKind, Result, Subject};
use crate::limits::Limits;
use crate::rct::TrackingTable;
use crate::vhdx::{Coalescing, Extents, Vhdx};
use crate::warning::Warning;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The maximum number of files in a chain. Hyper-V makes at most 50 checkpoints, every file of a
/// chain is held open, and a process often may open no more than 1024.
pub const MAX_CHAIN_FILES: usize = 256;

/// A disk's file and its parents, leaf first, with the tracking tables beside them. Opened once, as
/// far as the parents are available.
pub(crate) struct Chain {
    files: Vec<ChainFile>,
    /// The reason why the next parent is not open.
    missing_parent: Option<Error>,
    warnings: Vec<Warning>,
}

/// A file of a chain.
pub(crate) struct ChainFile {
    pub vhdx: Arc<Vhdx>,
    /// Its canonical name.
    pub name: PathBuf,
    pub table: Table,
}

impl ChainFile {
    pub(crate) fn usable_table(&self) -> Option<&Arc<TrackingTable>> {
        match &self.table {
            Table::Usable(table) => Some(table),
            _ => None,
        }
    }
}

impl Chain {
    /// Opens every parent of a file that can be found, and every tracking table beside them.
    ///
    /// # Errors
    /// Only the limits of the opening, and a file that was replaced in the meantime. If a parent or
    /// a table cannot be used, the reason is kept.
    pub(crate) fn open(resolver: &FileResolver, leaf: Vhdx, limits: &Limits) -> Result<Self> {
        let name = resolver
            .canonical(leaf.path())
            .map_err(|e| Error::io("cannot be opened", e).in_file(Subject::Disk, leaf.path()))?;
        let mut chain = Chain { files: Vec::new(), missing_parent: None, warnings: Vec::new() };
        chain.push(resolver, leaf, name, limits)?;
        while chain.missing_parent.is_none() && chain.last().metadata().has_parent() {
            match chain.open_parent(resolver, limits) {
                Ok((parent, name)) => chain.push(resolver, parent, name, limits)?,
                Err(error) if error.concerns_request() => return Err(error),
                Err(error) => chain.missing_parent = Some(error),
            }
        }
        // A file may have been replaced under its name while it was opened.
        chain.files.iter().try_for_each(|file| file.vhdx.verify_version())?;
        Ok(chain)
    }

    fn last(&self) -> &Vhdx {
        &self.files[self.files.len() - 1].vhdx
    }

    fn open_parent(&self, resolver: &FileResolver, limits: &Limits) -> Result<(Vhdx, PathBuf)> {
        if self.files.len() >= MAX_CHAIN_FILES {
            let message = format!(
                "the chain goes on after {MAX_CHAIN_FILES} files, the maximum; merge some of them first"
            );
            return Err(self.last().error(ErrorKind::ChainTooDeep, message));
        }
        let above: Vec<&Path> = self.files.iter().map(|file| &*file.name).collect();
        resolver::open_parent(resolver, self.last(), &above, limits)
    }

    fn push(
        &mut self,
        resolver: &FileResolver,
        vhdx: Vhdx,
        name: PathBuf,
        limits: &Limits,
    ) -> Result<()> {
        if let Some(child) = self.files.last() {
            let (ours, theirs) = (child.vhdx.metadata().disk_id, vhdx.metadata().disk_id);
            if ours != theirs {
                let message = format!(
                    "the virtual disk id is {theirs}, but that of the child {} is {ours}; the DataWriteGuid is the \
                     one that the child names, so the file was accepted as its parent",
                    child.vhdx.path().display()
                );
                self.warnings.push(Warning::new(vhdx.path(), message));
            }
        }
        let table = Table::open(resolver, &vhdx, &name, limits)?;
        self.warnings.extend(table.warning(&vhdx));
        self.files.push(ChainFile { vhdx: Arc::new(vhdx), name, table });
        Ok(())
    }

    /// Fails if a parent is not open.
    pub(crate) fn verify_complete(&self) -> Result<()> {
        self.missing_parent.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn missing_parent(&self) -> Option<&Error> {
        self.missing_parent.as_ref()
    }

    /// Returns the open files, leaf first.
    pub(crate) fn files(&self) -> &[ChainFile] {
        &self.files
    }

    /// Returns the requested file.
    pub(crate) fn leaf(&self) -> &Vhdx {
        &self.files[0].vhdx
    }

    pub(crate) fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Returns the depth of the file that a path leads to; None if it is not a file of the chain.
    pub(crate) fn position(&self, resolver: &FileResolver, path: &Path) -> Option<usize> {
        let name = resolver.canonical(path).ok()?;
        self.files.iter().position(|file| file.name == name)
    }

    /// Returns the content of the blocks of one file.
    pub(crate) fn layer(
        &self,
        depth: usize,
        coalescing: Coalescing,
        limits: &Limits,
    ) -> SizedLayer {
        let vhdx = self.files[depth].vhdx.clone();
        let size = vhdx.virtual_size();
        SizedLayer { layer: Box::new(Extents::new(vhdx, coalescing, limits)), size }
    }

    /// Returns all open files on top of each other.
    pub(crate) fn stack(&self, coalescing: Coalescing, limits: &Limits) -> LayerStack {
        let depths = 0..self.files.len();
        LayerStack::new(depths.map(|depth| self.layer(depth, coalescing, limits)).collect(), 0)
    }
}
