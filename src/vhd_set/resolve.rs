//! What a snapshot id means: a file, an RCT id, or neither.

use super::file::find;
use super::verify::{verify_paths, verify_snapshot};
use super::{Snapshot, SnapshotCatalogue, VhdSet};
use crate::chain::{Access, Chain};
use crate::error::{Error, ErrorKind, Result};
use crate::rct::RctId;
use crate::source::Reader;
use crate::warning::Warning;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use uuid::Uuid;

/// A catalogue of a thousand snapshots has half a megabyte.
const MAX_CATALOGUE_BYTES: u64 = 16 << 20;

/// Everything that is known of a set's snapshots: what its catalogs list. What its files are
/// called proves nothing.
pub(crate) struct Snapshots {
    /// In the order in which they count.
    catalogs: Vec<Catalog>,
}

/// A catalog, and the file that it was read from, if this crate looked for it.
pub(super) struct Catalog {
    pub file: Option<PathBuf>,
    pub listed: SnapshotCatalogue,
    /// When it was written, as far as it is a file of this machine.
    modified: Option<SystemTime>,
}

/// The baseline of a question about a set.
pub(crate) enum SetLimit {
    /// A file of the chain.
    File(PathBuf),
    /// An RCT id.
    Rct(RctId),
}

impl Snapshots {
    /// The caller's catalogue first, then the one that lies beside the set.
    pub fn gather(access: &Access, set: &Path, given: Option<&SnapshotCatalogue>) -> Result<Self> {
        let given =
            given.map(|listed| Catalog { file: None, listed: listed.clone(), modified: None });
        let mut catalogs: Vec<Catalog> = given.into_iter().collect();
        catalogs.extend(beside(access, set)?);
        Ok(Snapshots { catalogs })
    }

    /// A warning for each catalog that is older than the set.
    pub fn warnings(&self, set: &VhdSet) -> Vec<Warning> {
        let is_older = |catalog: &Catalog| catalog.modified < set.modified();
        let older =
            self.catalogs.iter().filter(|catalog| catalog.modified.is_some() && is_older(catalog));
        let message =
            "the snapshot catalog is older than the set, which may have other snapshots by now";
        older.filter_map(|catalog| Some(Warning::new(catalog.file.as_deref()?, message))).collect()
    }
}

/// `<name>.vhds.snapshots.json` beside the set.
pub(super) fn catalog_path(set: &Path) -> PathBuf {
    let mut name = set.file_name().unwrap_or_default().to_owned();
    name.push(".snapshots.json");
    set.with_file_name(name)
}

/// The next step of an error that a catalog can cure.
pub(super) fn how_to_list(set: &Path) -> String {
    let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
    format!(
        "run `Get-VHDSnapshot -Path {} -GetParentPaths | ConvertTo-Json` on the Hyper-V host and save its output \
         beside the set as {}",
        name(set),
        name(&catalog_path(set))
    )
}

/// Reads the catalog beside the set, where it is there.
fn beside(access: &Access, set: &Path) -> Result<Option<Catalog>> {
    let Some(path) = access.existing(&catalog_path(set)).into_iter().next() else {
        return Ok(None);
    };
    let file = Reader::open(&*access.storage, &path, &access.guard)?;
    let (listed, modified) = (read_catalogue(&file)?, file.modified());
    Ok(Some(Catalog { file: Some(path), listed, modified }))
}

/// Reads a catalogue's file.
pub(super) fn read_catalogue(file: &Reader) -> Result<SnapshotCatalogue> {
    let length = file.length();
    if length > MAX_CATALOGUE_BYTES {
        let message =
            format!("a snapshot catalogue should have at most 16 MB and has {length} bytes");
        return Err(file.error(ErrorKind::Corrupt, message));
    }
    file.guard().need(length, "the snapshot catalogue").map_err(|error| file.name(error))?;
    let bytes = file.read_vec(0, length as usize, "the snapshot catalogue")?;
    SnapshotCatalogue::from_json_within(&bytes, file.guard()).map_err(|error| file.name(error))
}

/// Turns questions about a set into questions about chains.
pub(crate) struct SetReader<'a> {
    access: &'a Access,
    set: &'a VhdSet,
    snapshots: &'a Snapshots,
    /// Which catalogs name files that exist, by their place.
    verified: HashSet<usize>,
}

