//! The `.vhds` file itself, which names the active file of the set.

use super::layout::*;
use super::raw::{FileIdentifier, HeaderCopy, checksum_holds};
use super::resolve::catalog_path;
use crate::chain::{FileResolver, WindowsPath};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::limits::Limits;
use crate::size::to_usize;
use crate::source::{LocalStorage, Reader};
use byteorder::{ByteOrder, LittleEndian};
use std::fmt;
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

impl fmt::Debug for VhdSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, active) = (self.path(), &self.active_name);
        f.debug_struct("VhdSet")
            .field("path", &path)
            .field("active_name", active)
            .finish_non_exhaustive()
    }
}

impl VhdSet {
    /// Opens a `.vhds` file of this machine alone, without the files of the set. To query the set's
    /// disk, open it as a [`Disk`](crate::Disk).
    ///
    /// # Errors
    /// [`ErrorKind::NotVirtualDisk`] if the file is not a VHD Set; other errors if it is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let (storage, limits) = (LocalStorage::new(), Limits::default());
        let file = Reader::open(&storage, path.as_ref(), Subject::VhdSet, &limits)?;
        let length = file.length().min(FileIdentifier::BYTES as u64);
        let start = file.read_vec(&limits, 0, to_usize(length), "the file identifier")?;
        Self::read(file, &start, &limits)
    }

    /// Returns whether a file that starts with these bytes is a VHD Set.
    pub(crate) fn detect(start: &[u8]) -> bool {
        start.starts_with(FILE_SIGNATURE)
    }

    /// Reads the set from a file whose start has already been read.
    pub(crate) fn read(file: Reader, start: &[u8], limits: &Limits) -> Result<Self> {
        if !start.starts_with(FILE_SIGNATURE) {
            let message = "the file is not a VHD Set: expected it to start with \"vhdsetv1\"";
            return Err(file.error(ErrorKind::NotVirtualDisk, message.into()));
        }
        let identifier = FileIdentifier::from_bytes(start).map_err(|error| file.name(error))?;
        let header = current_header(&file, limits)?;
        if header.version != 1 {
            let message = format!("expected header version 1, found {}", header.version);
            return Err(file.error(ErrorKind::UnsupportedVersion, message));
        }
        let (active_name, name_end) = active_name(&file, &header, limits)?;
        let unknown_records = unknown_records(&file, &header, name_end, limits)?;
        Ok(VhdSet {
            creator: identifier.creator_text(),
            sequence_number: header.sequence_number,
            active_name,
            unknown_records,
            file,
        })
    }

    /// Returns the path that the file was opened with.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Returns the name of the program that wrote the file; diagnostic only.
    #[must_use]
    pub fn creator(&self) -> &str {
        &self.creator
    }

    /// Returns when the file was last modified, if it is a file of this machine.
    pub(super) fn modified(&self) -> Option<SystemTime> {
        self.file.modified()
    }

    /// Returns the header's sequence number, which increases with every change of the set.
    #[must_use]
    pub fn sequence_number(&self) -> u64 {
        self.sequence_number
    }

    /// Returns the name of the active file, which lies beside the set.
    #[must_use]
    pub fn active_name(&self) -> &str {
        &self.active_name
    }

    /// Returns the default path of the set's catalog: `<name>.vhds.snapshots.json` beside it.
    #[must_use]
    pub fn catalog_path(&self) -> PathBuf {
        catalog_path(self.path())
    }

    /// Returns a sentence for each part of the file that this version cannot read.
    #[must_use]
    pub fn unknown_records(&self) -> &[String] {
        &self.unknown_records
    }

    /// Returns the active file, if it can be found.
    pub(crate) fn active_file(&self, resolver: &FileResolver) -> Result<PathBuf> {
        find(resolver, self.path(), &self.active_name, "the set's active file")
    }

    /// Fails with "in use" if the set was changed since it was opened.
    pub(crate) fn verify_unchanged(&self, limits: &Limits) -> Result<()> {
        if self.file.has_same_version()? {
            let header = current_header(&self.file, limits)?;
            if header.sequence_number == self.sequence_number
                && self.file.length_now()? == self.file.length()
            {
                return Ok(());
            }
        }
        let message = "the set changed while it was read, so no range is certain; read it from a snapshot of the storage";
        Err(self.file.error(ErrorKind::Changed, message.into()))
    }
}

