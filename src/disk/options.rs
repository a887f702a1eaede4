//! The options for opening a disk.

use super::{Disk, DiskFile, Inner, OpenSet};
use crate::baseline::SnapshotId;
use crate::chain::{Chain, FileResolver};
use crate::error::{ErrorKind, Result, Subject};
use crate::limits::{CancelToken, Limits, MemoryBudget};
use crate::source::{LocalStorage, Reader, Storage};
use crate::vhd_set::{SnapshotCatalog, SnapshotResolver, Snapshots, VhdSet};
use crate::vhdx::Vhdx;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Options for opening a disk: the location of its files, and the limits of the opening and of
/// questions.
///
/// ```no_run
/// let disk = vhdx_rct::OpenOptions::new()
///     .search_path("/backup/parents")
///     .confine_to("/backup")
///     .open("/backup/vm/disk.avhdx")?;
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct OpenOptions {
    storage: Option<Arc<dyn Storage>>,
    search_paths: Vec<PathBuf>,
    confined_to: Option<Vec<PathBuf>>,
    allow_unclean: bool,
    memory: Option<u64>,
    target: Option<SnapshotId>,
    catalog: Option<SnapshotCatalog>,
    deadline: Option<Instant>,
    cancel: Option<CancelToken>,
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenOptions")
            .field("search_paths", &self.search_paths)
            .field("confined_to", &self.confined_to)
            .field("allow_unclean", &self.allow_unclean)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl OpenOptions {
    /// Creates the default options: files of this machine, no further search paths, 256 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory in which parents and a set's files are searched for by file name.
    pub fn search_path(&mut self, directory: impl Into<PathBuf>) -> &mut Self {
        self.search_paths.push(directory.into());
        self
    }

    /// Adds a directory to which the opening is confined: files outside these directories are not
    /// opened, whatever the image names. The disk itself may lie anywhere.
    pub fn confine_to(&mut self, directory: impl Into<PathBuf>) -> &mut Self {
        self.confined_to.get_or_insert_default().push(directory.into());
        self
    }

    /// Reads from another storage than this machine's files.
    pub fn storage(&mut self, storage: Arc<dyn Storage>) -> &mut Self {
        self.storage = Some(storage);
        self
    }

    /// Limits the memory that all questions of the disk use together, in bytes; 256 MiB unless
    /// set. A question takes about 128 KiB per file of the chain, and
    /// [`collect`](crate::ChangeQuery::collect) another 16 bytes per range.
    pub fn memory_budget(&mut self, bytes: u64) -> &mut Self {
        self.memory = Some(bytes);
        self
    }

    /// Accepts files that were not closed cleanly even if an answer could then lack the latest
    /// writes: the tracking table of a disk without a parent, and a parent whose log is in use,
    /// because a merge into it may be running. Refused unless set.
    pub fn allow_unclean(&mut self, allow: bool) -> &mut Self {
        self.allow_unclean = allow;
        self
    }

    /// Opens a VHD Set at this snapshot instead of its active state.
    pub fn target(&mut self, snapshot: SnapshotId) -> &mut Self {
        self.target = Some(snapshot);
        self
    }

    /// Sets the known snapshots of a VHD Set. This catalog takes precedence over
    /// `<name>.vhds.snapshots.json` beside the set.
    pub fn catalog(&mut self, catalog: SnapshotCatalog) -> &mut Self {
        self.catalog = Some(catalog);
        self
    }

    /// Sets the time at which the opening fails with [`ErrorKind::TimedOut`]. Questions have their
    /// own deadlines.
    pub fn deadline(&mut self, at: Instant) -> &mut Self {
        self.deadline = Some(at);
        self
    }

    /// Sets the token that cancels the opening. Questions have their own tokens.
    pub fn cancel_token(&mut self, token: CancelToken) -> &mut Self {
        self.cancel = Some(token);
        self
    }

    /// Opens a `.vhdx`, `.avhdx` or `.vhds` file with every parent and every tracking table that is
    /// available. Reads about 500 KiB per file and the log, whatever the disk's size.
    ///
    /// # Errors
    /// Anything wrong with the file itself, by [`ErrorKind`]; a file that breaks a rule of
    /// [MS-VHDX] is refused. [`ErrorKind::ParentNotFound`] if the active file of a set, or the
    /// target's, is missing.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Disk> {
        let path = path.as_ref();
        let limits = Limits {
            deadline: self.deadline,
            cancel: self.cancel.clone(),
            job: None,
            memory: self.memory.map_or_else(MemoryBudget::default, MemoryBudget::new),
        };
        let resolver = FileResolver {
            storage: self.storage.clone().unwrap_or_else(|| Arc::new(LocalStorage::new())),
            search_paths: self.search_paths.clone(),
            confined_to: self.confined_to.clone(),
            allow_unclean: self.allow_unclean,
        };
        let file = Reader::open(&*resolver.storage, path, Subject::Disk, &limits)?;
        let start = Vhdx::read_start(&file, &limits)?;
        if VhdSet::detect(&start) {
            let set = VhdSet::read(file.about(Subject::VhdSet), &start, &limits)?;
            return self.open_set(resolver, set, &limits);
        }
        let leaf = Vhdx::read(file, start, &limits)?;
        let chain = Chain::open(&resolver, leaf, &limits)?;
        if self.target.is_some() {
            let message =
                "a target snapshot was given, but this is a single disk and not a VHD Set";
            return Err(chain.leaf().error(ErrorKind::InvalidParameter, message.into()));
        }
        Ok(self.disk(resolver, None, chain, limits))
    }

    fn open_set(&self, resolver: FileResolver, set: VhdSet, limits: &Limits) -> Result<Disk> {
        let given = self.catalog.clone();
        let snapshots = Snapshots::gather(&resolver, set.path(), given, limits)?;
        let chain = {
            let snapshots =
                SnapshotResolver { resolver: &resolver, set: &set, snapshots: &snapshots, limits };
            let path = match self.target {
                Some(id) => snapshots.target(id)?,
                None => set.active_file(&resolver)?,
            };
            let leaf = Vhdx::open(&*resolver.storage, &path, Subject::Disk, limits)?;
            let chain = Chain::open(&resolver, leaf, limits)?;
            if let Some(id) = self.target {
                snapshots.verify_target(id, &chain)?;
            }
            chain
        };
        let set = OpenSet { file: set, snapshots };
        Ok(self.disk(resolver, Some(set), chain, limits.clone()))
    }

    fn disk(
        &self,
        resolver: FileResolver,
        set: Option<OpenSet>,
        chain: Chain,
        limits: Limits,
    ) -> Disk {
        let mut warnings = Vec::new();
        let mut snapshots = Vec::new();
        if let Some(set) = &set {
            warnings.extend(set.snapshots.warnings(&set.file));
            snapshots = set.snapshots.all();
        }
        warnings.extend(chain.warnings().iter().cloned());
        Disk(Arc::new(Inner {
            resolver,
            set,
            files: chain.files().iter().map(DiskFile::new).collect(),
            chain,
            target: self.target,
            memory: limits.memory,
            snapshots,
            warnings,
            checked_tables: Default::default(),
            cursors: Default::default(),
        }))
    }
}
