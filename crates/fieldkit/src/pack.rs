//! Presents the packed parts of files at their original offsets. Reading what was not packed is
//! an error and never yields zeros.

use super::manifest::FileEntry;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vhdx_rct::ByteRange;
use vhdx_rct::source::{FileSource, Source, Storage};

/// A file of which some parts were packed.
pub(crate) struct Packed {
    length: u64,
    /// Each part, and where it begins in the pack.
    parts: Vec<(ByteRange, u64)>,
    pack: FileSource,
}

impl Packed {
    fn open(directory: &Path, entry: &FileEntry) -> Result<Self> {
        let path = directory.join(&entry.stored);
        let failed = |what, cause| Error::io(&path, what, cause);
        // A link could lead out of the sample.
        let metadata = path.symlink_metadata().map_err(|e| failed("cannot be examined", e))?;
        if !metadata.is_file() {
            let message = "expected a regular file, not a link or directory";
            return Err(Error::invalid(&path, message));
        }
        let pack = FileSource::open(&path).map_err(|e| failed("cannot be opened", e))?;
        let stored = pack.size().map_err(|e| failed("its length cannot be read", e))?;
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
                "expected the {at} bytes of the manifest's parts, found {stored}: it was cut short or replaced"
            );
            return Err(Error::invalid(&path, message));
        }
        Ok(Packed { length: entry.length, parts, pack })
    }
}

impl Source for Packed {
    fn size(&self) -> io::Result<u64> {
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

/// The files of a case, under the names that they had on the host, in the case's directory.
pub(crate) struct CaseStorage {
    directory: PathBuf,
    files: BTreeMap<PathBuf, Arc<Packed>>,
}

impl CaseStorage {
    pub fn open(directory: &Path, entries: &[FileEntry]) -> Result<Self> {
        let mut files = BTreeMap::new();
        for entry in entries {
            files.insert(directory.join(&entry.name), Arc::new(Packed::open(directory, entry)?));
        }
        Ok(CaseStorage { directory: directory.to_owned(), files })
    }

    /// Opens a file to read structures from it.
    pub fn file(&self, path: &Path) -> Result<PackedFile> {
        let failed = |cause| Error::io(path, "cannot be opened", cause);
        let source = self.open_source(path).map_err(failed)?;
        let length = source.size().map_err(failed)?;
        Ok(PackedFile { path: path.to_owned(), source, length })
    }

    fn open_source(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        let file = self.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(file.clone())
    }

    /// Returns the packed parts of a file.
    pub fn parts(&self, path: &Path) -> impl Iterator<Item = ByteRange> {
        self.files.get(path).into_iter().flat_map(|file| file.parts.iter().map(|(part, _)| *part))
    }
}

impl Storage for CaseStorage {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        self.open_source(path)
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        let known = self.files.contains_key(path) || path == self.directory;
        known.then(|| path.to_owned()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        if directory != self.directory {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(self.files.keys().filter_map(|path| path.file_name()).map(Into::into).collect())
    }
}

/// A file of a case, as the host had it.
pub(crate) struct PackedFile {
    path: PathBuf,
    source: Arc<dyn Source>,
    length: u64,
}

impl PackedFile {
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads bytes that the file has; the caller has bounded their number.
    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let result = self.source.read_exact_at(&mut bytes, offset);
        result.map_err(|cause| Error::io(&self.path, "cannot be read", cause))?;
        Ok(bytes)
    }
}
