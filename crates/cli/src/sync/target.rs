//! The copy: a raw file or a block device.

use super::os;
use crate::failure::Failure;
use crate::text::first_bytes;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use vhdx_rct::{ByteRange, ReturnValue};

/// A raw copy that no other sync has open.
pub struct Target {
    file: File,
    path: PathBuf,
    /// A block device has a fixed size.
    pub is_device: bool,
}

impl Target {
    /// Opens the copy; None if it does not exist.
    pub fn open(path: &Path, writable: bool) -> Result<Option<Self>, Failure> {
        let name = |cause| failure(path, &cause);
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(name(error)),
        };
        let is_device = os::is_block_device(&metadata);
        if !metadata.is_file() && !is_device {
            let message =
                "expected a regular file or a block device as the copy, found something else";
            return Err(Failure::about(path, ReturnValue::InvalidParameter, message));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(writable);
        if is_device && writable {
            os::refuse_mounted(&mut options);
        }
        let target =
            Target { file: options.open(path).map_err(name)?, path: path.into(), is_device };
        target.lock()?;
        let start = first_bytes(path).map_err(name)?;
        if [b"vhdxfile", b"vhdsetv1", b"conectix"].iter().any(|known| start == known[..]) {
            let message =
                "this is a virtual disk file, not a raw copy; name another file with --to";
            return Err(Failure::about(path, ReturnValue::InvalidState, message));
        }
        Ok(Some(target))
    }

    /// Creates an empty copy.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let created = OpenOptions::new().read(true).write(true).create_new(true).open(path);
        let file = created.map_err(|cause| failure(path, &cause))?;
        let target = Target { file, path: path.into(), is_device: false };
        target.lock()?;
        Ok(target)
    }

    fn lock(&self) -> Result<(), Failure> {
        match self.file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                let message = "another process holds the copy; wait until it has finished";
                Err(Failure::about(&self.path, ReturnValue::InUse, message))
            }
            // A file system without locks.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
            Err(TryLockError::Error(error)) => Err(failure(&self.path, &error)),
        }
    }

    /// Creates the failure for an error of the copy.
    pub fn failure(&self, cause: &io::Error) -> Failure {
        failure(&self.path, cause)
    }

    pub fn size(&self) -> Result<u64, Failure> {
        self.try_size().map_err(|cause| self.failure(&cause))
    }

    fn try_size(&self) -> io::Result<u64> {
        // A device's metadata has no size.
        if self.is_device {
            (&self.file).seek(SeekFrom::End(0))
        } else {
            Ok(self.file.metadata()?.len())
        }
    }

    pub fn set_size(&self, size: u64) -> Result<(), Failure> {
        if self.is_device || self.size()? == size {
            return Ok(());
        }
        self.file.set_len(size).map_err(|cause| self.failure(&cause))
    }

    /// Returns whether a copy of this size can be one of a disk of `disk` bytes.
    pub fn fits(&self, size: u64, disk: u64) -> bool {
        size == disk || (self.is_device && size > disk)
    }

    /// Returns whether the first MiB has nothing but zeros.
    pub fn is_blank(&self) -> Result<bool, Failure> {
        let mut start = vec![0; 1 << 20];
        self.read(&mut start, 0).map_err(|cause| self.failure(&cause))?;
        Ok(start.iter().all(|&byte| byte == 0))
    }

    /// Fills the buffer from `offset` on, with zeros after the copy's end.
    pub fn read(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match os::read_at(&self.file, buffer, offset) {
                Ok(0) => {
                    buffer.fill(0);
                    return Ok(());
                }
                Ok(count) => {
                    buffer = &mut buffer[count..];
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        os::write_all_at(&self.file, bytes, offset)
    }

    /// Makes a range read as zeros: with a hole or, if the system cannot make one, by writing.
    pub fn zero(&self, range: ByteRange) -> io::Result<()> {
        if os::make_hole(&self.file, range) {
            return Ok(());
        }
        let zeros = vec![0; range.length.min(1 << 20) as usize];
        range
            .chunks(zeros.len())
            .try_for_each(|part| self.write(&zeros[..part.length as usize], part.offset))
    }

    /// Returns the next part of a range that is not a hole; all of it if holes cannot be found.
    pub fn next_data(&self, range: ByteRange) -> io::Result<Option<ByteRange>> {
        if range.length == 0 { Ok(None) } else { os::next_data(&self.file, range) }
    }

    /// Shares a range of another file's storage. Offsets and length are multiples of the file
    /// system's block size.
    pub fn share(&self, from: &File, offset: u64, range: ByteRange) -> io::Result<()> {
        let Some(length) = std::num::NonZeroU64::new(range.length) else { return Ok(()) };
        reflink_copy::ReflinkBlockBuilder::new(from, &self.file, length)
            .from_offset(offset)
            .to_offset(range.offset)
            .reflink_block()
    }

    /// Makes all that was written durable.
    pub fn sync(&self) -> Result<(), Failure> {
        self.file.sync_all().map_err(|cause| self.failure(&cause))
    }
}

/// Describes an error of the copy or its state file, and what the user can do.
pub fn failure(path: &Path, cause: &io::Error) -> Failure {
    use io::ErrorKind as K;
    let (value, next_step) = match cause.kind() {
        K::NotFound => (ReturnValue::FileNotFound, "create its directory first"),
        K::PermissionDenied | K::ReadOnlyFilesystem => {
            (ReturnValue::AccessDenied, "make it and its directory writable for this user")
        }
        K::StorageFull | K::QuotaExceeded | K::FileTooLarge => {
            (ReturnValue::Failed, "free space for the copy, and run the command again")
        }
        K::ResourceBusy => (ReturnValue::InUse, "unmount the device, or name another one"),
        _ => (ReturnValue::Failed, "run the command again once it is accessible"),
    };
    Failure::about(path, value, &format!("cannot be used: {cause}; {next_step}"))
}
