//! The raw copy: written only where it differs, with holes where it reads as zeros.

use crate::text::first_bytes;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use vhdx_rct::ByteRange;

/// How much is compared and written at a time.
pub const CHUNK: usize = 1 << 20;

/// Below this, zeros inside data are not worth a hole of their own.
const HOLE: usize = 64 << 10;

/// A raw copy open for writing; no other sync has it.
pub struct Raw {
    file: File,
    old: Vec<u8>,
    /// Bytes that were changed.
    pub written: u64,
}

impl Raw {
    /// Opens a copy that exists.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::lock(OpenOptions::new().read(true).write(true).open(path)?)
    }

    /// Makes an empty copy.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::lock(OpenOptions::new().read(true).write(true).create_new(true).open(path)?)
    }

    fn lock(file: File) -> io::Result<Self> {
        file.try_lock().map_err(|_| {
            io::Error::new(io::ErrorKind::WouldBlock, "another process holds the copy; wait for it")
        })?;
        Ok(Raw { file, old: vec![0; CHUNK], written: 0 })
    }

    pub fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    /// Makes the copy have these bytes at `offset`; at most [`CHUNK`].
    pub fn put(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.read_old(bytes.len(), offset)?;
        for (i, part) in bytes.chunks(HOLE).enumerate() {
            let range = i * HOLE..i * HOLE + part.len();
            if self.old[range.clone()] == *part {
                continue;
            }
            let at = offset + range.start as u64;
            if part.len() == HOLE && part.iter().all(|&byte| byte == 0) {
                self.punch(at, HOLE as u64)?;
            } else {
                self.file.seek(SeekFrom::Start(at))?;
                self.file.write_all(part)?;
            }
            self.written += part.len() as u64;
        }
        Ok(())
    }

    /// Makes the copy read as zeros in a range; where it does already, nothing is written.
    pub fn zero(&mut self, range: ByteRange) -> io::Result<()> {
        let mut at = range.offset;
        while let Some(data) = next_data(&self.file, at, range.end())? {
            for piece in data.chunks(CHUNK) {
                let old = self.read_old(piece.length as usize, piece.offset)?;
                if old.iter().any(|&byte| byte != 0) {
                    self.punch(piece.offset, piece.length)?;
                    self.written += piece.length;
                }
            }
            at = data.end();
        }
        Ok(())
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Reads the copy, at most [`CHUNK`]; past its end, zeros.
    fn read_old(&mut self, length: usize, offset: u64) -> io::Result<&[u8]> {
        self.file.seek(SeekFrom::Start(offset))?;
        let buffer = &mut self.old[..length];
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        buffer[filled..].fill(0);
        Ok(buffer)
    }

    /// Frees the range, or, where the file system cannot, writes zeros.
    fn punch(&mut self, offset: u64, length: u64) -> io::Result<()> {
        if make_hole(&self.file, offset, length) {
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(offset))?;
        io::copy(&mut io::repeat(0).take(length), &mut self.file).map(|_| ())
    }
}

/// Whether a file begins as a virtual disk does, which must never be taken for a raw copy.
pub fn looks_like_an_image(path: &Path) -> io::Result<bool> {
    let start = first_bytes(path)?;
    Ok([b"vhdxfile", b"vhdsetv1", b"conectix"].iter().any(|known| start == known[..]))
}

#[cfg(target_os = "linux")]
fn make_hole(file: &File, offset: u64, length: u64) -> bool {
    use rustix::fs::{FallocateFlags, fallocate};
    fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, length).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn make_hole(_: &File, _: u64, _: u64) -> bool {
    false
}

/// The next range before `end` that is not a hole; all of it if holes cannot be found.
#[cfg(target_os = "linux")]
fn next_data(file: &File, at: u64, end: u64) -> io::Result<Option<ByteRange>> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;
    if at >= end {
        return Ok(None);
    }
    match seek(file, SeekFrom::Data(at)) {
        Ok(start) if start < end => {
            let stop = seek(file, SeekFrom::Hole(start)).unwrap_or(end);
            Ok(Some(ByteRange::from(start..stop.clamp(start + 1, end))))
        }
        Ok(_) | Err(Errno::NXIO) => Ok(None),
        Err(_) => Ok(Some(ByteRange::from(at..end))),
    }
}

#[cfg(not(target_os = "linux"))]
fn next_data(_: &File, at: u64, end: u64) -> io::Result<Option<ByteRange>> {
    Ok((at < end).then(|| ByteRange::from(at..end)))
}
