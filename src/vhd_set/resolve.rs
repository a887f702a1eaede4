//! What a snapshot id means: a file, an RCT id, or neither.

use super::file::find;
use super::{Snapshot, SnapshotCatalogue, VhdSet};
use crate::chain::{Access, Chain, WindowsPath, same_name};
use crate::error::{Error, ErrorKind, Result};
use crate::rct::RctId;
use crate::source::Reader;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A catalogue of a thousand snapshots has half a megabyte.
const MAX_CATALOGUE_BYTES: u64 = 16 << 20;

/// Everything that is known of a set's snapshots, in the order in which it counts.
pub(crate) struct Snapshots {
    catalogues: Vec<SnapshotCatalogue>,
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
        let mut catalogues: Vec<SnapshotCatalogue> = given.into_iter().cloned().collect();
        catalogues.extend(beside(access, set)?);
        Ok(Snapshots { catalogues })
    }

    fn get(&self, id: Uuid) -> Option<&Snapshot> {
        self.catalogues.iter().find_map(|catalogue| catalogue.get(id))
    }
}

/// Reads `<name>.vhds.snapshots.json` beside the set, where it is there.
fn beside(access: &Access, set: &Path) -> Result<Option<SnapshotCatalogue>> {
    let mut name = set.file_name().unwrap_or_default().to_owned();
    name.push(".snapshots.json");
    let Some(path) = access.existing(&set.with_file_name(name)).into_iter().next() else {
        return Ok(None);
    };
    read_catalogue(&Reader::open(&*access.storage, &path, &access.guard)?).map(Some)
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

/// The GUID of `<stem>_<GUID>.avhdx`.
fn snapshot_of_name(set: &Path, name: &str) -> Option<Uuid> {
    let stem = set.file_stem()?.to_str()?;
    let start = name.get(..stem.len())?;
    let guid = name.get(stem.len()..)?.strip_prefix('_')?;
    let (guid, extension) = guid.rsplit_once('.')?;
    let fits = same_name(start, stem) && same_name(extension, "avhdx");
    Uuid::try_parse(guid).ok().filter(|_| fits)
}

/// Turns questions about a set into questions about chains.
pub(crate) struct SetReader<'a> {
    access: &'a Access,
    set: &'a VhdSet,
    snapshots: &'a Snapshots,
    /// The active file's chain, opened when it is needed.
    active: Option<Chain>,
}

impl<'a> SetReader<'a> {
    pub fn new(access: &'a Access, set: &'a VhdSet, snapshots: &'a Snapshots) -> Self {
        SetReader { access, set, snapshots, active: None }
    }

    fn active(&mut self) -> Result<&mut Chain> {
        let chain = match self.active.take() {
            Some(chain) => chain,
            None => Chain::leaf_only(self.access.clone(), &self.set.active_file(self.access)?)?,
        };
        Ok(self.active.insert(chain))
    }

    /// The snapshot of an id: as the catalogues tell of it, else by the name of a file of the
    /// active chain.
    fn snapshot(&mut self, id: Uuid) -> Result<Snapshot> {
        if let Some(known) = self.snapshots.get(id) {
            return Ok(known.clone());
        }
        let named = self.named()?.into_iter().find(|snapshot| snapshot.id == id);
        named.ok_or_else(|| unknown_snapshot(self.set, id))
    }

    /// Every snapshot that is known: the first word on each id.
    pub fn all(&mut self) -> Vec<Snapshot> {
        let mut ids = HashSet::new();
        let told = self.snapshots.catalogues.iter().flat_map(|catalogue| &catalogue.snapshots);
        // What the catalogues tell is worth knowing even if the active file is not to be had.
        let all = told.cloned().chain(self.named().unwrap_or_default());
        all.filter(|snapshot| ids.insert(snapshot.id)).collect()
    }

