//! The `.vhds` file itself: which file of the set is active.

use super::layout::*;
use super::resolve::catalog_path;
use crate::bytes::checksum;
use crate::chain::{Access, WindowsPath};
use crate::error::{Error, ErrorKind, Result};
use crate::source::{Guard, LocalStorage, Reader};
use byteorder::{ByteOrder, LittleEndian};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// An open `.vhds` file.
pub struct VhdSet {
    file: Reader,
    creator: String,
    sequence_number: u64,
    active_name: String,
    unknown_records: Vec<String>,
}

impl VhdSet {
    /// Opens a VHD Set file of this machine.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] where no header is valid or the active file's name cannot be
    /// read; [`ErrorKind::UnsupportedVersion`]; [`ErrorKind::NotVirtualDisk`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(Reader::open(&LocalStorage::new(), path.as_ref(), &Guard::default())?)
    }

    pub(crate) fn open_in(access: &Access, path: &Path) -> Result<Self> {
        Self::read(Reader::open(&*access.storage, path, &access.guard)?)
    }

    /// Does the file say that it is a VHD Set?
    pub(crate) fn is_one(access: &Access, path: &Path) -> Result<bool> {
        let file = Reader::open(&*access.storage, path, &access.guard)?;
        let start = file.read_vec(0, file.length().min(8) as usize, "the file's first bytes")?;
        Ok(start == FILE_SIGNATURE)
    }

    fn read(file: Reader) -> Result<Self> {
        let available = file.length().min((8 + CREATOR_BYTES) as u64) as usize;
        let start = file.read_vec(0, available, "the file's first bytes")?;
        if !start.starts_with(FILE_SIGNATURE) {
            let message = "the file is no VHD Set: its first bytes should be \"vhdsetv1\"";
            return Err(file.error(ErrorKind::NotVirtualDisk, message.into()));
        }
        let creator: Vec<u16> = start[8..]
            .chunks_exact(2)
            .map(LittleEndian::read_u16)
            .take_while(|&unit| unit != 0)
            .collect();
        let header = current_header(&file)?;
        let version = LittleEndian::read_u32(&header[VERSION_AT..]);
        if version != 1 {
            let message = format!("the header should have version 1 and has {version}");
            return Err(file.error(ErrorKind::UnsupportedVersion, message));
        }
        let (active_name, name_end) = active_name(&file, &header)?;
        let unknown_records = unknown_records(&file, &header, name_end)?;
        Ok(VhdSet {
            creator: String::from_utf16_lossy(&creator),
            sequence_number: LittleEndian::read_u64(&header[SEQUENCE_AT..]),
            active_name,
            unknown_records,
            file,
        })
    }

    /// The path that it was opened with.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Which program wrote the file; diagnostic only.
    pub fn creator(&self) -> &str {
        &self.creator
    }

    /// When the file was last modified, as far as it is a file of this machine.
    pub(super) fn modified(&self) -> Option<SystemTime> {
        self.file.modified()
    }

    /// Grows with every change of the set.
    pub fn sequence_number(&self) -> u64 {
        self.sequence_number
    }

    /// The name of the active file, which lies beside the set.
    pub fn active_name(&self) -> &str {
        &self.active_name
    }

    /// Where a catalog of its snapshots is looked for: `<name>.vhds.snapshots.json` beside it.
    pub fn catalog_path(&self) -> PathBuf {
        catalog_path(self.path())
    }

    /// Where the file holds something that this version cannot read: a sentence each.
    pub fn unknown_records(&self) -> &[String] {
        &self.unknown_records
    }

    /// The active file, where it can be found.
    pub(crate) fn active_file(&self, access: &Access) -> Result<PathBuf> {
        find(access, self.path(), &self.active_name, "the set's active file")
    }

    /// Fails with "in use" where somebody changed the set since it was opened.
    pub(crate) fn must_be_unchanged(&self) -> Result<()> {
        if self.file.has_same_version()? {
            let header = current_header(&self.file)?;
            let same = LittleEndian::read_u64(&header[SEQUENCE_AT..]) == self.sequence_number;
            if same && self.file.length_now()? == self.file.length() {
                return Ok(());
            }
        }
        let message =
            "the set changed while it was read, so no range is certain; read it from a snapshot";
        Err(self.file.error(ErrorKind::Changed, message.into()))
    }
}

