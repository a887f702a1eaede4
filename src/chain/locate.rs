//! Where a parent may be found, and how it is known again.

use super::winpath::{WindowsPath, same_name};
use crate::error::{Error, ErrorKind, Result};
use crate::source::{Guard, Storage};
use crate::vhdx::Vhdx;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a request reaches files: what every room that opens one is handed.
#[derive(Clone)]
pub(crate) struct Access {
    pub storage: Arc<dyn Storage>,
    /// Further folders in which parents and a set's files may lie.
    pub folders: Vec<PathBuf>,
    /// Where given, nothing outside these folders is opened but the disk asked about.
    pub confined_to: Option<Vec<PathBuf>>,
    /// Accepts parents whose log is in use, and the tables of disks that were not closed cleanly.
    pub allow_unclean: bool,
    pub guard: Guard,
}

impl Access {
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Access {
            storage,
            folders: Vec::new(),
            confined_to: None,
            allow_unclean: false,
            guard: Guard::default(),
        }
    }

    /// One name for a file however it is reached; None where the file does not exist.
    pub fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.storage.canonicalize(path)
    }

    /// May a file of this canonical name be opened on an image's word?
    pub fn permits(&self, canonical: &Path) -> bool {
        let Some(folders) = &self.confined_to else { return true };
        let inside = |folder: &PathBuf| {
            self.canonical(folder).is_ok_and(|folder| canonical.starts_with(folder))
        };
        folders.iter().any(inside)
    }

    /// The existing files that Windows paths may mean, seen from `beside`'s folder: the path
    /// itself, its file name beside, its file name in the search folders. Canonical, in order
    /// of preference, none twice.
    pub fn candidates(&self, beside: &Path, paths: &[&str]) -> Vec<PathBuf> {
        self.look_for(beside, paths).0
    }

    /// [`candidates`](Self::candidates), and the first place that may not be looked at.
    fn look_for(&self, beside: &Path, paths: &[&str]) -> (Vec<PathBuf>, Option<Error>) {
        let home = beside.parent().unwrap_or(Path::new(""));
        let mut wanted: Vec<PathBuf> = Vec::new();
        for path in paths.iter().map(|path| WindowsPath(path)) {
            wanted.extend(path.relative_to(home));
            wanted.extend(path.on_this_machine());
        }
        for folder in std::iter::once(home).chain(self.folders.iter().map(PathBuf::as_path)) {
            let names = paths.iter().filter_map(|path| WindowsPath(path).file_name());
            wanted.extend(names.map(|name| folder.join(name)));
        }
        let (mut found, mut denied) = (Vec::new(), None);
        for path in wanted {
            let existing = self.try_existing(&path).unwrap_or_else(|cause| {
                // Whatever else is wrong with a place, it cannot be reached.
                if cause.kind() == io::ErrorKind::PermissionDenied {
                    denied.get_or_insert_with(|| {
                        Error::io("cannot be looked for", cause).in_file(&path)
                    });
                }
                Vec::new()
            });
            for path in existing {
                if !found.contains(&path) && self.permits(&path) {
                    found.push(path);
                }
            }
        }
        (found, denied)
    }

    /// The file of this name (canonical), or those that differ from it by letter case.
    pub fn existing(&self, path: &Path) -> Vec<PathBuf> {
        self.try_existing(path).unwrap_or_default()
    }

    /// [`existing`](Self::existing), for whom it makes a difference whether there is no such
    /// file or nobody can tell.
    pub fn try_existing(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        match self.canonical(path) {
            Ok(canonical) => return Ok(vec![canonical]),
            Err(cause) if is_absent(&cause) => {}
            Err(cause) => return Err(cause),
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
        else {
            return Ok(Vec::new());
        };
        let mut names = match self.storage.list(folder) {
            Ok(names) => names,
            Err(cause) if is_absent(&cause) => Vec::new(),
            Err(cause) => return Err(cause),
        };
        names.retain(|other| other.to_str().is_some_and(|other| same_name(other, name)));
        names.sort();
        names.iter().map(|name| self.canonical(&folder.join(name))).collect()
    }
}

/// Opens the parent of `child`: the first candidate that is the file that the child was made
/// from. `above` holds the canonical names of the chain so far.
pub(super) fn open_parent(
    access: &Access,
    child: &Vhdx,
    above: &[PathBuf],
) -> Result<(Arc<Vhdx>, PathBuf)> {
    let Some(locator) = &child.metadata().parent_locator else {
        let message = "the file has no parent locator";
        return Err(Error::new(ErrorKind::ParentNotFound, message).in_file(child.path()));
    };
    let paths: Vec<&str> = locator.paths().collect();
    let (candidates, denied) = access.look_for(child.path(), &paths);
    let mut problem = denied.map(Error::in_parent);
    for candidate in candidates {
        let opened = if above.contains(&candidate) {
            let message = "a child of this file names it as its parent: the chain is a circle";
            Err(Error::new(ErrorKind::Cycle, message).in_file(&candidate))
        } else {
            Vhdx::open_in(&*access.storage, &candidate, &access.guard)
                .map_err(Error::in_parent)
                .and_then(|parent| verify_linkage(child, &parent).map(|()| parent))
                .and_then(|parent| verify_frozen(access, &parent).map(|()| parent))
        };
        match opened {
            Ok(parent) => return Ok((Arc::new(parent), candidate)),
            // Time and patience are the request's, not this candidate's.
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Cancelled) => {
                return Err(error);
            }
            Err(error) => problem = problem.or(Some(error)),
        }
    }
    Err(problem.unwrap_or_else(|| {
        let message = format!(
            "its parent cannot be found: looked for {} where the path says, beside the file and in {} search \
             folders; name the parent's folder as a search folder",
            paths.join(", "),
            access.folders.len()
        );
        Error::new(ErrorKind::ParentNotFound, message).in_file(child.path())
    }))
}

/// Does it say that there is no such file, rather than that nobody can tell?
fn is_absent(cause: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound, Unsupported};
    matches!(cause.kind(), NotFound | NotADirectory | InvalidFilename | Unsupported)
}

/// Linkage is the parent's DataWriteGuid and nothing else: disk ids may differ within a chain.
fn verify_linkage(child: &Vhdx, parent: &Vhdx) -> Result<()> {
    let found = parent.header().data_write_guid;
    match &child.metadata().parent_locator {
        Some(locator) if !locator.accepts(found) => {
            let message = format!(
                "expected a parent with DataWriteGuid {}, found {found} in {}: the parent was written to after \
                 this file was made, or is another file",
                locator.parent_linkage,
                parent.path().display()
            );
            Err(Error::new(ErrorKind::ParentMismatch, message).in_file(child.path()))
        }
        _ => Ok(()),
    }
}

/// A parent is frozen when its child is made, so its log is empty. Hyper-V opens it for writing
/// again when it merges a child into it.
fn verify_frozen(access: &Access, parent: &Vhdx) -> Result<()> {
    if access.allow_unclean || parent.closed_cleanly() {
        return Ok(());
    }
    let message = "this parent's log is in use, but a parent is frozen when its child is made: a merge may be \
                   running, or may have been interrupted. Try again once Hyper-V has finished, or accept unclean \
                   files (allow_unclean, --allow-unclean)";
    Err(Error::new(ErrorKind::ParentNotFrozen, message).in_file(parent.path()))
}
