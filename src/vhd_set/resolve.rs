//! Resolves a snapshot id to a file, an RCT id, or neither.

use super::error::SetError;
use super::{Snapshot, SnapshotCatalog, VhdSet};
use crate::baseline::SnapshotId;
use crate::chain::{Chain, FileResolver, WindowsPath};
use crate::error::{Error, Result, Subject};
use crate::limits::Limits;
use crate::query::Reference;
use crate::warning::Warning;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A set with its known snapshots, from its catalogs. The names of its files prove nothing.
pub(crate) struct OpenSet {
    pub file: VhdSet,
    /// The catalogs in order of precedence.
    catalogs: Vec<Catalog>,
    /// The reason why the catalog beside the set cannot be read.
    unreadable: Option<Error>,
}

/// A catalog, and the file that it was read from, if this crate searched for it.
pub(super) struct Catalog {
    pub file: Option<PathBuf>,
    pub listed: SnapshotCatalog,
    /// When the catalog was written, if it is a file of this machine.
    modified: Option<SystemTime>,
}

impl OpenSet {
    /// Collects the caller's catalog first, then the one beside the set.
    ///
    /// # Errors
    /// Only the limits of the opening. If a catalog beside the set cannot be read, the reason is
    /// kept for questions that need it.
    pub(crate) fn new(
        resolver: &FileResolver,
        file: VhdSet,
        given: Option<SnapshotCatalog>,
        limits: &Limits,
    ) -> Result<Self> {
        let given = given.map(|listed| Catalog { file: None, listed, modified: None });
        let mut catalogs: Vec<Catalog> = given.into_iter().collect();
        let unreadable = match beside(resolver, &file, limits) {
            Ok(catalog) => {
                catalogs.extend(catalog);
                None
            }
            Err(error) if error.concerns_request() => return Err(error),
            Err(error) => Some(error),
        };
        Ok(OpenSet { file, catalogs, unreadable })
    }

    /// Returns a warning for each catalog that is older than the set.
    pub(crate) fn warnings(&self) -> Vec<Warning> {
        let message =
            "the snapshot catalog is older than the set, which may have other snapshots by now";
        let older = self.catalogs.iter().filter_map(|catalog| {
            let is_older = catalog.modified.is_some() && catalog.modified < self.file.modified();
            Some(Warning::new(catalog.file.as_deref().filter(|_| is_older)?, message))
        });
        let unreadable = self.unreadable.as_ref().map(|error| {
            let message = format!("the snapshot catalog cannot be used: {}", error.message());
            Warning::new(error.path().unwrap_or(self.file.path()), message)
        });
        older.chain(unreadable).collect()
    }

    /// Returns every known snapshot, each from the first catalog that lists it.
    pub(crate) fn snapshots(&self) -> Vec<Snapshot> {
        let mut ids = HashSet::new();
        let listed = self.catalogs.iter().flat_map(|catalog| &catalog.listed.snapshots).cloned();
        listed.filter(|snapshot| ids.insert(snapshot.id)).collect()
    }
}

/// Reads the catalog beside the set, if there is one.
fn beside(resolver: &FileResolver, set: &VhdSet, limits: &Limits) -> Result<Option<Catalog>> {
    let found = resolver.existing(&set.catalog_path()).unwrap_or_default();
    let Some(path) = found.into_iter().next() else { return Ok(None) };
    let file = resolver.open(&path, Subject::Catalog, limits)?;
    let (listed, modified) = (SnapshotCatalog::read(file.within(limits))?, file.modified());
    Ok(Some(Catalog { file: Some(path), listed, modified }))
}

/// Turns snapshot ids into files and chains.
pub(crate) struct SnapshotResolver<'a> {
    pub resolver: &'a FileResolver,
    pub set: &'a OpenSet,
    pub limits: &'a Limits,
}

/// A snapshot, with the catalog that lists it.
pub(super) struct Listed<'a> {
    pub snapshot: &'a Snapshot,
    pub catalog: &'a Catalog,
}

