//! The bytes that a virtual machine would read.

use super::{Chain, Stack};
use crate::error::{Error, ErrorKind, Result};
use crate::extent::Held;
use crate::vhdx::Grain;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The content of a virtual disk, read through its chain as if every log had been replayed.
/// Any number of threads may read at once.
pub struct VirtualDisk {
    chain: Chain,
    /// Cursors that no thread uses at the moment; their windows hold what was read last.
    idle: Mutex<Vec<Stack>>,
}

impl VirtualDisk {
    /// Opens a disk with all its parents.
    ///
    /// # Errors
    /// As [`Chain::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Chain::open(path).map(Self::new)
    }

    /// Reads through a chain that is open already.
    pub fn new(chain: Chain) -> Self {
        VirtualDisk { chain, idle: Mutex::default() }
    }

    /// The files that the content comes from.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The virtual disk's size in bytes.
    pub fn size(&self) -> u64 {
        self.chain.leaf().virtual_size()
    }

    /// Fills `buffer` with the disk's content from byte `offset` on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameter`] where the bytes do not lie inside the disk; else what
    /// reading the files gives.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let inside = offset.checked_add(buffer.len() as u64).is_some_and(|end| end <= self.size());
        if !inside {
            let message = format!(
                "{} bytes at offset {offset} do not lie inside the disk of {} bytes",
                buffer.len(),
                self.size()
            );
            return Err(
                Error::new(ErrorKind::InvalidParameter, message).in_file(self.chain.leaf().path())
            );
        }
        let taken = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut stack = taken.unwrap_or_else(|| self.chain.stack(Grain::Mapped));
        let result = self.read_through(&mut stack, buffer, offset);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(stack);
        result
    }

    fn read_through(&self, stack: &mut Stack, buffer: &mut [u8], offset: u64) -> Result<()> {
        let end = offset + buffer.len() as u64;
        let mut at = offset;
        while at < end {
            let found = stack.at(at, end)?;
            let target = &mut buffer[(at - offset) as usize..(found.extent.end - offset) as usize];
            match found.extent.held {
                Held::Data => {
                    self.chain.files()[found.depth].read_file(target, found.extent.file_offset)?
                }
                Held::Absent | Held::Zero | Held::Undefined => target.fill(0),
            }
            at = found.extent.end;
        }
        Ok(())
    }
}
