//! The bytes that a virtual machine would read.

use super::{Chain, Cutter, DiskExtent, Stack};
use crate::error::{Error, ErrorKind, Result};
use crate::extent::Held;
use crate::vhdx::Grain;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The content of a virtual disk, read through its chain as if every log had been replayed.
/// Any number of threads may read at once.
///
/// ```
/// # if !std::path::Path::new("testdata").exists() { return Ok(()); } // not in the packaged crate
/// use vhdx_rct::{ChangeQuery, Limit};
///
/// let query = ChangeQuery::new("testdata/child.avhdx").since(Limit::File("testdata/base.vhdx".into()));
/// let disk = query.disk()?;
/// let mut buffer = vec![0; 64 << 10];
/// for range in query.stream()? {
///     for piece in range?.chunks(buffer.len()) {
///         let bytes = &mut buffer[..piece.length as usize];
///         disk.read_at(bytes, piece.offset)?;
///         // ... keep the bytes
///     }
/// }
/// // Nobody wrote to a file in the meantime?
/// disk.must_be_unchanged()?;
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
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

    /// The logical sector size in bytes: 512 or 4096.
    pub fn logical_sector_size(&self) -> u32 {
        self.chain.leaf().metadata().logical_sector_size
    }

    /// The physical sector size in bytes: 512 or 4096.
    pub fn physical_sector_size(&self) -> u32 {
        self.chain.leaf().metadata().physical_sector_size
    }

    /// Fails where somebody changed a file of the chain since it was opened: what was read is
    /// then of no one state of the disk. Ask it behind the last read.
    ///
    /// # Errors
    /// [`ErrorKind::Changed`], or what reading the headers gives.
    pub fn must_be_unchanged(&self) -> Result<()> {
        self.chain.files().iter().try_for_each(|file| file.must_be_unchanged())
    }

    /// A reader with a position of its own, at the disk's start.
    pub fn reader(&self) -> DiskReader<'_> {
        DiskReader { disk: self, position: 0 }
    }

    /// What a region holds: data, zeros or nothing, and which file says so. Together the
    /// extents cover the region, in order, without a gap; neighbours differ.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameter`] where the region does not lie inside the disk; what
    /// reading the files gives comes from the iterator, which then ends.
    pub fn extents(&self, region: Range<u64>) -> Result<Extents> {
        self.must_contain(region.start, region.end.saturating_sub(region.start))?;
        let mut cutter = Cutter::new(self.chain.stack(Grain::State));
        cutter.set_region(region);
        Ok(Extents { cutter, done: false })
    }

    /// Fills `buffer` with the disk's content from byte `offset` on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameter`] where the bytes do not lie inside the disk; else what
    /// reading the files gives.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.must_contain(offset, buffer.len() as u64)?;
        let taken = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut stack = taken.unwrap_or_else(|| self.chain.stack(Grain::Mapped));
        let result = self.read_through(&mut stack, buffer, offset);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(stack);
        result
    }

    fn must_contain(&self, offset: u64, length: u64) -> Result<()> {
        let size = self.size();
        if offset.checked_add(length).is_some_and(|end| end <= size) {
            return Ok(());
        }
        let message =
            format!("{length} bytes at offset {offset} do not lie inside the disk of {size} bytes");
        Err(Error::new(ErrorKind::InvalidParameter, message).in_file(self.chain.leaf().path()))
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

/// The extents of a region; see [`VirtualDisk::extents`].
pub struct Extents {
    cutter: Cutter,
    done: bool,
}

impl Iterator for Extents {
    type Item = std::result::Result<DiskExtent, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let result = self.cutter.next();
        self.done = !matches!(result, Ok(Some(_)));
        result.transpose()
    }
}

impl std::iter::FusedIterator for Extents {}

/// A virtual disk's content as [`Read`] and [`Seek`]. An [`Error`] comes as the inner error of
/// an [`io::Error`].
#[derive(Clone)]
pub struct DiskReader<'a> {
    disk: &'a VirtualDisk,
    position: u64,
}

impl Read for DiskReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.disk.size().saturating_sub(self.position);
        let count = left.min(buffer.len() as u64) as usize;
        self.disk
            .read_at(&mut buffer[..count], self.position.min(self.disk.size()))
            .map_err(io::Error::other)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for DiskReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(distance) => self.disk.size().checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        let message = "the position should not lie before the disk's start";
        self.position =
            target.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, message))?;
        Ok(self.position)
    }
}
