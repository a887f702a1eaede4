//! From a leaf to its root: finding parents, checking that they are the right ones, reading
//! through them.

mod content;
mod disk;
mod locate;
mod stack;
mod winpath;

pub(crate) use content::Cutter;
pub use content::{Content, DiskExtent};
pub use disk::{DiskReader, Extents, VirtualDisk};
pub(crate) use locate::Access;
pub(crate) use stack::Stack;
pub(crate) use winpath::{WindowsPath, same_name};

use crate::error::{Error, ErrorKind, Result};
use crate::extent::Layer;
use crate::source::LocalStorage;
use crate::vhdx::{Extents as FileExtents, Grain, Vhdx};
use crate::warning::Warning;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A longer chain is refused: Hyper-V makes at most 50 checkpoints, every file of a chain is
/// held open, and a process often may open no more than 1024.
pub const MAX_CHAIN_FILES: usize = 256;

/// A differencing disk and its parents, leaf first. It may be open only as deep as a
/// question needs.
#[derive(Clone)]
pub struct Chain {
    files: Vec<Arc<Vhdx>>,
    /// Each file's canonical name, in the same order.
    names: Vec<PathBuf>,
    access: Access,
    warnings: Vec<Warning>,
}

impl Chain {
    /// Opens a disk of this machine with all its parents.
    ///
    /// # Errors
    /// As [`Vhdx::open`] for each file; [`ErrorKind::ParentNotFound`],
    /// [`ErrorKind::ParentMismatch`], [`ErrorKind::Cycle`] and their like for the chain.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let mut chain = Self::leaf_only(Access::new(Arc::new(LocalStorage::new())), path.as_ref())?;
        chain.complete()?;
        Ok(chain)
    }

    /// Opens the leaf; parents follow with [`extend`](Self::extend).
    pub(crate) fn leaf_only(access: Access, path: &Path) -> Result<Self> {
        let name =
            access.canonical(path).map_err(|e| Error::io("cannot be opened", e).in_file(path))?;
        let leaf = Vhdx::open_in(&*access.storage, path, &access.guard)?;
        Ok(Chain { files: vec![Arc::new(leaf)], names: vec![name], access, warnings: Vec::new() })
    }

    /// Opens the next parent; false where there is none.
    pub(crate) fn extend(&mut self) -> Result<bool> {
        let child = &self.files[self.files.len() - 1];
        if !child.metadata().has_parent() {
            return Ok(false);
        }
        if self.files.len() >= MAX_CHAIN_FILES {
            let message = format!(
                "the chain goes on behind {MAX_CHAIN_FILES} files; merge it, it cannot be followed"
            );
            return Err(Error::new(ErrorKind::ChainTooDeep, message).in_file(child.path()));
        }
        let (parent, name) = locate::open_parent(&self.access, child, &self.names)?;
        let (ours, theirs) = (child.metadata().disk_id, parent.metadata().disk_id);
        if ours != theirs {
            let message = format!(
                "the virtual disk id is {theirs}, but that of the child {} is {ours}; the DataWriteGuid is the one \
                 that the child names, so the file was accepted as its parent",
                child.path().display()
            );
            self.warnings.push(Warning::new(parent.path(), message));
        }
        self.files.push(parent);
        self.names.push(name);
        Ok(true)
    }

    /// Opens every parent that is not open yet.
    pub(crate) fn complete(&mut self) -> Result<()> {
        while self.extend()? {}
        Ok(())
    }

    /// The depth at which a file lies in the chain, which is opened as far as that; None
    /// where it is no file of the chain.
    pub(crate) fn find(&mut self, path: &Path) -> Result<Option<usize>> {
        let Ok(name) = self.access.canonical(path) else { return Ok(None) };
        let mut depth = 0;
        loop {
            if self.names[depth] == name {
                return Ok(Some(depth));
            }
            depth += 1;
            if depth == self.files.len() && !self.extend()? {
                return Ok(None);
            }
        }
    }

    /// The files that are open, leaf first.
    pub fn files(&self) -> &[Arc<Vhdx>] {
        &self.files
    }

    /// A file's canonical name.
    pub(crate) fn name(&self, depth: usize) -> &Path {
        &self.names[depth]
    }

    /// Adds warnings about what led to this chain.
    pub(crate) fn warn(&mut self, warnings: Vec<Warning>) {
        self.warnings.extend(warnings);
    }

    /// What is worth knowing about the files that are open.
    pub(crate) fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// How the files were reached.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// The file that was asked for.
    pub fn leaf(&self) -> &Vhdx {
        &self.files[0]
    }

    /// A file's own say, as a layer with its disk's size.
    pub(crate) fn layer(&self, depth: usize, grain: Grain) -> (Box<dyn Layer>, u64) {
        let file = &self.files[depth];
        (Box::new(FileExtents::new(file.clone(), grain)), file.virtual_size())
    }

    /// All open files laid over one another.
    pub(crate) fn stack(&self, grain: Grain) -> Stack {
        Stack::new((0..self.files.len()).map(|depth| self.layer(depth, grain)).collect(), 0)
    }
}
