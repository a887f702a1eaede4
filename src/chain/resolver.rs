//! Finds files, and checks whether a file is the parent that its child was created from.

use super::windows_path::{WindowsPath, same_name};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::limits::Limits;
use crate::source::Storage;
use crate::vhdx::Vhdx;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The storage and the directories that an opening uses to find files.
#[derive(Clone)]
pub(crate) struct FileResolver {
    pub storage: Arc<dyn Storage>,
    /// Additional directories for parents and a set's files.
    pub search_paths: Vec<PathBuf>,
    /// If set, nothing outside these directories is opened except the requested disk.
    pub confined_to: Option<Vec<PathBuf>>,
    /// Accepts parents whose log is in use, and the tables of disks that were not closed cleanly.
    pub allow_unclean: bool,
}

impl FileResolver {
    /// Returns one canonical name for a file, whatever path leads to it.
    pub(crate) fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.storage.canonicalize(path)
    }

    /// Returns whether a file with this canonical name may be opened when an image names it.
    pub(crate) fn permits(&self, canonical: &Path) -> bool {
        let Some(directories) = &self.confined_to else { return true };
        let inside = |directory: &PathBuf| {
            self.canonical(directory).is_ok_and(|directory| canonical.starts_with(directory))
        };
        directories.iter().any(inside)
    }

    /// Returns the existing files that Windows paths may refer to, relative to `beside`'s
    /// directory: the path itself, its file name beside, its file name in the search directories.
    /// Canonical, in order of preference, without duplicates.
    pub(crate) fn candidates(&self, beside: &Path, paths: &[&str]) -> Vec<PathBuf> {
        self.search(beside, paths).0
    }

    /// Returns [`candidates`](Self::candidates), and the first place to which access is denied.
    fn search(&self, beside: &Path, paths: &[&str]) -> (Vec<PathBuf>, Option<Error>) {
        let home = beside.parent().unwrap_or(Path::new(""));
        let mut wanted: Vec<PathBuf> = Vec::new();
        for path in paths.iter().map(|path| WindowsPath(path)) {
            wanted.extend(path.relative_to(home));
            wanted.extend(path.on_this_machine());
        }
        for directory in std::iter::once(home).chain(self.search_paths.iter().map(PathBuf::as_path))
        {
            let names = paths.iter().filter_map(|path| WindowsPath(path).file_name());
            wanted.extend(names.map(|name| directory.join(name)));
        }
        let (mut found, mut denied) = (Vec::new(), None);
        for path in wanted {
            let existing = self.try_existing(&path).unwrap_or_else(|cause| {
                // After any other error, the place is treated as unreachable.
                if cause.kind() == io::ErrorKind::PermissionDenied {
                    denied.get_or_insert_with(|| {
                        Error::io("cannot be looked for", cause).in_file(Subject::Parent, &path)
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

    /// Returns the file of this name (canonical), or those that differ from it by letter case.
    pub(crate) fn existing(&self, path: &Path) -> Vec<PathBuf> {
        self.try_existing(path).unwrap_or_default()
    }

    /// Returns [`existing`](Self::existing), but fails if the existence of the file is unknown.
    pub(crate) fn try_existing(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        match self.canonical(path) {
            Ok(canonical) => return Ok(vec![canonical]),
            Err(cause) if is_absent(&cause) => {}
            Err(cause) => return Err(cause),
        }
        let (Some(directory), Some(name)) =
            (path.parent(), path.file_name().and_then(|n| n.to_str()))
        else {
            return Ok(Vec::new());
        };
        let mut names = match self.storage.list(directory) {
            Ok(names) => names,
            Err(cause) if is_absent(&cause) => Vec::new(),
            Err(cause) => return Err(cause),
        };
        names.retain(|other| other.to_str().is_some_and(|other| same_name(other, name)));
        names.sort();
        names.iter().map(|name| self.canonical(&directory.join(name))).collect()
    }
}

/// Opens the parent of `child`: the first candidate that the child was created from. `above` holds
/// the canonical names of the chain so far.
pub(super) fn open_parent(
    resolver: &FileResolver,
    child: &Vhdx,
    above: &[&Path],
    limits: &Limits,
) -> Result<(Vhdx, PathBuf)> {
    let Some(locator) = &child.metadata().parent_locator else {
        let message = "the file has no parent locator";
        return Err(child.error(ErrorKind::ParentNotFound, message.into()));
    };
    let paths: Vec<&str> = locator.paths().collect();
    let (candidates, denied) = resolver.search(child.path(), &paths);
    let mut problem = denied.map(Error::in_parent);
    for candidate in candidates {
        match open_candidate(resolver, child, &candidate, above, limits) {
            Ok(parent) => return Ok((parent, candidate)),
            // A deadline applies to the opening, not to this candidate.
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Cancelled) => {
                return Err(error);
            }
            Err(error) => problem = problem.or(Some(error)),
        }
    }
    Err(problem.unwrap_or_else(|| {
        let message = format!(
            "its parent cannot be found: searched for {} at the recorded path, beside the file and in {} search \
             paths; add the parent's directory as a search path",
            paths.join(", "),
            resolver.search_paths.len()
        );
        child.error(ErrorKind::ParentNotFound, message)
    }))
}

fn open_candidate(
    resolver: &FileResolver,
    child: &Vhdx,
    candidate: &Path,
    above: &[&Path],
    limits: &Limits,
) -> Result<Vhdx> {
    if above.contains(&candidate) {
        let message = "a child of this file names it as its parent: the chain is a cycle";
        return Err(Error::new(ErrorKind::Cycle, message).in_file(Subject::Parent, candidate));
    }
    let parent = Vhdx::open(&*resolver.storage, candidate, Subject::Parent, limits);
    let parent = parent.map_err(Error::in_parent)?;
    verify_linkage(child, &parent)?;
    verify_frozen(resolver, &parent)?;
    Ok(parent)
}

/// Returns whether the error means that the file does not exist, rather than that this is unknown.
fn is_absent(cause: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound, Unsupported};
    matches!(cause.kind(), NotFound | NotADirectory | InvalidFilename | Unsupported)
}

/// Verifies the linkage. Only the parent's DataWriteGuid counts: disk ids may differ within a
/// chain.
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
            Err(child.error(ErrorKind::ParentMismatch, message))
        }
        _ => Ok(()),
    }
}

/// Verifies that a parent is frozen. A parent is frozen when its child is created, so its log is
/// empty. Hyper-V opens it for writing again when it merges a child into it.
fn verify_frozen(resolver: &FileResolver, parent: &Vhdx) -> Result<()> {
    if resolver.allow_unclean || parent.closed_cleanly() {
        return Ok(());
    }
    let message = "this parent's log is in use, but a parent is frozen when its child is made: a merge may be \
                   running, or may have been interrupted. Try again once Hyper-V has finished, or accept unclean \
                   files (allow_unclean, --allow-unclean)";
    Err(parent.error(ErrorKind::ParentNotFrozen, message.into()))
}
