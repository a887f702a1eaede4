//! Opens a chain from its leaf on: each parent, if it is the one that its child was created from,
//! and the tracking tables beside them.

use super::{Chain, DiskFile, FileResolver, MAX_CHAIN_FILES, table};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::limits::Limits;
use crate::vhdx::Vhdx;
use crate::warning::Warning;
use std::path::{Path, PathBuf};

/// The means and limits of opening a chain.
#[derive(Clone, Copy)]
pub(super) struct Opening<'a> {
    pub resolver: &'a FileResolver,
    pub limits: &'a Limits,
}

impl Chain {
    /// Opens every parent of a file that can be found, and every tracking table beside them.
    ///
    /// # Errors
    /// Only the limits of the opening, and a file that was replaced in the meantime. If a parent or
    /// a table cannot be used, the reason is kept.
    pub(crate) fn open(resolver: &FileResolver, leaf: Vhdx, limits: &Limits) -> Result<Self> {
        let name = resolver.canonical(&leaf.file.path);
        let name = name.map_err(|e| leaf.file.name(Error::io("cannot be opened", e)))?;
        let opening = Opening { resolver, limits };
        let mut chain = Chain { files: Vec::new(), missing_parent: None, warnings: Vec::new() };
        opening.push(&mut chain, leaf, name)?;
        while chain.missing_parent.is_none() && chain.last().metadata.has_parent() {
            match opening.parent(&chain) {
                Ok((parent, name)) => opening.push(&mut chain, parent, name)?,
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
}

impl Opening<'_> {
    /// Adds a file with the table beside it.
    fn push(self, chain: &mut Chain, vhdx: Vhdx, name: PathBuf) -> Result<()> {
        if let Some(child) = chain.files.last() {
            let (ours, theirs) = (child.vhdx.metadata.disk_id, vhdx.metadata.disk_id);
            if ours != theirs {
                let message = format!(
                    "the virtual disk id is {theirs}, but that of the child {} is {ours}; the DataWriteGuid is the \
                     one that the child names, so the file was accepted as its parent",
                    child.path().display()
                );
                chain.warnings.push(Warning::new(&vhdx.file.path, message));
            }
        }
        let tracking = table::open(self, &vhdx, &name)?;
        chain.warnings.extend(table::warning(&tracking, &vhdx));
        chain.files.push(DiskFile::new(vhdx, name, tracking));
        Ok(())
    }

    /// Opens the parent of the last file, with its canonical name: the first candidate that the
    /// file was created from.
    fn parent(self, chain: &Chain) -> Result<(Vhdx, PathBuf)> {
        let child = chain.last();
        if chain.files.len() >= MAX_CHAIN_FILES {
            let message = format!(
                "the chain goes on after {MAX_CHAIN_FILES} files, the maximum; merge some of them first"
            );
            return Err(child.file.error(ErrorKind::ChainTooDeep, message));
        }
        let locator = child.metadata.parent_locator.as_ref();
        let paths: Vec<&str> = locator.iter().flat_map(|locator| locator.paths()).collect();
        let (candidates, denied) = self.resolver.search(&child.file.path, &paths);
        let mut problem = denied.map(Error::in_parent);
        for candidate in candidates {
            match self.candidate(chain, &candidate) {
                Ok(parent) => return Ok((parent, candidate)),
                // A deadline applies to the opening, not to this candidate.
                Err(error)
                    if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Cancelled) =>
                {
                    return Err(error);
                }
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        Err(problem.unwrap_or_else(|| {
            let message = format!(
                "its parent cannot be found: searched for {} at the recorded path, beside the file and in {} search \
                 paths; add the parent's directory as a search path",
                paths.join(", "),
                self.resolver.search_paths.len()
            );
            child.file.error(ErrorKind::ParentNotFound, message)
        }))
    }

    /// Opens a file if it is the parent of the last one.
    fn candidate(self, chain: &Chain, path: &Path) -> Result<Vhdx> {
        if chain.files.iter().any(|file| file.name == path) {
            let message = "a child of this file names it as its parent: the chain is a cycle";
            return Err(Error::new(ErrorKind::Cycle, message).in_file(Subject::Parent, path));
        }
        let file = self.resolver.open(path, Subject::Parent, self.limits);
        let parent = file.and_then(|file| Vhdx::open(file, self.limits));
        let parent = parent.map_err(Error::in_parent)?;
        // Only the parent's DataWriteGuid counts: disk ids may differ within a chain.
        let (child, found) = (chain.last(), parent.header.data_write_guid);
        let locator = child.metadata.parent_locator.as_ref();
        if let Some(locator) = locator.filter(|locator| !locator.accepts(found)) {
            let message = format!(
                "expected a parent with DataWriteGuid {}, found {found} in {}: the parent was written to after \
                 this file was made, or is another file",
                locator.parent_linkage,
                path.display()
            );
            return Err(child.file.error(ErrorKind::ParentMismatch, message));
        }
        // A parent is frozen when its child is created, so its log is empty. Hyper-V opens it for
        // writing again when it merges a child into it.
        if !self.resolver.allow_unclean && !parent.closed_cleanly() {
            let message = "this parent's log is in use, but a parent is frozen when its child is made: a merge may be \
                           running, or may have been interrupted. Try again once Hyper-V has finished, or accept \
                           unclean files (allow_unclean, --allow-unclean)";
            return Err(parent.file.error(ErrorKind::ParentNotFrozen, message));
        }
        Ok(parent)
    }
}
