//! The files of a case as the host had them: each a few parts of it, put back at their places.
//! What was not packed cannot be read: a hole is an error and never zeros.

use super::manifest::FileEntry;
use crate::error::{Error, ErrorKind, Result};
use crate::range::ByteRange;
use crate::source::{FileSource, Source, Storage};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file of which some parts were kept.
pub(super) struct Packed {
    length: u64,
    /// Each part, and where it begins in the pack.
    parts: Vec<(ByteRange, u64)>,
    pack: FileSource,
}

impl Packed {
    fn open(folder: &Path, entry: &FileEntry) -> Result<Self> {
        let path = folder.join(&entry.stored);
        let failed = |what: &str, cause| Error::io(what, cause).in_file(&path);
        // A link would lead out of the sample.
        let metadata = path.symlink_metadata().map_err(|e| failed("cannot be looked at", e))?;
        if !metadata.is_file() {
            let message =
                "a packed file of a sample should be a regular file, not a link or folder";
            return Err(Error::new(ErrorKind::Corrupt, message).in_file(&path));
        }
        let pack = FileSource::open(&path).map_err(|e| failed("cannot be opened", e))?;
        let stored = pack.len().map_err(|e| failed("its length cannot be read", e))?;
        let mut at = 0;
        let parts = entry.parts.iter().map(|&part| {
            let begin = at;
            at += part.length;
            (part, begin)
        });
        // Parts do not overlap and end inside the file, so their sum cannot overflow.
        let parts: Vec<_> = parts.collect();
        if at != stored {
            let message = format!(
                "the manifest's parts have {at} bytes and the pack has {stored}: it was cut short or exchanged"
            );
            return Err(Error::new(ErrorKind::Corrupt, message).in_file(&path));
        }
        Ok(Packed { length: entry.length, parts, pack })
    }
}

impl Source for Packed {
    fn len(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            let next = self.parts.partition_point(|(part, _)| part.end() <= offset);
            let Some((part, begin)) =
                self.parts.get(next).filter(|(part, _)| part.offset <= offset)
            else {
                return Err(io::Error::other(format!(
                    "byte {offset:#x} was not packed: a sample has metadata only"
                )));
            };
            let count = (part.end() - offset).min(buffer.len() as u64) as usize;
            let (now, rest) = buffer.split_at_mut(count);
            self.pack.read_exact_at(now, begin + (offset - part.offset))?;
            (buffer, offset) = (rest, offset + count as u64);
        }
        Ok(())
    }
}

/// The files of a case, under the names that they had on the host, in the case's folder.
pub(super) struct CaseStorage {
    folder: PathBuf,
    files: BTreeMap<PathBuf, Arc<Packed>>,
}

impl CaseStorage {
    pub fn open(folder: &Path, entries: &[FileEntry]) -> Result<Self> {
        let mut files = BTreeMap::new();
        for entry in entries {
            files.insert(folder.join(&entry.name), Arc::new(Packed::open(folder, entry)?));
        }
        Ok(CaseStorage { folder: folder.to_owned(), files })
    }

    /// The parts of a file that were packed.
    pub fn parts(&self, path: &Path) -> impl Iterator<Item = ByteRange> {
        self.files.get(path).into_iter().flat_map(|file| file.parts.iter().map(|(part, _)| *part))
    }
}

impl Storage for CaseStorage {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        let file = self.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(file.clone())
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        let known = self.files.contains_key(path) || path == self.folder;
        known.then(|| path.to_owned()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        if folder != self.folder {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(self.files.keys().filter_map(|path| path.file_name()).map(Into::into).collect())
    }
}
