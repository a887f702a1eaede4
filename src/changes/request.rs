//! The request: everything that a caller may set.

use super::{ChangedExtents, Changes, Job, Limit, VirtualDiskChanges};
use crate::chain::{Access, Chain, VirtualDisk};
use crate::error::{Error, ErrorKind, Result};
use crate::query::{Baseline, Plan};
use crate::rct::RctId;
use crate::source::{Guard, LocalStorage, Storage};
use crate::vhd_set::{SetLimit, SetReader, Snapshot, SnapshotCatalogue, Snapshots, VhdSet};
use std::ops::{Bound, Range, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

/// A question about a disk, with everything that may be set.
///
/// ```no_run
/// use vhdx_rct::{ChangeQuery, Limit};
///
/// let changes = ChangeQuery::new("disk.avhdx").since(Limit::File("base.vhdx".into())).run()?;
/// for range in &changes.ranges {
///     println!("{} bytes at {}", range.length, range.offset);
/// }
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
pub struct ChangeQuery {
    path: PathBuf,
    limit: Option<Limit>,
    target: Option<Uuid>,
    region: (Bound<u64>, Bound<u64>),
    max_ranges: Option<usize>,
    threads: usize,
    catalogue: Option<SnapshotCatalogue>,
    access: Access,
}

/// A clone is another request: it has a memory budget of its own.
impl Clone for ChangeQuery {
    fn clone(&self) -> Self {
        let access = Access { guard: self.access.guard.anew(), ..self.access.clone() };
        ChangeQuery {
            path: self.path.clone(),
            limit: self.limit.clone(),
            catalogue: self.catalogue.clone(),
            access,
            ..*self
        }
    }
}

impl ChangeQuery {
    /// A question about a `.vhdx`, `.avhdx` or `.vhds` file.
    pub fn new(path: impl AsRef<Path>) -> Self {
        ChangeQuery {
            path: path.as_ref().to_owned(),
            limit: None,
            target: None,
            region: (Bound::Unbounded, Bound::Unbounded),
            max_ranges: None,
            threads: 1,
            catalogue: None,
            access: Access::new(Arc::new(LocalStorage::new())),
        }
    }

    /// The baseline. A question without one is refused.
    pub fn since(mut self, limit: Limit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The snapshot to compare with the baseline, instead of the present state; VHD Sets only.
    pub fn target(mut self, snapshot: Uuid) -> Self {
        self.target = Some(snapshot);
        self
    }

    /// [`target`](Self::target) by the GUID's text, with or without braces.
    ///
    /// # Errors
    /// [`ErrorKind::MalformedId`] where the text is no GUID, [`ErrorKind::WrongIdKind`] where it
    /// is an RCT id.
    pub fn target_id(self, text: &str) -> std::result::Result<Self, Error> {
        if RctId::is_meant_by(text) {
            let message = format!(
                "the target should be a snapshot's GUID, and {} is an RCT id",
                text.escape_debug()
            );
            return Err(Error::new(ErrorKind::WrongIdKind, message));
        }
        let id = Uuid::try_parse(text).map_err(|_| {
            let message = format!(
                "the target should be a snapshot's GUID and is \"{}\"",
                text.escape_debug()
            );
            Error::new(ErrorKind::MalformedId, message)
        })?;
        Ok(self.target(id))
    }

    /// The region of the virtual disk, in bytes: `offset..end` or `offset..`; the whole disk
    /// unless set. It may be empty, and begin where the disk ends.
    pub fn region(mut self, region: impl RangeBounds<u64>) -> Self {
        self.region = (region.start_bound().cloned(), region.end_bound().cloned());
        self
    }

    /// At most so many changed ranges, at least 1, in every form of asking. Where there are
    /// more, `processed_byte_length` ends just before the first that was not told: ask again
    /// from there on, and nothing is lost or told twice.
    ///
    /// ```no_run
    /// # use vhdx_rct::{ChangeQuery, Limit};
    /// # let since = Limit::Allocated;
    /// let (mut at, mut all) = (0, Vec::new());
    /// loop {
    ///     let part = ChangeQuery::new("disk.vhdx").since(since.clone()).region(at..).max_ranges(1000).run()?;
    ///     all.extend(part.ranges);
    ///     at += part.processed_byte_length;
    ///     if at == part.disk.virtual_size {
    ///         break;
    ///     }
    /// }
    /// # Ok::<(), vhdx_rct::Error>(())
    /// ```
    pub fn max_ranges(mut self, count: usize) -> Self {
        self.max_ranges = Some(count);
        self
    }

    /// Looks for changes with so many threads, 1 unless set and 64 at most, where the region is
    /// larger than 4 GB; the order of the ranges stays. Each thread holds up to 4 MB of ranges
    /// ready. Worth it where tables are large and the storage answers several reads at once.
    ///
    /// A [`Storage`] of the caller's is then read from several threads.
    pub fn threads(mut self, count: usize) -> Self {
        self.threads = count.clamp(1, 64);
        self
    }

    /// Trusts the tracking table of a disk that was not closed cleanly, which may miss what
    /// was written last, and accepts a parent whose log is in use, into which a merge may be
    /// running; both are refused unless set.
    pub fn allow_unclean(mut self, allow: bool) -> Self {
        self.access.allow_unclean = allow;
        self
    }

    /// What is known of a VHD Set's snapshots. It counts before the catalogue
    /// `<name>.vhds.snapshots.json` beside the set.
    pub fn snapshots(mut self, catalogue: SnapshotCatalogue) -> Self {
        self.catalogue = Some(catalogue);
        self
    }

    /// Gives up with [`ErrorKind::TimedOut`] at this moment.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.access.guard.deadline = Some(deadline);
        self
    }

    /// Gives up with [`ErrorKind::OutOfMemory`] rather than use much more memory than this for
    /// all files of the chain together; 256 MB unless set. A stream needs some 128 KB for each file of the chain, `run` 16
    /// bytes for each range on top.
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.access.guard.memory = bytes;
        self
    }

    /// Further folders in which parents, and a set's files, may lie, by their file names.
    pub fn parent_search<P: Into<PathBuf>>(mut self, folders: impl IntoIterator<Item = P>) -> Self {
        self.access.folders = folders.into_iter().map(Into::into).collect();
        self
    }

    /// Opens nothing outside these folders, whatever the files name as their parents; the
    /// disk itself may lie anywhere.
    pub fn confine_to<P: Into<PathBuf>>(mut self, folders: impl IntoIterator<Item = P>) -> Self {
        self.access.confined_to = Some(folders.into_iter().map(Into::into).collect());
        self
    }

    /// Reads from somewhere else than this machine's files.
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.access.storage = storage;
        self
    }

    /// Asks, and collects the answer.
    ///
    /// # Errors
    /// Every situation of [`ReturnValue`](crate::ReturnValue) but the first two.
    pub fn run(self) -> std::result::Result<VirtualDiskChanges, Error> {
        let guard = self.access.guard.clone();
        self.stream()?.collect_within(&guard)
    }

    /// Asks, and gives the answer range by range in constant memory.
    ///
    /// # Errors
    /// As [`run`](Self::run); what is found only while reading comes from the iterator.
    pub fn stream(self) -> std::result::Result<Changes, Error> {
        let max_ranges = self.max_ranges.unwrap_or(usize::MAX);
        if max_ranges == 0 {
            return Err(invalid(
                "the limit on the number of ranges should be at least 1 and is 0".into(),
            ));
        }
        let limit = self.limit.clone().ok_or_else(|| {
            invalid(
                "no baseline: say since what the disk may have changed, or * for all of it".into(),
            )
        })?;
        let (mut chain, baseline, set) = match self.open_set()? {
            Some(set) => self.about_set(set, limit)?,
            None => self.about_disk(limit)?,
        };
        let region = self.checked_region(chain.leaf().virtual_size())?;
        let plan = Plan::new(&mut chain, &baseline)?;
        Changes::new(plan, (chain, set), region, (max_ranges, self.threads))
    }

    fn open_set(&self) -> Result<Option<VhdSet>> {
        if VhdSet::is_one(&self.access, &self.path)? {
            return VhdSet::open_in(&self.access, &self.path).map(Some);
        }
        Ok(None)
    }

    fn about_disk(&self, limit: Limit) -> Result<(Chain, Baseline, Option<VhdSet>)> {
        let chain = Chain::leaf_only(self.access.clone(), &self.path)?;
        if self.target.is_some() {
            let message =
                "a target snapshot can be given for a VHD Set only, and this is a single disk";
            return Err(invalid(message.into()).in_file(&self.path));
        }
        Ok((chain, self.baseline(limit)?, None))
    }

    fn about_set(&self, set: VhdSet, limit: Limit) -> Result<(Chain, Baseline, Option<VhdSet>)> {
        let snapshots = Snapshots::gather(&self.access, &self.path, self.catalogue.as_ref())?;
        let mut reader = SetReader::new(&self.access, &set, &snapshots);
        let baseline = match limit {
            Limit::Snapshot(id) => Some(id),
            _ => None,
        };
        let mut chain = reader.target(self.target, baseline)?;
        chain.warn(snapshots.warnings(&set));
        let baseline = match limit {
            Limit::Snapshot(id) if self.target == Some(id) => Baseline::Same,
            Limit::Snapshot(id) => match reader.limit(&mut chain, id)? {
                // Two snapshots may have one file: nothing changed between them.
                SetLimit::File(path) if chain.find(&path)? == Some(0) => Baseline::Same,
                SetLimit::File(path) => Baseline::File(path),
                SetLimit::Rct(id) => self.baseline(Limit::Rct(id))?,
            },
            other => self.baseline(other)?,
        };
        Ok((chain, baseline, Some(set)))
    }

    /// What a limit means for a chain, which knows of no snapshots.
    fn baseline(&self, limit: Limit) -> Result<Baseline> {
        Ok(match limit {
            Limit::File(path) => Baseline::File(path),
            Limit::DataWriteGuid(guid) => Baseline::DataWriteGuid(guid),
            Limit::Parent => Baseline::Parent,
            Limit::Rct(id) => Baseline::Rct(id),
            Limit::Allocated => Baseline::Allocated,
            Limit::Snapshot(id) => {
                let message = format!(
                    "{id} is a snapshot's id, which only a VHD Set knows, and this is a single disk"
                );
                return Err(Error::new(ErrorKind::WrongIdKind, message).in_file(&self.path));
            }
        })
    }

    /// Asks in the background; see [`Job`].
    pub fn start(self) -> Job {
        Job::start(self)
    }

    /// The chain that the question is about, with those parents that can be opened, and why it
    /// ends early where it does.
    ///
    /// # Errors
    /// What opening the file itself gives.
    pub fn chain(&self) -> std::result::Result<(Chain, Option<Error>), Error> {
        let mut chain = self.target_chain()?;
        let broken = chain.complete().err();
        Ok((chain, broken))
    }

    /// The content of the disk that the question is about: of a set, the active state or the
    /// target's.
    ///
    /// # Errors
    /// What opening the chain gives.
    pub fn disk(&self) -> std::result::Result<VirtualDisk, Error> {
        let mut chain = self.target_chain()?;
        chain.complete()?;
        Ok(VirtualDisk::new(chain))
    }

    /// Every snapshot of the set that a catalog lists; none for a single disk.
    ///
    /// # Errors
    /// What opening the set, its catalogue and its active chain gives.
    pub fn known_snapshots(&self) -> std::result::Result<Vec<Snapshot>, Error> {
        let Some(set) = self.open_set()? else { return Ok(Vec::new()) };
        let snapshots = Snapshots::gather(&self.access, &self.path, self.catalogue.as_ref())?;
        Ok(SetReader::new(&self.access, &set, &snapshots).all())
    }

    pub(super) fn target_chain(&self) -> Result<Chain> {
        match self.open_set()? {
            Some(set) => Ok(self.about_set(set, Limit::Allocated)?.0),
            None => Ok(self.about_disk(Limit::Allocated)?.0),
        }
    }

    /// Asks, and cuts each changed range into what has data and what reads as zeros, so that
    /// zeros need be neither read nor stored. All parents must be there.
    ///
    /// # Errors
    /// As [`stream`](Self::stream).
    pub fn extents(self) -> std::result::Result<ChangedExtents, Error> {
        ChangedExtents::new(self.stream()?)
    }

    /// The limits that the request runs under.
    pub(super) fn guard(&self) -> &Guard {
        &self.access.guard
    }

    pub(super) fn guard_mut(&mut self) -> &mut Guard {
        &mut self.access.guard
    }

    fn checked_region(&self, size: u64) -> Result<Range<u64>> {
        let start = match self.region.0 {
            Bound::Included(first) => Some(first),
            Bound::Excluded(before) => before.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let end = match self.region.1 {
            Bound::Included(last) => last.checked_add(1),
            Bound::Excluded(end) => Some(end),
            Bound::Unbounded => Some(size),
        };
        let end = end.unwrap_or(u64::MAX);
        let problem = match start {
            Some(start) if start <= end && end <= size => return Ok(start..end),
            Some(start) if start <= size && start > end => {
                format!("begins at byte {start}, after its end at byte {end}")
            }
            Some(start) if start <= size => {
                format!("begins at byte {start} and ends at byte {end}")
            }
            start => format!("begins at byte {}", start.unwrap_or(u64::MAX)),
        };
        Err(invalid(format!("the region {problem}, but the disk ends at byte {size}")))
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidParameter, message)
}
