//! The options for opening a disk.

use super::{Disk, Inner};
use crate::baseline::SnapshotId;
use crate::chain::{Chain, FileResolver};
use crate::error::{ErrorKind, Result, Subject};
use crate::limits::{CancelToken, Limits, MemoryBudget};
use crate::query::Tables;
use crate::source::{LocalStorage, Storage};
use crate::vhd_set::{OpenSet, SnapshotCatalog, SnapshotResolver, VhdSet};
use crate::vhdx::Vhdx;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Options for opening a disk: where its files are, and what the opening and the questions may use.
///
/// Set the options and call [`open`](Self::open). One set of options can open any number of disks;
/// [`Disk::open`] uses the defaults.
///
/// ```no_run
/// let disk = vhdx_rct::OpenOptions::new()
///     .search_path("/backup/parents")
///     .confine_to("/backup")
///     .open("/backup/vm/disk.avhdx")?;
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
#[derive(Clone)]
pub struct OpenOptions {
    resolver: FileResolver,
    limits: Limits,
    target: Option<SnapshotId>,
    catalog: Option<SnapshotCatalog>,
}

impl_debug!(OpenOptions, |options|
    search_paths: options.resolver.search_paths,
    confined_to: options.resolver.confined_to,
    allow_unclean: options.resolver.allow_unclean,
    target: options.target);

impl Default for OpenOptions {
    fn default() -> Self {
        let resolver = FileResolver {
            storage: Arc::new(LocalStorage::new()),
            search_paths: Vec::new(),
            confined_to: None,
            allow_unclean: false,
        };
        OpenOptions { resolver, limits: Limits::default(), target: None, catalog: None }
    }
}

impl OpenOptions {
    /// Creates the default options: the files of this machine, no search paths, no confinement, a
    /// memory budget of 256 MiB, and no deadline.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory in which parents and a set's files are searched for by file name. The
    /// directories are searched in the order in which they were added, after the paths in the image
    /// and the image's own directory.
    pub fn search_path(&mut self, directory: impl Into<PathBuf>) -> &mut Self {
        self.resolver.search_paths.push(directory.into());
        self
    }

    /// Adds a directory to which the opening is confined: files outside these directories are not
    /// opened, whatever the image names. The disk itself may lie anywhere. Not confined unless set.
    pub fn confine_to(&mut self, directory: impl Into<PathBuf>) -> &mut Self {
        self.resolver.confined_to.get_or_insert_default().push(directory.into());
        self
    }

    /// Reads all files from this storage instead of the file system of this machine.
    pub fn storage(&mut self, storage: Arc<dyn Storage>) -> &mut Self {
        self.resolver.storage = storage;
        self
    }

    /// Limits the memory that all questions of the disk use together, in bytes; 256 MiB unless
    /// set. A question takes about 128 KiB per file of the chain, and
    /// [`collect`](crate::ChangeQuery::collect) another 16 bytes per range. A question that needs
    /// more fails with [`ErrorKind::OutOfMemory`].
    pub fn memory_budget(&mut self, bytes: u64) -> &mut Self {
        self.limits.memory = MemoryBudget::new(bytes);
        self
    }

    /// Accepts files that were not closed cleanly even if an answer could then lack the latest
    /// writes: the tracking table of a disk without a parent, and a parent whose log is in use,
    /// because a merge into it may be running. Refused unless set.
    pub fn allow_unclean(&mut self, allow: bool) -> &mut Self {
        self.resolver.allow_unclean = allow;
        self
    }

    /// Opens a VHD Set at this snapshot instead of its active state. Opening anything else then
    /// fails with [`ErrorKind::InvalidParameter`], as does a snapshot that no catalog lists.
    pub fn target(&mut self, snapshot: SnapshotId) -> &mut Self {
        self.target = Some(snapshot);
        self
    }

    /// Sets the catalog of a VHD Set's snapshots. It takes precedence over
    /// `<name>.vhds.snapshots.json` beside the set.
    pub fn catalog(&mut self, catalog: SnapshotCatalog) -> &mut Self {
        self.catalog = Some(catalog);
        self
    }

    /// Sets the time at which the opening fails with [`ErrorKind::TimedOut`]; none unless set.
    /// Questions have [their own](crate::ChangeQuery::deadline).
    pub fn deadline(&mut self, at: Instant) -> &mut Self {
        self.limits.deadline = Some(at);
        self
    }

    /// Sets the token that cancels the opening: it then fails with [`ErrorKind::Cancelled`].
    /// Questions have [their own](crate::ChangeQuery::cancel_token).
    pub fn cancel_token(&mut self, token: CancelToken) -> &mut Self {
        self.limits.cancel = Some(token);
        self
    }

    /// Opens a `.vhdx`, `.avhdx` or `.vhds` file with every parent and every tracking table that is
    /// available. Reads about 500 KiB per file and the log, whatever the disk's size.
    ///
    /// # Errors
    /// Fails if the file itself cannot be opened, is in use, or breaks a rule of [MS-VHDX]; the
    /// [`ErrorKind`] has the reason. [`ErrorKind::ParentNotFound`] if the active file of a set, or
    /// the target's, is missing. A missing or unusable parent or table of a disk is not an error:
    /// see [`Disk::missing_parent`] and [`DiskFile::tracking`](crate::DiskFile::tracking).
    ///
    /// [MS-VHDX]: https://learn.microsoft.com/openspecs/windows_protocols/ms-vhdx
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Disk> {
        let (path, resolver) = (path.as_ref(), self.resolver.clone());
        // Every disk has a budget of its own.
        let limits = &Limits { memory: self.limits.memory.unused(), ..self.limits.clone() };
        let file = resolver.open(path, Subject::Disk, limits)?;
        let start = Vhdx::read_start(file.within(limits))?;
        let (set, chain) = if VhdSet::detect(&start) {
            let set = VhdSet::read(file.about(Subject::VhdSet), &start, limits)?;
            self.open_set(set, limits).map(|(set, chain)| (Some(set), chain))?
        } else {
            let chain = Chain::open(&resolver, Vhdx::read(file, start, limits)?, limits)?;
            if self.target.is_some() {
                let message =
                    "a target snapshot was given, but this is a single disk and not a VHD Set";
                return Err(chain.leaf().file.error(ErrorKind::InvalidParameter, message));
            }
            (None, chain)
        };
        let snapshots = set.as_ref().map_or(Vec::new(), OpenSet::snapshots);
        let mut warnings = set.as_ref().map_or(Vec::new(), OpenSet::warnings);
        warnings.extend(chain.warnings.iter().cloned());
        Ok(Disk(Arc::new(Inner {
            tables: Tables::new(chain, resolver.allow_unclean),
            resolver,
            set,
            target: self.target,
            memory: limits.memory.clone(),
            snapshots,
            warnings,
            cursors: Default::default(),
        })))
    }

    /// Opens the chain of the target snapshot or of the active file.
    fn open_set(&self, file: VhdSet, limits: &Limits) -> Result<(OpenSet, Chain)> {
        let resolver = &self.resolver;
        let set = OpenSet::new(resolver, file, self.catalog.clone(), limits)?;
        let resolve = SnapshotResolver { resolver, set: &set, limits };
        let path = match self.target {
            Some(id) => resolve.target(id)?,
            None => resolve.active_file()?,
        };
        let leaf = Vhdx::open(resolver.open(&path, Subject::Disk, limits)?, limits)?;
        let chain = Chain::open(resolver, leaf, limits)?;
        if let Some(id) = self.target {
            resolve.verify_target(id, &chain)?;
        }
        Ok((set, chain))
    }
}
