//! The points of a disk's history that a copy can be brought up to date from.

use super::areas::{Areas, Changed};
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::SystemTime;
use uuid::Uuid;
use vhdx_rct::{Baseline, Disk, DiskFile, FileIdentity, RctId, Tracking};

/// A point of a disk's history, with what identifies the content that the disk had there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Point {
    #[serde(flatten)]
    mark: Mark,
    /// The areas that had changed since the point when the copy was made. If the disk goes back to
    /// the point, because a checkpoint is applied, no list of changes names them.
    pub doubtful: Areas,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Mark {
    /// The moment at which an RCT id was created. Lower numbers than these mean that the disk was
    /// rolled back to before that, and the id may have been created a second time.
    #[serde(rename_all = "PascalCase")]
    Id {
        id: RctId,
        /// The header sequence number of the file that resolves the id.
        sequence_number: u64,
        /// That file's FileWriteGuid: with the same sequence number, another one shows that the
        /// file took another way since it was rolled back.
        file_write_guid: Uuid,
        /// The current number of that file's tracking table.
        current_number: u32,
    },
    /// The content of the disk that ends at this file, in a state in which it was not open for
    /// writing.
    #[serde(rename_all = "PascalCase")]
    File {
        /// The DataWriteGuid alone is not enough: copies of a file that stays open share it, and
        /// some writers never change it.
        #[serde(flatten)]
        identity: FileIdentity,
        modified: Option<SystemTime>,
        /// True for the disk's own file, which may be written to again. A parent is frozen.
        leaf: bool,
    },
}

/// How a question since a point is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    Baseline(Baseline),
    /// The disk still is what it was at the point.
    Unchanged,
}

impl Point {
    /// Returns the points at which a copy of this disk is, and what changed since each. A point
    /// about which the disk has no answer is left out.
    pub fn all_of(disk: &Disk) -> Vec<Self> {
        let leaf = &disk.files()[0];
        let id = disk.newest_id().filter(|_| leaf.closed_cleanly());
        let marks = [
            id.and_then(|id| Mark::id(disk, id)),
            Mark::file(disk, 0),
            disk.files().get(1).and_then(|_| Mark::file(disk, 1)),
        ];
        marks.into_iter().flatten().filter_map(|mark| Self::now(disk, mark).ok()).collect()
    }

    /// Returns the point that a baseline means, as of now.
    pub fn of(disk: &Disk, baseline: &Baseline) -> Result<Option<Self>, Failure> {
        let mark = match baseline {
            Baseline::Rct(id) => Mark::id(disk, *id),
            _ => depth_of(disk, baseline).and_then(|depth| Mark::file(disk, depth)),
        };
        mark.map(|mark| Self::now(disk, mark)).transpose()
    }

    fn now(disk: &Disk, mark: Mark) -> Result<Self, Failure> {
        let doubtful = match mark.since(disk) {
            Some(Since::Baseline(baseline)) => Changed::since(disk, baseline)?.areas,
            Some(Since::Unchanged) | None => Areas::default(),
        };
        Ok(Point { mark, doubtful })
    }

    /// Returns how to ask for what changed since the point. None if the disk does not have the
    /// point any more, or if it cannot be distinguished from another one.
    pub fn since(&self, disk: &Disk) -> Option<Since> {
        self.mark.since(disk)
    }

    /// Returns whether a baseline means this point.
    pub fn is(&self, disk: &Disk, baseline: &Baseline) -> bool {
        match (&self.mark, baseline) {
            (Mark::Id { id, .. }, Baseline::Rct(asked)) => id == asked,
            (Mark::File { .. }, _) => {
                let depth = depth_of(disk, baseline);
                depth.is_some_and(|depth| self.mark.is_file(&disk.files()[depth], depth))
            }
            _ => false,
        }
    }

    /// Returns the point as the baseline that a user may name.
    pub fn baseline(&self) -> Baseline {
        match &self.mark {
            Mark::Id { id, .. } => Baseline::Rct(*id),
            Mark::File { identity, .. } => Baseline::DataWriteGuid(identity.data_write_guid),
        }
    }
}

impl Mark {
    fn id(disk: &Disk, id: RctId) -> Option<Self> {
        let (file, current_number) = resolving_file(disk, id)?;
        let FileIdentity { sequence_number, file_write_guid, .. } = *file.identity();
        Some(Mark::Id { id, sequence_number, file_write_guid, current_number })
    }

    /// None for a file whose content is not certain.
    fn file(disk: &Disk, depth: usize) -> Option<Self> {
        let file = &disk.files()[depth];
        let (modified, leaf) = (modified(file), depth == 0);
        let is_certain = file.closed_cleanly() && (!leaf || modified.is_some());
        is_certain.then(|| Mark::File { identity: file.identity().clone(), modified, leaf })
    }

    fn since(&self, disk: &Disk) -> Option<Since> {
        match self {
            Mark::Id { id, sequence_number, file_write_guid, current_number } => {
                let (file, current) = resolving_file(disk, *id)?;
                let now = file.identity();
                let is_later = now.sequence_number > *sequence_number
                    || (now.sequence_number == *sequence_number
                        && now.file_write_guid == *file_write_guid);
                let goes_on = is_later && current >= *current_number;
                goes_on.then_some(Since::Baseline(Baseline::Rct(*id)))
            }
            Mark::File { .. } => {
                let mut files = disk.files().iter().enumerate();
                let (depth, file) = files.find(|(depth, file)| self.is_file(file, *depth))?;
                Some(match depth {
                    0 => Since::Unchanged,
                    _ => Since::Baseline(Baseline::File(file.path().to_owned())),
                })
            }
        }
    }

    fn is_file(&self, file: &DiskFile, depth: usize) -> bool {
        let Mark::File { identity, modified: time, leaf } = self else { return false };
        // A file that may have been written to must also have kept its modification time.
        let was_writable = depth == 0 || *leaf;
        file.identity() == identity
            && file.closed_cleanly()
            && (!was_writable || modified(file) == *time)
    }
}

/// Returns the file that resolves an id, and the current number of its table.
fn resolving_file(disk: &Disk, id: RctId) -> Option<(&DiskFile, u32)> {
    let known = disk.known_ids();
    let ids = known
        .iter()
        .find(|ids| ids.branch == id.branch && (ids.first..=ids.last).contains(&id.number))?;
    let file = disk.files().iter().find(|file| file.path() == ids.file)?;
    let Tracking::Usable { newest, .. } = file.tracking() else { return None };
    Some((file, newest.number))
}

/// Returns the index of the file of the chain that a baseline means.
fn depth_of(disk: &Disk, baseline: &Baseline) -> Option<usize> {
    let files = disk.files();
    match baseline {
        Baseline::Parent => (files.len() > 1).then_some(1),
        Baseline::DataWriteGuid(guid) => {
            files.iter().rposition(|file| file.identity().data_write_guid == *guid)
        }
        Baseline::File(path) => {
            let path = path.canonicalize().ok()?;
            files.iter().position(|file| file.path().canonicalize().is_ok_and(|own| own == path))
        }
        Baseline::Snapshot(id) => {
            let snapshot = disk.snapshots().iter().find(|snapshot| snapshot.id == *id)?;
            let name = snapshot.path.as_deref()?.rsplit(['\\', '/']).next()?;
            let has_name =
                |path: &Path| path.file_name().is_some_and(|own| own.eq_ignore_ascii_case(name));
            files.iter().position(|file| has_name(file.path()))
        }
        _ => None,
    }
}

fn modified(file: &DiskFile) -> Option<SystemTime> {
    file.source().as_file()?.metadata().ok()?.modified().ok()
}
