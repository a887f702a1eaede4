//! A virtual disk, opened once: its files, the questions about it, and its content.

mod check;
mod file;
mod identity;
mod next_baselines;
mod options;
mod reader;

pub use check::CheckReport;
pub use file::{DiskFile, FileIdentity, Tracking};
pub use identity::DiskIdentity;
pub use options::OpenOptions;
pub use reader::DiskReader;

use crate::baseline::{Baseline, SnapshotId};
use crate::chain::{Chain, FileResolver, LayerStack};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{Limits, MemoryBudget};
use crate::query::{CheckedTables, Reference, TableEvidence, Tables};
use crate::rct::{KnownIds, RctId};
use crate::vhd_set::{Snapshot, SnapshotResolver, Snapshots, VhdSet};
use crate::warning::Warning;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A virtual disk with all its files, opened once.
///
/// Opening reads the file, every parent and every tracking table beside them. A parent or a table
/// that cannot be used is kept with the reason ([`missing_parent`](Self::missing_parent),
/// [`DiskFile::tracking`]) and refuses only the questions that need it. An opened disk never
/// changes; clones share it, and any number of threads may use it at once.
///
/// ```
/// # if !std::path::Path::new("testdata").exists() { return Ok(()); } // not in the packaged crate
/// use vhdx_rct::{Baseline, Disk};
///
/// let disk = Disk::open("testdata/child.avhdx")?;
/// let mut buffer = vec![0; 64 << 10];
/// for range in disk.changes(Baseline::File("testdata/base.vhdx".into())).ranges()? {
///     for part in range?.chunks(buffer.len()) {
///         let bytes = &mut buffer[..part.length as usize];
///         disk.read_exact_at(bytes, part.offset)?;
///         // ... keep the bytes
///     }
/// }
/// // Was a file written to in the meantime?
/// disk.verify_unchanged()?;
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
#[derive(Clone)]
pub struct Disk(Arc<Inner>);

pub(crate) struct Inner {
    pub resolver: FileResolver,
    pub set: Option<OpenSet>,
    pub chain: Chain,
    pub target: Option<SnapshotId>,
    pub memory: MemoryBudget,
    files: Vec<DiskFile>,
    snapshots: Vec<Snapshot>,
    warnings: Vec<Warning>,
    checked_tables: CheckedTables,
    /// Cursors that no thread uses at the moment; their windows hold the data that was read last.
    cursors: Mutex<Vec<LayerStack>>,
}

/// A VHD Set through which a disk was opened.
pub(crate) struct OpenSet {
    pub file: VhdSet,
    pub snapshots: Snapshots,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let paths: Vec<_> = self.files().iter().map(DiskFile::path).collect();
        f.debug_struct("Disk").field("identity", &self.identity()).field("files", &paths).finish()
    }
}

impl Disk {
    /// Opens a `.vhdx`, `.avhdx` or `.vhds` file of this machine with the default
    /// [options](OpenOptions).
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        OpenOptions::new().open(path)
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Returns the identity of the disk.
    #[must_use]
    pub fn identity(&self) -> DiskIdentity {
        let metadata = self.0.chain.leaf().metadata();
        DiskIdentity {
            virtual_disk_id: metadata.disk_id,
            virtual_size: metadata.virtual_size,
            logical_sector_size: metadata.logical_sector_size,
        }
    }

    /// Returns the open files, leaf first.
    #[must_use]
    pub fn files(&self) -> &[DiskFile] {
        &self.0.files
    }

    /// Returns why the chain ends before its root, if it does.
    #[must_use]
    pub fn missing_parent(&self) -> Option<&Error> {
        self.0.chain.missing_parent()
    }

