//! The only way in which the crate reads a file: applies bounds, limits and the log overlay, and
//! adds the file's name to every error.

use super::overlay::{OverlayEntry, PAGE};
use super::{LocalStorage, Overlay, Source, Storage, Version};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::limits::Limits;
use crate::size::to_usize;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// An open file. It is read [within](Self::within) the limits of a question.
pub(crate) struct Reader {
    pub path: PathBuf,
    subject: Subject,
    pub source: Arc<dyn Source>,
    /// The source's version before the first read.
    version: Version,
    /// The length of the stored file.
    pub stored_length: u64,
    /// The length after log replay; bytes from `stored_length` on read as zeros.
    pub length: u64,
    overlay: Overlay,
}

impl Reader {
    /// Reads from a source that was opened; `path` names it in errors.
    pub(crate) fn new(
        path: &Path,
        subject: Subject,
        source: io::Result<Arc<dyn Source>>,
    ) -> Result<Self> {
        let name = |what: &str, cause| Error::io(what, cause).in_file(subject, path);
        let source = source.map_err(|e| name("cannot be opened", e))?;
        let version = source.version().map_err(|e| name("its version cannot be read", e))?;
        let stored_length = source.size().map_err(|e| name("its length cannot be read", e))?;
        Ok(Reader {
            path: path.to_owned(),
            subject,
            source,
            version,
            stored_length,
            length: stored_length,
            overlay: Overlay::default(),
        })
    }

    /// Opens a file of this machine.
    pub(crate) fn open_local(path: &Path, subject: Subject) -> Result<Self> {
        Self::new(path, subject, LocalStorage::new().open(path))
    }

    /// Returns the same file as another subject of errors.
    pub(crate) fn about(self, subject: Subject) -> Self {
        Reader { subject, ..self }
    }

    /// Returns the end of the part from `offset` on that is either stored exactly as it reads or
    /// not at all; at most `until`.
    pub(crate) fn stored_run(&self, offset: u64, until: u64) -> (u64, bool) {
        if offset >= self.stored_length {
            return (until, false);
        }
        let mut entries = self.overlay.overlapping(offset, until);
        match entries.next() {
            Some((start, end, _)) if start <= offset => (end.min(until), false),
            Some((start, _, _)) => (start.min(self.stored_length), true),
            None => (until.min(self.stored_length), true),
        }
    }

    /// Returns when the file was last modified, if the source is a file.
    pub(crate) fn modified(&self) -> Option<SystemTime> {
        self.source.as_file()?.metadata().ok()?.modified().ok()
    }

    /// Returns whether the source has the same version as before the first read. For a file: it was
    /// not written to, and its path still leads to it.
    pub(crate) fn has_same_version(&self) -> Result<bool> {
        let now = self.source.version();
        Ok(now.map_err(|e| self.name(Error::io("its version cannot be read", e)))? == self.version)
    }

    /// Returns whether the source has the same length as before the first read.
    pub(crate) fn has_same_length(&self) -> Result<bool> {
        let now = self.source.size();
        let name = |e| self.name(Error::io("its length cannot be read", e));
        Ok(now.map_err(name)? == self.stored_length)
    }

    /// Adds the updates of a replayed log to the overlay: all later reads include them.
    pub(crate) fn set_overlay(&mut self, overlay: Overlay, length: u64) {
        self.overlay = overlay;
        self.length = length.max(self.stored_length);
    }

    /// Creates an error about this file.
    pub(crate) fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        self.name(Error::new(kind, message))
    }

    /// Adds this file's name to the error.
    pub(crate) fn name(&self, error: impl Into<Error>) -> Error {
        error.into().in_file(self.subject, &self.path)
    }

    /// Returns the file with the limits of the question that reads it.
    pub(crate) fn within<'a>(&'a self, limits: &'a Limits) -> FileView<'a> {
        FileView { file: self, limits }
    }

    fn read_stored(&self, buffer: &mut [u8], offset: u64, what: &str) -> Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let count = buffer.len();
        let result = self.source.read_exact_at(buffer, offset);
        result.map_err(|e| {
            let what = format!("{what} ({count} bytes at offset {offset:#x}) cannot be read");
            self.name(Error::io(&what, e))
        })
    }
}

/// An open file and the limits of the question that reads it. Every read checks the limits first.
#[derive(Clone, Copy)]
pub(crate) struct FileView<'a> {
    file: &'a Reader,
    pub limits: &'a Limits,
}

impl Deref for FileView<'_> {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        self.file
    }
}

impl FileView<'_> {
    /// Fills `buffer` from `offset` on; `what` names the structure in errors.
    pub(crate) fn read(self, buffer: &mut [u8], offset: u64, what: &str) -> Result<()> {
        self.limits.check().map_err(|e| self.name(e))?;
        let Some(end) = offset.checked_add(buffer.len() as u64).filter(|&end| end <= self.length)
        else {
            return Err(self.error(
                ErrorKind::Truncated,
                format!(
                    "expected {what} of {} bytes at offset {offset:#x}, but the file ends at {:#x}; it was truncated \
                     or its structures are damaged",
                    buffer.len(),
                    self.length
                ),
            ));
        };
        let own = to_usize(self.stored_length.saturating_sub(offset)).min(buffer.len());
        let (stored, past) = buffer.split_at_mut(own);
        self.read_stored(stored, offset, what)?;
        past.fill(0);
        for (from, until, entry) in self.overlay.overlapping(offset, end) {
            let cut = from.max(offset)..until.min(end);
            let target = &mut buffer[to_usize(cut.start - offset)..to_usize(cut.end - offset)];
            match entry {
                OverlayEntry::Zeros => target.fill(0),
                OverlayEntry::Page { sector, leading, trailing } => {
                    let mut page = [0; PAGE];
                    self.read_stored(&mut page, sector, what)?;
                    // The sector has its own signature and sequence words in place of these bytes.
                    page[..8].copy_from_slice(&leading);
                    page[PAGE - 4..].copy_from_slice(&trailing);
                    target.copy_from_slice(&page[to_usize(cut.start - from)..][..target.len()]);
                }
            }
        }
        Ok(())
    }

    /// Reads `length` bytes into a new buffer. The caller has bounded the length.
    pub(crate) fn read_vec(self, offset: u64, length: usize, what: &str) -> Result<Vec<u8>> {
        let mut buffer = vec![0; length];
        self.read(&mut buffer, offset, what)?;
        Ok(buffer)
    }
}