impl<'a> SnapshotResolver<'a> {
    /// Returns the snapshot with this id, from the first catalog that lists it.
    fn snapshot(&self, id: SnapshotId) -> Result<Listed<'a>> {
        let list =
            |catalog: &'a Catalog| Some(Listed { snapshot: catalog.listed.get(id)?, catalog });
        let listed = self.set.catalogs.iter().find_map(list);
        listed.ok_or_else(|| self.unknown(id))
    }

    fn unknown(&self, id: SnapshotId) -> Error {
        if let Some(error) = &self.set.unreadable {
            return error.clone();
        }
        let (records, next_step) = (self.set.file.unknown_records().join(", "), self.how_to_list());
        self.set.file.error(if !records.is_empty() {
            SetError::UnknownRecords { id, records, next_step }
        } else if self.set.catalogs.is_empty() {
            SetError::NoCatalog { id, next_step }
        } else {
            SetError::NotListed { id, next_step }
        })
    }

    /// Returns the next step for an error that a catalog can resolve.
    pub(super) fn how_to_list(&self) -> String {
        let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
        format!(
            "run `Get-VHDSnapshot -Path {} -GetParentPaths | ConvertTo-Json` on the Hyper-V host and save its output \
             beside the set as {}",
            name(self.set.file.path()),
            name(&self.set.file.catalog_path())
        )
    }

    /// Returns the existing file for a Windows path: the file of this name in the set's directory,
    /// else in a search directory. The path's own directories belong to the host that wrote it and
    /// may hold another copy here.
    pub(super) fn locate(&self, path: &str) -> Option<PathBuf> {
        let name = WindowsPath(path).file_name()?;
        self.resolver.search(self.set.file.path(), &[name]).0.into_iter().next()
    }

    /// Returns the file that [`locate`](Self::locate) finds, or fails if there is none.
    fn find(&self, path: &str, what: &'static str) -> Result<PathBuf> {
        self.locate(path).ok_or_else(|| {
            let searched = self.resolver.search_paths.len();
            self.set.file.error(SetError::FileNotFound { what, path: path.to_owned(), searched })
        })
    }

    /// Returns the active file, if it can be found.
    pub(crate) fn active_file(&self) -> Result<PathBuf> {
        self.find(self.set.file.active_name(), "the set's active file")
    }

    /// Returns the file of a snapshot that is the target. It must be opened and then
    /// [verified](Self::verify_target).
    pub(crate) fn target(&self, id: SnapshotId) -> Result<PathBuf> {
        match &self.snapshot(id)?.snapshot.path {
            Some(path) => self.find(path, "the target snapshot's file"),
            None => Err(self.set.file.error(SetError::ReferenceOnly(id))),
        }
    }

    /// Fails if the catalog that lists the target contradicts the files.
    pub(crate) fn verify_target(&self, id: SnapshotId, chain: &Chain) -> Result<()> {
        let target = self.snapshot(id)?;
        self.verify_catalog(target.catalog)?;
        self.verify_snapshot(&target, chain, 0)
    }

    /// Resolves a snapshot as a baseline for the chain of the target.
    pub(crate) fn reference(&self, id: SnapshotId, chain: &Chain) -> Result<Reference> {
        let baseline = self.snapshot(id)?;
        let unrelated = |reason: String| self.set.file.error(SetError::Unrelated { id, reason });
        let Some(path) = &baseline.snapshot.path else {
            self.verify_catalog(baseline.catalog)?;
            return baseline.snapshot.rct_id.map(Reference::Rct).ok_or_else(|| {
                unrelated("its file was merged away, and the catalog lists no RCT id of it".into())
            });
        };
        let file = self.find(path, "the baseline snapshot's file")?;
        self.verify_catalog(baseline.catalog)?;
        // Its RCT id cannot be used without its file in the chain: the answer would lack what was
        // written to the branch that contains the file.
        let depth = chain.position(self.resolver, &file).ok_or_else(|| {
            chain.missing_parent.clone().unwrap_or_else(|| {
                unrelated(format!("its file, {}, is not in the target's chain", file.display()))
            })
        })?;
        self.verify_snapshot(&baseline, chain, depth)?;
        // Two snapshots may have one file: nothing changed between them.
        Ok(if depth == 0 { Reference::Same } else { Reference::File(depth) })
    }
}