/// Returns the existing file for a Windows path of a set: the file of this name in the set's
/// directory, else in a search directory. The path's own directories belong to the host that wrote
/// it and may hold another copy here.
pub(super) fn locate(resolver: &FileResolver, set: &Path, path: &str) -> Option<PathBuf> {
    let name = WindowsPath(path).file_name()?;
    resolver.candidates(set, &[name]).into_iter().next()
}

/// Returns the file that [`locate`] finds, or fails if there is none.
pub(super) fn find(resolver: &FileResolver, set: &Path, path: &str, what: &str) -> Result<PathBuf> {
    locate(resolver, set, path).ok_or_else(|| {
        let message = format!(
            "{what}, {path}, cannot be found in the set's directory nor in {} search paths; add its directory as a \
             search path",
            resolver.search_paths.len()
        );
        Error::new(ErrorKind::ParentNotFound, message).in_file(Subject::VhdSet, set)
    })
}

fn current_header(file: &Reader, limits: &Limits) -> Result<HeaderCopy> {
    let mut current: Option<HeaderCopy> = None;
    for offset in HEADER_OFFSETS {
        let bytes = file.read_vec(limits, offset, HEADER_BYTES, "a header of the set")?;
        let header = HeaderCopy::from_bytes(&bytes).map_err(|error| file.name(error))?;
        if header.signature != *HEADER_SIGNATURE || !checksum_holds(&bytes) {
            continue;
        }
        match &current {
            Some(other) if other.sequence_number == header.sequence_number && *other != header => {
                let message = "both headers have the same sequence number but differ, so neither is known to be current";
                return Err(file.error(ErrorKind::Corrupt, message.into()));
            }
            Some(other) if other.sequence_number >= header.sequence_number => {}
            _ => current = Some(header),
        }
    }
    current.ok_or_else(|| {
        let message = "expected a header signed \"shdr\" with a matching CRC-32C at 0x10000 or 0x20000, found none; \
                       `vhdx-rct inspect` shows what is there";
        file.error(ErrorKind::Corrupt, message.into())
    })
}

/// Returns the active file's name, and the offset of its end in the file.
fn active_name(file: &Reader, header: &HeaderCopy, limits: &Limits) -> Result<(String, u64)> {
    let offset = u64::from(header.active_name_offset);
    let length = header.active_name_length as usize;
    let bad = |what: String| {
        file.error(ErrorKind::Corrupt, format!("expected the active file's name to {what}"))
    };
    if length == 0 || !length.is_multiple_of(2) || length > MAX_NAME_BYTES {
        return Err(bad(format!(
            "have 2 to {MAX_NAME_BYTES} bytes, an even number, found {length}"
        )));
    }
    let bytes = file.read_vec(limits, offset, length, "the active file's name")?;
    let units = bytes.chunks_exact(2).map(LittleEndian::read_u16);
    let name: String = char::decode_utf16(units)
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| bad(format!("be UTF-16: {error}")))?;
    if WindowsPath(&name).file_name() != Some(name.as_str()) {
        return Err(bad(format!("be a file name, found \"{}\"", name.escape_debug())));
    }
    Ok((name, offset + length as u64))
}

fn unknown_records(
    file: &Reader,
    header: &HeaderCopy,
    name_end: u64,
    limits: &Limits,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if header.records.iter().any(|&byte| byte != 0) {
        found.push(format!("the header holds something after {RECORDS_AT:#x}"));
    }
    let length = file.length() - name_end;
    if length > MAX_DATA_BYTES {
        found.push(format!("the file goes on for {length} bytes after the active file's name"));
    } else {
        let rest = file.read_vec(
            limits,
            name_end,
            to_usize(length),
            "what follows the active file's name",
        )?;
        if let Some(at) = rest.iter().position(|&byte| byte != 0) {
            found.push(format!("the file holds something at {:#x}", name_end + at as u64));
        }
    }
    Ok(found)
}