    /// The snapshots that file names of the active chain tell of.
    fn named(&mut self) -> Result<Vec<Snapshot>> {
        let set = self.set;
        let chain = self.active()?;
        chain.complete()?;
        // The active file's own name has a GUID too, which is no snapshot's.
        let frozen = chain.files().iter().skip(1);
        let named = frozen.filter_map(|file| {
            let name = file.path().file_name()?.to_str()?;
            Some(Snapshot::new(snapshot_of_name(set.path(), name)?).with_path(name))
        });
        Ok(named.collect())
    }

    /// The chain of a snapshot's file, or of the active one.
    pub fn target(&mut self, target: Option<Uuid>) -> Result<Chain> {
        let Some(id) = target else { return Ok(self.active()?.clone()) };
        let target = self.snapshot(id)?;
        let Some(path) = &target.path else {
            let message = format!(
                "the snapshot {id} is reference-only: its file was merged away, so its content is not to be had"
            );
            return Err(Error::new(ErrorKind::ParentNotFound, message).in_file(self.set.path()));
        };
        let file = find(self.access, self.set.path(), path, "the target snapshot's file")?;
        let mut chain = Chain::leaf_only(self.access.clone(), &file)?;
        must_agree(self.set, &target, &mut chain, 0)?;
        Ok(chain)
    }

    /// Where a snapshot's content is, seen from the target's chain.
    pub fn limit(&mut self, chain: &mut Chain, id: Uuid) -> Result<SetLimit> {
        let limit = self.snapshot(id)?;
        if let Some(path) = &limit.path {
            let file = find(self.access, self.set.path(), path, "the limit snapshot's file")?;
            if let Some(depth) = chain.find(&file)? {
                must_agree(self.set, &limit, chain, depth)?;
                return Ok(SetLimit::File(file));
            }
        }
        limit.rct_id.map(SetLimit::Rct).ok_or_else(|| {
            let message = format!(
                "the limit snapshot {id} is unrelated to the target: its file is not in the target's chain, and no \
                 RCT id of it is known"
            );
            Error::new(ErrorKind::InvalidParameter, message).in_file(self.set.path())
        })
    }
}

fn unknown_snapshot(set: &VhdSet, id: Uuid) -> Error {
    let unread = set.unknown_records();
    let (kind, reason) = if unread.is_empty() {
        (
            ErrorKind::InvalidParameter,
            "no catalogue and no file name of the chain tells of it".to_owned(),
        )
    } else {
        let records = unread.join(", ");
        (
            ErrorKind::UnknownRequired,
            format!("the set holds records that this version cannot read ({records})"),
        )
    };
    let message = format!(
        "the set knows no snapshot {id}: {reason}; put the output of `Get-VHDSnapshot -GetParentPaths | \
         ConvertTo-Json` beside the set as {}.snapshots.json",
        set.path().file_name().unwrap_or_default().display()
    );
    Error::new(kind, message).in_file(set.path())
}

/// A catalogue that tells of other parents than the files do is of another set or of another
/// time: nothing it says can be trusted.
fn must_agree(set: &VhdSet, snapshot: &Snapshot, chain: &mut Chain, depth: usize) -> Result<()> {
    for (i, parent) in snapshot.parents.iter().enumerate() {
        let depth = depth + 1 + i;
        let open = depth < chain.files().len() || chain.extend()?;
        let found =
            open.then(|| chain.files()[depth].path().file_name().unwrap_or_default().to_owned());
        let told = WindowsPath(parent).file_name().unwrap_or(parent);
        let agrees =
            found.as_ref().and_then(|name| name.to_str()).is_some_and(|name| same_name(name, told));
        if !agrees {
            let found = found.map_or("none".into(), |name| name.display().to_string());
            let message = format!(
                "the snapshot catalogue contradicts the files: parent {} of snapshot {} should be {told}, and is \
                 {found}; write the catalogue anew",
                i + 1,
                snapshot.id
            );
            return Err(Error::new(ErrorKind::CatalogueMismatch, message).in_file(set.path()));
        }
    }
    Ok(())
}