    /// Returns warnings about the files; answers are complete nevertheless.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.0.warnings
    }

    /// Returns the VHD Set through which the disk was opened, if it was.
    #[must_use]
    pub fn vhd_set(&self) -> Option<&VhdSet> {
        self.0.set.as_ref().map(|set| &set.file)
    }

    /// Returns the snapshots of the VHD Set that a catalog lists; none for a single disk.
    #[must_use]
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.0.snapshots
    }

    fn tables(&self) -> Tables<'_> {
        Tables {
            chain: &self.0.chain,
            allow_unclean: self.0.resolver.allow_unclean,
            checked: &self.0.checked_tables,
        }
    }

    /// Returns which tables can be used.
    pub(crate) fn tracking_tables(&self) -> Tables<'_> {
        self.tables()
    }

    /// Returns every RCT id that the disk can answer for, newest first, each once.
    ///
    /// The ids of parents are included. Other children of those parents resolve them too, so such
    /// an id does not identify the state of a checkpoint that a copy was made of: to keep an id for
    /// the next backup, take it from [`next_baselines`](Self::next_baselines).
    #[must_use]
    pub fn known_ids(&self) -> Vec<KnownIds> {
        if self.missing_parent().is_some() { Vec::new() } else { self.tables().known_ids() }
    }

    /// Returns the newest id of the leaf's own table. None if the leaf is not tracked, if its table
    /// cannot be used or may be out of date, or if the table of its parent is missing.
    #[must_use]
    pub fn newest_id(&self) -> Option<RctId> {
        if self.missing_parent().is_some() { None } else { self.tables().newest_id() }
    }

    /// Resolves a baseline for this disk's chain.
    pub(crate) fn reference(&self, since: &Baseline, limits: &Limits) -> Result<Reference> {
        let (chain, resolver) = (&self.0.chain, &self.0.resolver);
        Ok(match since {
            Baseline::Allocated => Reference::Allocated,
            Baseline::Parent => Reference::Parent,
            Baseline::Rct(id) => Reference::Rct(*id),
            Baseline::File(path) => match chain.position(resolver, path) {
                Some(depth) => Reference::File(depth),
                None => return Err(self.not_in_chain(path)),
            },
            Baseline::DataWriteGuid(guid) => {
                // If two files share a GUID, the deepest one is used, so all files must be open.
                chain.verify_complete()?;
                let has_guid =
                    |file: &crate::chain::ChainFile| file.vhdx.header().data_write_guid == *guid;
                let depth = chain.files().iter().rposition(has_guid);
                Reference::File(depth.ok_or_else(|| self.no_such_guid(since))?)
            }
            Baseline::Snapshot(id) => {
                let Some(set) = &self.0.set else {
                    let message = format!(
                        "{id} is the id of a VHD Set snapshot, but this is a single disk; ask since an RCT id or a \
                         file of its chain"
                    );
                    return Err(chain.leaf().error(ErrorKind::WrongIdKind, message));
                };
                if self.0.target == Some(*id) {
                    return Ok(Reference::Same);
                }
                let OpenSet { file: set, snapshots } = set;
                SnapshotResolver { resolver, set, snapshots, limits }.reference(*id, chain)?
            }
        })
    }

    fn not_in_chain(&self, path: &Path) -> Error {
        if let Some(error) = self.missing_parent() {
            return error.clone();
        }
        let found = match self.0.resolver.canonical(path) {
            Ok(_) => "which is not one of them",
            Err(_) => "which cannot be found",
        };
        let message = format!(
            "expected a file of the disk's chain ({}) as baseline, found {}, {found}",
            self.file_names(),
            path.display()
        );
        Error::new(ErrorKind::InvalidParameter, message)
    }

    fn no_such_guid(&self, since: &Baseline) -> Error {
        let message = format!(
            "expected the DataWriteGuid of a file of the disk's chain ({}) as baseline, found {since}; `vhdx-rct \
             info` lists those that they have",
            self.file_names()
        );
        self.0.chain.leaf().error(ErrorKind::InvalidParameter, message)
    }

    fn file_names(&self) -> String {
        let names: Vec<_> =
            self.files().iter().map(|file| file.path().display().to_string()).collect();
        names.join(", ")
    }

    /// Compares each tracking table with the blocks of its own file, leaf first. None for a file
    /// for which the comparison proves nothing: one that has no table or no parent, was not closed
    /// cleanly, or was not tracked from its first byte on.
    ///
    /// Data in a unit that a table lists as unchanged contradicts the table. Agreement does not
    /// prove a table right, but supports it, the more data there is.
    ///
    /// # Errors
    /// Errors from reading the files.
    pub fn check_tables(&self) -> Result<Vec<Option<TableEvidence>>> {
        let (tables, limits) = (self.tables(), self.limits());
        (0..self.files().len()).map(|depth| tables.evidence(depth, &limits)).collect()
    }

    /// Fails if a file of the disk was written to, or replaced under its name, since it was opened:
    /// the data read since then does not belong to a single state of the disk. Call it after the
    /// last read.
    ///
    /// # Errors
    /// [`ErrorKind::Changed`], or errors from reading the headers.
    pub fn verify_unchanged(&self) -> Result<()> {
        self.verify_files(&self.limits())
    }

    /// Runs [`verify_unchanged`](Self::verify_unchanged) under a question's own limits.
    pub(crate) fn verify_files(&self, limits: &Limits) -> Result<()> {
        let mut files = self.0.chain.files().iter();
        files.try_for_each(|file| file.vhdx.verify_unchanged(limits))?;
        self.0.set.as_ref().map_or(Ok(()), |set| set.file.verify_unchanged(limits))
    }

    /// Returns limits that contain only the memory budget.
    pub(crate) fn limits(&self) -> Limits {
        Limits { memory: self.0.memory.clone(), ..Limits::default() }
    }
}

const _: () = {
    const fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Disk>();
};
