//! Resolves a snapshot id to a file, an RCT id, or neither.

use super::file::find;
use super::verify::{verify_paths, verify_snapshot};
use super::{Snapshot, SnapshotCatalog, VhdSet};
use crate::baseline::SnapshotId;
use crate::chain::{Chain, FileResolver};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::limits::Limits;
use crate::query::Reference;
use crate::size::to_usize;
use crate::source::Reader;
use crate::warning::Warning;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The maximum size of a catalog; one of a thousand snapshots has half a mebibyte.
const MAX_CATALOG_BYTES: u64 = 16 << 20;

/// The known snapshots of a set, from its catalogs. The names of its files prove nothing.
pub(crate) struct Snapshots {
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

impl Snapshots {
    /// Collects the caller's catalog first, then the one beside the set.
    ///
    /// # Errors
    /// Only the limits of the opening. If a catalog beside the set cannot be read, the reason is
    /// kept for questions that need it.
    pub(crate) fn gather(
        resolver: &FileResolver,
        set: &Path,
        given: Option<SnapshotCatalog>,
        limits: &Limits,
    ) -> Result<Self> {
        let given = given.map(|listed| Catalog { file: None, listed, modified: None });
        let mut catalogs: Vec<Catalog> = given.into_iter().collect();
        let unreadable = match beside(resolver, set, limits) {
            Ok(catalog) => {
                catalogs.extend(catalog);
                None
            }
            Err(error) if error.concerns_request() => return Err(error),
            Err(error) => Some(error),
        };
        Ok(Snapshots { catalogs, unreadable })
    }

    /// Returns a warning for each catalog that is older than the set.
    pub(crate) fn warnings(&self, set: &VhdSet) -> Vec<Warning> {
        let is_older = |catalog: &Catalog| catalog.modified < set.modified();
        let older =
            self.catalogs.iter().filter(|catalog| catalog.modified.is_some() && is_older(catalog));
        let message =
            "the snapshot catalog is older than the set, which may have other snapshots by now";
        let mut warnings: Vec<Warning> = older
            .filter_map(|catalog| Some(Warning::new(catalog.file.as_deref()?, message)))
            .collect();
        warnings.extend(self.unreadable.as_ref().map(|error| {
            let message = format!("the snapshot catalog cannot be used: {}", error.message());
            Warning::new(error.path().unwrap_or(set.path()), message)
        }));
        warnings
    }
}

/// Returns `<name>.vhds.snapshots.json` beside the set.
pub(super) fn catalog_path(set: &Path) -> PathBuf {
    let mut name = set.file_name().unwrap_or_default().to_owned();
    name.push(".snapshots.json");
    set.with_file_name(name)
}

/// Returns the next step for an error that a catalog can resolve.
pub(super) fn how_to_list(set: &Path) -> String {
    let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
    format!(
        "run `Get-VHDSnapshot -Path {} -GetParentPaths | ConvertTo-Json` on the Hyper-V host and save its output \
         beside the set as {}",
        name(set),
        name(&catalog_path(set))
    )
}

/// Reads the catalog beside the set, if there is one.
fn beside(resolver: &FileResolver, set: &Path, limits: &Limits) -> Result<Option<Catalog>> {
    let Some(path) = resolver.existing(&catalog_path(set)).into_iter().next() else {
        return Ok(None);
    };
    let file = Reader::open(&*resolver.storage, &path, Subject::Catalog, limits)?;
    let (listed, modified) = (read_catalog(&file, limits)?, file.modified());
    Ok(Some(Catalog { file: Some(path), listed, modified }))
}

/// Reads a catalog's file.
pub(super) fn read_catalog(file: &Reader, limits: &Limits) -> Result<SnapshotCatalog> {
    let length = file.length();
    if length > MAX_CATALOG_BYTES {
        let message =
            format!("expected a snapshot catalog of at most 16 MiB, found {length} bytes");
        return Err(file.error(ErrorKind::Corrupt, message));
    }
    limits.memory.check(length, "the snapshot catalog").map_err(|error| file.name(error))?;
    let bytes = file.read_vec(limits, 0, to_usize(length), "the snapshot catalog")?;
    SnapshotCatalog::from_json_within(&bytes, &limits.memory).map_err(|error| file.name(error))
}

/// Turns snapshot ids into files and chains.
pub(crate) struct SnapshotResolver<'a> {
    pub resolver: &'a FileResolver,
    pub set: &'a VhdSet,
    pub snapshots: &'a Snapshots,
    pub limits: &'a Limits,
}

/// A snapshot, with the catalog that lists it.
struct Listed<'a> {
    snapshot: &'a Snapshot,
    catalog: &'a Catalog,
}

