//! Differences between operating systems that the copy depends on.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use vhdx_rct::ByteRange;

#[cfg(unix)]
use std::os::unix::fs::FileExt;

#[cfg(unix)]
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

#[cfg(unix)]
pub fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

#[cfg(windows)]
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(windows)]
pub fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(unix)]
pub fn is_block_device(metadata: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_block_device(&metadata.file_type())
}

#[cfg(not(unix))]
pub fn is_block_device(_: &Metadata) -> bool {
    false
}

/// Makes the opening of a block device fail while it is mounted.
#[cfg(target_os = "linux")]
pub fn refuse_mounted(options: &mut OpenOptions) {
    let flags = rustix::fs::OFlags::EXCL.bits();
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.cast_signed());
}

#[cfg(not(target_os = "linux"))]
pub fn refuse_mounted(_: &mut OpenOptions) {}

/// Frees a range of a file, or makes a device zero it. Returns false if the system cannot.
#[cfg(target_os = "linux")]
pub fn make_hole(file: &File, range: ByteRange) -> bool {
    use rustix::fs::{FallocateFlags, fallocate};
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(file, flags, range.offset, range.length).is_ok()
}

#[cfg(not(target_os = "linux"))]
pub fn make_hole(_: &File, _: ByteRange) -> bool {
    false
}

/// Returns the next part of a range that is not a hole.
#[cfg(target_os = "linux")]
pub fn next_data(file: &File, range: ByteRange) -> io::Result<Option<ByteRange>> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;
    match seek(file, SeekFrom::Data(range.offset)) {
        Ok(start) if start < range.end() => {
            let end = seek(file, SeekFrom::Hole(start)).unwrap_or(range.end());
            Ok(Some(ByteRange::from(start..end.clamp(start + 1, range.end()))))
        }
        Ok(_) | Err(Errno::NXIO) => Ok(None),
        // A block device, or a file system that does not record holes.
        Err(_) => Ok(Some(range)),
    }
}

#[cfg(not(target_os = "linux"))]
pub fn next_data(_: &File, range: ByteRange) -> io::Result<Option<ByteRange>> {
    Ok(Some(range))
}