/// A snapshot, with the catalog that lists it.
struct Known<'a> {
    snapshot: &'a Snapshot,
    catalog: &'a Catalog,
    place: usize,
}

impl<'a> SetReader<'a> {
    pub fn new(access: &'a Access, set: &'a VhdSet, snapshots: &'a Snapshots) -> Self {
        SetReader { access, set, snapshots, verified: HashSet::new() }
    }

    /// The snapshot of an id, from the first catalog that lists it.
    fn snapshot(&self, id: Uuid) -> Result<Known<'a>> {
        let catalogs = self.snapshots.catalogs.iter().enumerate();
        let mut known = catalogs.filter_map(|(place, catalog)| {
            Some(Known { snapshot: catalog.listed.get(id)?, catalog, place })
        });
        known.next().ok_or_else(|| self.unknown(id))
    }

    fn unknown(&self, id: Uuid) -> Error {
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
        Error::new(kind, message).in_file(path)
    }

    /// Every snapshot that is known: the first word on each id.
    pub fn all(&self) -> Vec<Snapshot> {
        let mut ids = HashSet::new();
        let listed =
            self.snapshots.catalogs.iter().flat_map(|catalog| &catalog.listed.snapshots).cloned();
        listed.filter(|snapshot| ids.insert(snapshot.id)).collect()
    }

    /// Verifies, once for each catalog, that every file exists that it names. Only a question
    /// that uses one of its snapshots needs this, and only after that snapshot's own file was
    /// found: without that file the content asked about is unavailable (32777), whereas any
    /// other missing file shows that the catalog is of another time (32775).
    fn verify_catalog(&mut self, known: &Known) -> Result<()> {
        if self.verified.insert(known.place) {
            verify_paths(self.access, self.set.path(), known.catalog)?;
        }
        Ok(())
    }

    /// The chain of a snapshot's file, or of the active one.
    ///
    /// A missing file of the baseline is "not available", as that of the target is, and not a
    /// stale catalog: so it is looked for first.
    pub fn target(&mut self, target: Option<Uuid>, baseline: Option<Uuid>) -> Result<Chain> {
        let (access, set) = (self.access, self.set.path());
        let Some(id) = target else {
            return Chain::leaf_only(access.clone(), &self.set.active_file(access)?);
        };
        let target = self.snapshot(id)?;
        let Some(path) = &target.snapshot.path else {
            let message = format!(
                "the target snapshot {id} is reference-only: its file was merged away, so its content is unavailable"
            );
            return Err(Error::new(ErrorKind::ParentNotFound, message).in_file(set));
        };
        let file = find(access, set, path, "the target snapshot's file")?;
        let baseline = baseline.and_then(|id| self.snapshot(id).ok());
        if let Some(path) = baseline.and_then(|known| known.snapshot.path.as_deref()) {
            find(access, set, path, "the baseline snapshot's file")?;
        }
        self.verify_catalog(&target)?;
        let mut chain = Chain::leaf_only(access.clone(), &file)?;
        verify_snapshot(set, target.catalog, target.snapshot, &mut chain, 0)?;
        Ok(chain)
    }

    /// Where a snapshot's content is, seen from the target's chain.
    pub fn limit(&mut self, chain: &mut Chain, id: Uuid) -> Result<SetLimit> {
        let set = self.set.path();
        let limit = self.snapshot(id)?;
        let unrelated = |reason: &str| {
            let message = format!(
                "expected the baseline snapshot {id} to lie in the target's history, found the two unrelated: {reason}"
            );
            Error::new(ErrorKind::InvalidParameter, message).in_file(set)
        };
        let Some(path) = &limit.snapshot.path else {
            self.verify_catalog(&limit)?;
            return limit.snapshot.rct_id.map(SetLimit::Rct).ok_or_else(|| {
                unrelated("its file was merged away, and the catalog lists no RCT id of it")
            });
        };
        let file = find(self.access, set, path, "the baseline snapshot's file")?;
        self.verify_catalog(&limit)?;
        // Its RCT id is of no use without its file in the chain: the answer would lack what was
        // written to the branch on which it lies.
        let depth = chain.find(&file)?.ok_or_else(|| {
            unrelated(&format!("its file, {}, is not in the target's chain", file.display()))
        })?;
        verify_snapshot(set, limit.catalog, limit.snapshot, chain, depth)?;
        Ok(SetLimit::File(file))
    }
}
