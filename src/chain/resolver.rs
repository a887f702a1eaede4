//! Finds files by the names that images have for them.

use super::windows_path::{WindowsPath, same_name};
use crate::error::{Error, Result, Subject};
use crate::limits::Limits;
use crate::source::{Reader, Storage};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{io, iter};

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
    /// Opens a file of the storage.
    pub(crate) fn open(&self, path: &Path, subject: Subject, limits: &Limits) -> Result<Reader> {
        limits.check()?;
        Reader::new(path, subject, self.storage.open(path))
    }

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
    /// Canonical, in order of preference, without duplicates. Also returns the first place to which
    /// access is denied.
    pub(crate) fn search(&self, beside: &Path, paths: &[&str]) -> (Vec<PathBuf>, Option<Error>) {
        let home = beside.parent().unwrap_or(Path::new(""));
        let paths = paths.iter().map(|path| WindowsPath(path));
        let places =
            paths.clone().flat_map(|path| [path.relative_to(home), path.on_this_machine()]);
        let mut wanted: Vec<PathBuf> = places.flatten().collect();
        for directory in iter::once(home).chain(self.search_paths.iter().map(PathBuf::as_path)) {
            let names = paths.clone().filter_map(WindowsPath::file_name);
            wanted.extend(names.map(|name| directory.join(name)));
        }
        let (mut found, mut denied) = (Vec::new(), None);
        for path in wanted {
            match self.existing(&path) {
                Ok(existing) => {
                    for path in existing {
                        if !found.contains(&path) && self.permits(&path) {
                            found.push(path);
                        }
                    }
                }
                Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => {
                    denied.get_or_insert_with(|| {
                        Error::io("cannot be looked for", cause).in_file(Subject::Parent, &path)
                    });
                }
                // After any other error, the place is treated as unreachable.
                Err(_) => {}
            }
        }
        (found, denied)
    }

    /// Returns the file of this name (canonical), or those that differ from it by letter case. Fails
    /// if the existence of the file is unknown.
    pub(crate) fn existing(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        match self.canonical(path) {
            Err(cause) if is_absent(&cause) => {}
            canonical => return Ok(vec![canonical?]),
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let Some((directory, name)) = path.parent().zip(name) else { return Ok(Vec::new()) };
        let mut names = match self.storage.list(directory) {
            Err(cause) if is_absent(&cause) => return Ok(Vec::new()),
            names => names?,
        };
        names.retain(|other| other.to_str().is_some_and(|other| same_name(other, name)));
        names.sort();
        names.iter().map(|name| self.canonical(&directory.join(name))).collect()
    }
}

/// Returns whether the error means that the file does not exist, rather than that this is unknown.
fn is_absent(cause: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound, Unsupported};
    matches!(cause.kind(), NotFound | NotADirectory | InvalidFilename | Unsupported)
}
