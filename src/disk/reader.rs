//! Reads the content of a virtual disk as a virtual machine would.

use super::Disk;
use crate::error::{ErrorKind, Result};
use crate::layer::LayerState;
use crate::size::to_usize;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::PoisonError;

impl Disk {
    /// Fills `buffer` with the disk's content from byte `offset` on, as if every log had been
    /// replayed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameter`] if the bytes do not lie inside the disk; a missing parent;
    /// errors from reading the files.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let (chain, size) = (self.chain(), self.identity().virtual_size);
        let length = buffer.len() as u64;
        let end = offset.checked_add(length).filter(|&end| end <= size);
        let Some(end) = end else {
            let message = format!(
                "expected bytes inside the disk of {size} bytes, found {length} bytes at offset {offset}"
            );
            return Err(chain.leaf().file.error(ErrorKind::InvalidParameter, message));
        };
        chain.verify_complete()?;
        let limits = self.limits();
        let cursors = || self.0.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = cursors().pop();
        let mut stack = taken.unwrap_or_else(|| chain.stack(&limits));
        let mut rest = buffer;
        let mut at = offset;
        while at < end {
            let found = stack.extent(at, end)?;
            let (part, after) = rest.split_at_mut(to_usize(found.extent.end - at));
            match found.extent.state {
                LayerState::Data => {
                    let file = &chain.files[found.depth].vhdx;
                    let file = file.file.within(&limits);
                    file.read(part, found.extent.file_offset, "a payload block")?;
                }
                LayerState::Absent | LayerState::Zero | LayerState::Undefined => part.fill(0),
            }
            (at, rest) = (found.extent.end, after);
        }
        cursors().push(stack);
        Ok(())
    }

    /// Returns a reader of the content that implements [`Read`] and [`Seek`], positioned at the
    /// disk's start.
    #[must_use]
    pub fn reader(&self) -> DiskReader {
        DiskReader { disk: self.clone(), position: 0 }
    }
}

/// Reads a virtual disk's content as [`Read`] and [`Seek`]; created by [`Disk::reader`]. An
/// [`Error`](crate::Error) becomes the inner error of an [`io::Error`].
#[derive(Debug, Clone)]
pub struct DiskReader {
    disk: Disk,
    position: u64,
}

impl Read for DiskReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.disk.identity().virtual_size;
        let count = to_usize(size.saturating_sub(self.position)).min(buffer.len());
        self.disk.read_exact_at(&mut buffer[..count], self.position.min(size))?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for DiskReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let size = self.disk.identity().virtual_size;
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(distance) => size.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        let message = "expected a position at or after the disk's start, found one before it";
        let invalid = || io::Error::new(io::ErrorKind::InvalidInput, message);
        self.position = target.ok_or_else(invalid)?;
        Ok(self.position)
    }
}