/// The existing file that a Windows path of a set means: the one of this file name in the set's
/// directory, else in a search directory. The path's own directories are of the host that wrote
/// it, where another copy may lie.
pub(super) fn locate(access: &Access, set: &Path, path: &str) -> Option<PathBuf> {
    let name = WindowsPath(path).file_name()?;
    access.candidates(set, &[name]).into_iter().next()
}

/// As [`locate`]; a file that cannot be found is an error.
pub(super) fn find(access: &Access, set: &Path, path: &str, what: &str) -> Result<PathBuf> {
    locate(access, set, path).ok_or_else(|| {
        let message = format!(
            "{what}, {path}, cannot be found in the set's directory nor in {} search directories; name its \
             directory as a search directory",
            access.folders.len()
        );
        Error::new(ErrorKind::ParentNotFound, message).in_file(set)
    })
}

pub(super) fn checksum_holds(header: &[u8]) -> bool {
    checksum(header, CHECKSUM_AT) == LittleEndian::read_u32(&header[CHECKSUM_AT..])
}

fn current_header(file: &Reader) -> Result<Vec<u8>> {
    let mut current: Option<Vec<u8>> = None;
    let sequence = |header: &[u8]| LittleEndian::read_u64(&header[SEQUENCE_AT..]);
    for offset in HEADER_OFFSETS {
        let header = file.read_vec(offset, HEADER_BYTES, "a header of the set")?;
        if !header.starts_with(HEADER_SIGNATURE) || !checksum_holds(&header) {
            continue;
        }
        match &current {
            Some(other) if sequence(other) == sequence(&header) && *other != header => {
                let message = "both headers carry the same sequence number and they differ, so neither is known to \
                               be current";
                return Err(file.error(ErrorKind::Corrupt, message.into()));
            }
            Some(other) if sequence(other) >= sequence(&header) => {}
            _ => current = Some(header),
        }
    }
    current.ok_or_else(|| {
        let message = "no valid header: the copies at 0x10000 and 0x20000 should be signed \"shdr\" and match their \
                       CRC-32C; `vhdx-rct inspect` shows what is there";
        file.error(ErrorKind::Corrupt, message.into())
    })
}

/// The active file's name, and where it ends in the file.
fn active_name(file: &Reader, header: &[u8]) -> Result<(String, u64)> {
    let offset = u64::from(LittleEndian::read_u32(&header[NAME_OFFSET_AT..]));
    let length = LittleEndian::read_u32(&header[NAME_LENGTH_AT..]) as usize;
    let bad =
        |what: String| file.error(ErrorKind::Corrupt, format!("the active file's name {what}"));
    if length == 0 || !length.is_multiple_of(2) || length > MAX_NAME_BYTES {
        return Err(bad(format!(
            "should have 2 to {MAX_NAME_BYTES} bytes, an even number, and has {length}"
        )));
    }
    let bytes = file.read_vec(offset, length, "the active file's name")?;
    let units = bytes.chunks_exact(2).map(LittleEndian::read_u16);
    let name: String = char::decode_utf16(units)
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| bad(format!("is not UTF-16: {error}")))?;
    if WindowsPath(&name).file_name() != Some(name.as_str()) {
        return Err(bad(format!("should be a mere file name and is \"{}\"", name.escape_debug())));
    }
    Ok((name, offset + length as u64))
}

fn unknown_records(file: &Reader, header: &[u8], name_end: u64) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if header[RECORDS_AT..].iter().any(|&byte| byte != 0) {
        found.push(format!("the header holds something behind {RECORDS_AT:#x}"));
    }
    let length = file.length() - name_end;
    if length > MAX_DATA_BYTES {
        found.push(format!("the file goes on for {length} bytes behind the active file's name"));
    } else {
        let rest =
            file.read_vec(name_end, length as usize, "what follows the active file's name")?;
        if let Some(at) = rest.iter().position(|&byte| byte != 0) {
            found.push(format!("the file holds something at {:#x}", name_end + at as u64));
        }
    }
    Ok(found)
}
