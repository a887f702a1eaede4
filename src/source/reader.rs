//! The only way in which the crate reads a file: applies bounds, limits and the log overlay, and
//! adds the file's name to every error.

use super::overlay::{OverlayEntry, PAGE};
use super::{LocalStorage, Overlay, Source, Storage, Version};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::limits::{Limits, MemoryReservation};
use crate::size::to_usize;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// An open file. It is read [within](Self::within) the limits of a question.
pub(crate) struct Reader {
    path: PathBuf,
    subject: Subject,
    source: Arc<dyn Source>,
    /// The source's version before the first read.
    version: Version,
    /// The file's own length.
    stored: u64,
    /// The length after log replay; bytes from `stored` on read as zeros.
    length: u64,
    overlay: Overlay,
    /// The overlay's memory.
    _reservation: Option<MemoryReservation>,
}

impl Reader {
    /// Reads from a source; `path` names it in errors.
    pub(crate) fn new(path: &Path, subject: Subject, source: Arc<dyn Source>) -> Result<Self> {
        let name = |what: &str, cause| Error::io(what, cause).in_file(subject, path);
        let version = source.version().map_err(|e| name("its version cannot be read", e))?;
        let stored = source.size().map_err(|e| name("its length cannot be read", e))?;
        Ok(Reader {
            path: path.to_owned(),
            subject,
            source,
            version,
            stored,
            length: stored,
            overlay: Overlay::default(),
            _reservation: None,
        })
    }

    /// Opens a file of this machine.
    pub(crate) fn open_local(path: &Path, subject: Subject) -> Result<Self> {
        Self::open(&LocalStorage::new(), path, subject, &Limits::default())
    }

    /// Opens a file of the storage.
    pub(crate) fn open(
        storage: &dyn Storage,
        path: &Path,
        subject: Subject,
        limits: &Limits,
    ) -> Result<Self> {
        limits.check()?;
        let source = storage
            .open(path)
            .map_err(|e| Error::io("cannot be opened", e).in_file(subject, path))?;
        Reader::new(path, subject, source)
    }

    /// Returns the same file as another subject of errors.
    pub(crate) fn about(self, subject: Subject) -> Self {
        Reader { subject, ..self }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// Returns the length, in bytes, that the file has after log replay.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Returns the length of the stored file.
    pub(crate) fn stored_length(&self) -> u64 {
        self.stored
    }

    /// Returns the end of the part from `offset` on that is either stored exactly as it reads or
    /// not at all; at most `until`.
    pub(crate) fn stored_run(&self, offset: u64, until: u64) -> (u64, bool) {
        if offset >= self.stored {
            return (until, false);
        }
        let mut entries = self.overlay.overlapping(offset, until);
        match entries.next() {
            Some((start, end, _)) if start <= offset => (end.min(until), false),
            Some((start, _, _)) => (start.min(self.stored), true),
            None => (until.min(self.stored), true),
        }
    }

    /// Reads the current length of the stored file.
    pub(crate) fn length_now(&self) -> Result<u64> {
        self.source.size().map_err(|e| self.name(Error::io("its length cannot be read", e)))
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

    /// Adds the updates of a replayed log to the overlay: all later reads include them.
    pub(crate) fn set_overlay(
        &mut self,
        overlay: Overlay,
        reservation: MemoryReservation,
        length: u64,
    ) {
        (self.overlay, self._reservation) = (overlay, Some(reservation));
        self.length = length.max(self.stored);
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

    /// Reads the whole buffer after log replay.
    fn read_replayed(&self, buffer: &mut [u8], offset: u64, what: &str) -> Result<()> {
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
        let own = to_usize(self.stored.saturating_sub(offset)).min(buffer.len());
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
        self.read_replayed(buffer, offset, what)
    }

    /// Reads `length` bytes into a new buffer. The caller has bounded the length.
    pub(crate) fn read_vec(self, offset: u64, length: usize, what: &str) -> Result<Vec<u8>> {
        let mut buffer = vec![0; length];
        self.read(&mut buffer, offset, what)?;
        Ok(buffer)
    }
}
