//! The one way in which the crate's parsers read: bounds, budget, overlay and the file's
//! name in every error.

use super::overlay::{PAGE, Piece};
use super::{Guard, Lease, Overlay, Source, Storage, Version};
use crate::error::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

pub(crate) struct Reader {
    path: PathBuf,
    source: Arc<dyn Source>,
    /// The source's version before anything was read.
    version: Version,
    guard: Guard,
    /// The file's own length.
    stored: u64,
    /// The length after log replay; bytes from `stored` on read as zeros.
    length: u64,
    overlay: Overlay,
    /// The overlay's memory.
    lease: Lease,
}

impl Reader {
    pub fn new(path: &Path, source: Arc<dyn Source>, guard: Guard) -> Result<Self> {
        let version = source
            .version()
            .map_err(|e| Error::io("its version cannot be read", e).in_file(path))?;
        let stored =
            source.len().map_err(|e| Error::io("its length cannot be read", e).in_file(path))?;
        let (overlay, lease) = (Overlay::default(), guard.lease());
        let path = path.to_owned();
        Ok(Reader { path, source, version, guard, stored, length: stored, overlay, lease })
    }

    /// Opens a file of the storage.
    pub fn open(storage: &dyn Storage, path: &Path, guard: &Guard) -> Result<Self> {
        guard.check()?;
        let source =
            storage.open(path).map_err(|e| Error::io("cannot be opened", e).in_file(path))?;
        Reader::new(path, source, guard.clone())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The length, in bytes, that the file has for a reader: after log replay.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The length that the file has on its medium.
    pub fn stored_length(&self) -> u64 {
        self.stored
    }

    /// The length that the file has on its medium at this moment.
    pub fn length_now(&self) -> Result<u64> {
        self.source.len().map_err(|e| self.name(Error::io("its length cannot be read", e)))
    }

    /// When the file was last modified, as far as the source is a file.
    pub fn modified(&self) -> Option<SystemTime> {
        self.source.as_file()?.metadata().ok()?.modified().ok()
    }

    /// Does the source have the version that it had before anything was read? For a file: nobody
    /// wrote to it, and its path still leads to it.
    pub fn has_same_version(&self) -> Result<bool> {
        let now = self.source.version();
        let now = now.map_err(|e| self.name(Error::io("its version cannot be read", e)))?;
        Ok(now == self.version)
    }

    /// Everything read from now on is what a replayed log would have left.
    pub fn set_overlay(&mut self, overlay: Overlay, lease: Lease, length: u64) {
        (self.overlay, self.lease) = (overlay, lease);
        self.length = length.max(self.stored);
    }

    /// An error about this file.
    pub fn error(&self, kind: ErrorKind, message: String) -> Error {
        Error::new(kind, message).in_file(&self.path)
    }

    /// The error, with this file's name.
    pub fn name(&self, error: Error) -> Error {
        error.in_file(&self.path)
    }

    /// Fills `buffer` from `offset` on; `what` names the structure, for the error's text.
    pub fn read(&self, buffer: &mut [u8], offset: u64, what: &str) -> Result<()> {
        self.guard.check().map_err(|e| self.name(e))?;
        let Some(end) = offset.checked_add(buffer.len() as u64).filter(|&end| end <= self.length)
        else {
            return Err(self.error(
                ErrorKind::Truncated,
                format!(
                    "{what} should be {} bytes at offset {offset:#x}, and the file ends at {:#x}; \
                     the file was cut short or its structures are damaged",
                    buffer.len(),
                    self.length
                ),
            ));
        };
        let own = self.stored.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let (stored, past) = buffer.split_at_mut(own);
        self.read_stored(stored, offset, what)?;
        past.fill(0);
        for (from, until, piece) in self.overlay.touching(offset, end) {
            let cut = from.max(offset)..until.min(end);
            let target = &mut buffer[(cut.start - offset) as usize..(cut.end - offset) as usize];
            match piece {
                Piece::Zeros => target.fill(0),
                Piece::Page { sector, leading, trailing } => {
                    let page = self.replayed_page(sector, leading, trailing, what)?;
                    let at = (cut.start - from) as usize;
                    target.copy_from_slice(&page[at..at + target.len()]);
                }
            }
        }
        Ok(())
    }

    /// Reads `length` bytes into a new buffer. The caller has bounded the length.
    pub fn read_vec(&self, offset: u64, length: usize, what: &str) -> Result<Vec<u8>> {
        let mut buffer = vec![0; length];
        self.read(&mut buffer, offset, what)?;
        Ok(buffer)
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

    fn replayed_page(
        &self,
        sector: u64,
        leading: [u8; 8],
        trailing: [u8; 4],
        what: &str,
    ) -> Result<[u8; PAGE as usize]> {
        let mut page = [0; PAGE as usize];
        self.read_stored(&mut page, sector, what)?;
        // The sector's own signature and sequence words give way to the bytes they displaced.
        page[..8].copy_from_slice(&leading);
        page[PAGE as usize - 4..].copy_from_slice(&trailing);
        Ok(page)
    }
}
