//! A virtual disk, opened once: its files, the questions about it, and its content.

mod check;
mod identity;
mod options;
mod reader;

pub use check::CheckReport;
pub use identity::DiskIdentity;
pub use options::OpenOptions;
pub use reader::DiskReader;

use crate::baseline::{Baseline, SnapshotId};
use crate::chain::{Chain, DiskFile, FileResolver, LayerStack};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::limits::{Limits, MemoryBudget};
use crate::query::{Plan, Reference, TableEvidence, Tables};
use crate::rct::{KnownIds, RctId};
use crate::vhd_set::{OpenSet, Snapshot, SnapshotResolver, VhdSet};
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
/// // Fail if a file was written to in the meantime.
/// disk.verify_unchanged()?;
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
#[derive(Clone)]
pub struct Disk(Arc<Inner>);

struct Inner {
    resolver: FileResolver,
    /// The VHD Set through which the disk was opened.
    set: Option<OpenSet>,
    tables: Tables,
    target: Option<SnapshotId>,
    memory: MemoryBudget,
    snapshots: Vec<Snapshot>,
    warnings: Vec<Warning>,
    /// Cursors that no thread uses at the moment; their windows hold the data that was read last.
    cursors: Mutex<Vec<LayerStack>>,
}

impl_debug!(Disk, |disk| identity: disk.identity(), files: disk.files());

impl Disk {
    /// Opens a `.vhdx`, `.avhdx` or `.vhds` file of this machine with the default
    /// [options](OpenOptions).
    ///
    /// # Errors
    /// Like [`OpenOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        OpenOptions::new().open(path)
    }

    pub(crate) fn chain(&self) -> &Chain {
        &self.0.tables.chain
    }

    /// Returns the identity of the disk: its id, size and sector size.
    #[must_use]
    pub fn identity(&self) -> DiskIdentity {
        let metadata = &self.chain().leaf().metadata;
        DiskIdentity {
            virtual_disk_id: metadata.disk_id,
            virtual_size: metadata.virtual_size,
            logical_sector_size: metadata.logical_sector_size,
        }
    }

    /// Returns the files of the chain, leaf first; up to the missing parent, if one is missing.
    #[must_use]
    pub fn files(&self) -> &[DiskFile] {
        &self.chain().files
    }

    /// Returns the error that prevented a parent from being opened; None if the chain is complete.
    #[must_use]
    pub fn missing_parent(&self) -> Option<&Error> {
        self.chain().missing_parent.as_ref()
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

    /// Returns the snapshots that the VHD Set's catalog lists; empty for a single disk.
    #[must_use]
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.0.snapshots
    }

    /// Returns every RCT id that the disk can answer for, newest first, each once; none if a parent
    /// is missing.
    ///
    /// The ids of parents are included. Other children of those parents resolve them too, so such
    /// an id does not identify the state of a checkpoint that a copy was made of: to keep an id for
    /// the next backup, take it from [`next_baselines`](Self::next_baselines).
    #[must_use]
    pub fn known_ids(&self) -> Vec<KnownIds> {
        if self.missing_parent().is_some() { Vec::new() } else { self.0.tables.known_ids() }
    }

    /// Returns the newest id of the leaf's own table. None if the leaf is not tracked, if its table
    /// cannot be used or may be out of date, or if a parent or the table of its parent is missing.
    #[must_use]
    pub fn newest_id(&self) -> Option<RctId> {
        if self.missing_parent().is_some() { None } else { self.0.tables.newest_id() }
    }

    /// Selects what answers a question since a baseline.
    pub(crate) fn plan(&self, since: &Baseline, limits: &Limits) -> Result<Plan> {
        Plan::new(&self.0.tables, &self.reference(since, limits)?, limits)
    }

    /// Resolves a baseline for this disk's chain.
    fn reference(&self, since: &Baseline, limits: &Limits) -> Result<Reference> {
        let (chain, resolver) = (self.chain(), &self.0.resolver);
        Ok(match since {
            Baseline::Allocated => Reference::Allocated,
            Baseline::Parent => Reference::Parent,
            Baseline::Rct(id) => Reference::Rct(*id),
            Baseline::File(path) => match chain.position(resolver, path) {
                Some(depth) => Reference::File(depth),
                None => {
                    chain.verify_complete()?;
                    let found = match resolver.canonical(path) {
                        Ok(_) => "which is not one of them",
                        Err(_) => "which cannot be found",
                    };
                    return Err(self.not_in_chain("a file", format!("{}, {found}", path.display())));
                }
            },
            Baseline::DataWriteGuid(guid) => {
                // If two files share a GUID, the deepest one is used, so all files must be open.
                chain.verify_complete()?;
                let has_guid = |file: &DiskFile| file.identity().data_write_guid == *guid;
                let depth = chain.files.iter().rposition(has_guid).ok_or_else(|| {
                    let found = format!("{since}; `vhdx-rct info` lists those that they have");
                    let error = self.not_in_chain("the DataWriteGuid of a file", found);
                    error.in_file(Subject::Disk, &chain.leaf().file.path)
                })?;
                Reference::File(depth)
            }
            Baseline::Snapshot(id) => {
                let Some(set) = &self.0.set else {
                    let message = format!(
                        "{id} is the id of a VHD Set snapshot, but this is a single disk; ask since an RCT id or a \
                         file of its chain"
                    );
                    return Err(chain.leaf().file.error(ErrorKind::WrongIdKind, message));
                };
                if self.0.target == Some(*id) {
                    return Ok(Reference::Same);
                }
                SnapshotResolver { resolver, set, limits }.reference(*id, chain)?
            }
        })
    }

    fn not_in_chain(&self, expected: &str, found: String) -> Error {
        let names: Vec<_> =
            self.files().iter().map(|file| file.path().display().to_string()).collect();
        let message = format!(
            "expected {expected} of the disk's chain ({}) as baseline, found {found}",
            names.join(", ")
        );
        Error::new(ErrorKind::InvalidParameter, message)
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
        let (tables, limits) = (&self.0.tables, self.limits());
        let evidence =
            |depth| Ok(tables.checked(depth, &limits)?.map(|checked| checked.evidence.clone()));
        (0..self.files().len()).map(evidence).collect()
    }

    /// Verifies that no file of the disk was written to, or replaced under its name, since the disk
    /// was opened, so that all data read since then belongs to a single state of the disk. Call it
    /// after the last read.
    ///
    /// # Errors
    /// [`ErrorKind::Changed`] if a file has changed, or errors from reading the headers.
    pub fn verify_unchanged(&self) -> Result<()> {
        self.verify_files(&self.limits())
    }

    /// Runs [`verify_unchanged`](Self::verify_unchanged) under a question's own limits.
    pub(crate) fn verify_files(&self, limits: &Limits) -> Result<()> {
        let mut files = self.files().iter();
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