impl Snapshots {
    /// Returns every known snapshot, each from the first catalog that lists it.
    pub(crate) fn all(&self) -> Vec<Snapshot> {
        let mut ids = HashSet::new();
        let listed = self.catalogs.iter().flat_map(|catalog| &catalog.listed.snapshots).cloned();
        listed.filter(|snapshot| ids.insert(snapshot.id)).collect()
    }
}

impl<'a> SnapshotResolver<'a> {
    /// Returns the snapshot with this id, from the first catalog that lists it.
    fn snapshot(&self, id: SnapshotId) -> Result<Listed<'a>> {
        let mut listed = self
            .snapshots
            .catalogs
            .iter()
            .filter_map(|catalog| Some(Listed { snapshot: catalog.listed.get(id)?, catalog }));
        listed.next().ok_or_else(|| self.unknown(id))
    }

    fn unknown(&self, id: SnapshotId) -> Error {
        if let Some(error) = &self.snapshots.unreadable {
            return error.clone();
        }
        let unread = self.set.unknown_records();
        let (kind, reason) = match (unread, &self.snapshots.catalogs[..]) {
            ([], []) => (
                ErrorKind::InvalidParameter,
                "it has no catalog of its snapshots, and the names of its files prove nothing"
                    .into(),
            ),
            ([], _) => (ErrorKind::InvalidParameter, "no catalog lists it".to_owned()),
            _ => {
                let records = unread.join(", ");
                let reason = format!(
                    "no catalog lists it, and the set holds records that this version cannot read ({records})"
                );
                (ErrorKind::UnknownRequired, reason)
            }
        };
        let path = self.set.path();
        let message = format!("the set knows no snapshot {id}: {reason}; {}", how_to_list(path));
        Error::new(kind, message).in_file(Subject::VhdSet, path)
    }

    /// Returns the existing file for a snapshot's path.
    fn find(&self, path: &str, what: &str) -> Result<PathBuf> {
        find(self.resolver, self.set.path(), path, what)
    }

    /// Verifies that every file that the catalog names exists. Only a question that uses one of its
    /// snapshots needs this, and only after that snapshot's own file was found: without that file
    /// the requested content is unavailable (32777), whereas any other missing file shows that the
    /// catalog is stale (32775).
    fn verify_catalog(&self, listed: &Listed) -> Result<()> {
        verify_paths(self.resolver, self.set.path(), listed.catalog, self.limits)
    }

    /// Returns the file of a snapshot that is the target. It must be opened and then
    /// [verified](Self::verify_target).
    pub(crate) fn target(&self, id: SnapshotId) -> Result<PathBuf> {
        let target = self.snapshot(id)?;
        let Some(path) = &target.snapshot.path else {
            let message = format!(
                "the target snapshot {id} is reference-only: its file was merged away, so its content is unavailable"
            );
            let error = Error::new(ErrorKind::ParentNotFound, message);
            return Err(error.in_file(Subject::VhdSet, self.set.path()));
        };
        self.find(path, "the target snapshot's file")
    }

    /// Fails if the catalog that lists the target contradicts the files.
    pub(crate) fn verify_target(&self, id: SnapshotId, chain: &Chain) -> Result<()> {
        let target = self.snapshot(id)?;
        self.verify_catalog(&target)?;
        verify_snapshot(self, target.catalog, target.snapshot, chain, 0)
    }

    /// Resolves a snapshot as a baseline for the chain of the target.
    pub(crate) fn reference(&self, id: SnapshotId, chain: &Chain) -> Result<Reference> {
        let set = self.set.path();
        let baseline = self.snapshot(id)?;
        let unrelated = |reason: &str| {
            let message = format!(
                "expected the baseline snapshot {id} to lie in the target's history, found the two unrelated: {reason}"
            );
            Error::new(ErrorKind::InvalidParameter, message).in_file(Subject::VhdSet, set)
        };
        let Some(path) = &baseline.snapshot.path else {
            self.verify_catalog(&baseline)?;
            return baseline.snapshot.rct_id.map(Reference::Rct).ok_or_else(|| {
                unrelated("its file was merged away, and the catalog lists no RCT id of it")
            });
        };
        let file = self.find(path, "the baseline snapshot's file")?;
        self.verify_catalog(&baseline)?;
        // Its RCT id cannot be used without its file in the chain: the answer would lack what was
        // written to the branch that contains the file.
        let depth = chain.position(self.resolver, &file);
        let depth = depth.ok_or_else(|| match chain.missing_parent() {
            Some(error) => error.clone(),
            None => {
                unrelated(&format!("its file, {}, is not in the target's chain", file.display()))
            }
        })?;
        verify_snapshot(self, baseline.catalog, baseline.snapshot, chain, depth)?;
        // Two snapshots may have one file: nothing changed between them.
        Ok(if depth == 0 { Reference::Same } else { Reference::File(depth) })
    }
}
