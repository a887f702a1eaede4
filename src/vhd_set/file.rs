//! The `.vhds` file itself, which names the active file of the set.

use super::error::SetError;
use super::layout::*;
use super::raw::{FileIdentifier, HeaderCopy, checksum_holds};
use crate::chain::WindowsPath;
use crate::error::{Error, Result, Subject};
use crate::inspect::hex;
use crate::limits::Limits;
use crate::size::to_usize;
use crate::source::{FileView, Reader};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// An open `.vhds` file, which names the active disk file of a VHD Set.
pub struct VhdSet {
    file: Reader,
    creator: String,
    sequence_number: u64,
    active_name: String,
    unknown_records: Vec<String>,
}

impl_debug!(VhdSet, |set| path: set.path(), active_name: set.active_name);

impl VhdSet {
    /// Opens a `.vhds` file of this machine alone, without the files of the set. To query the set's
    /// disk, open it as a [`Disk`](crate::Disk).
    ///
    /// # Errors
    /// [`ErrorKind::NotVirtualDisk`](crate::ErrorKind::NotVirtualDisk) if the file is not a VHD
    /// Set; other errors if it is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let limits = Limits::default();
        let file = Reader::open_local(path.as_ref(), Subject::VhdSet)?;
        let length = file.length.min(FileIdentifier::BYTES as u64);
        let view = file.within(&limits);
        let start = view.read_vec(0, to_usize(length), "the file identifier")?;
        Self::read(file, &start, &limits)
    }

    /// Returns whether a file that starts with these bytes is a VHD Set.
    pub(crate) fn detect(start: &[u8]) -> bool {
        start.starts_with(FILE_SIGNATURE)
    }

    /// Reads the set from a file whose start has already been read.
    pub(crate) fn read(file: Reader, start: &[u8], limits: &Limits) -> Result<Self> {
        verify_signature(&file, start)?;
        let identifier = FileIdentifier::from_bytes(start).map_err(|error| file.name(error))?;
        let view = file.within(limits);
        let header = current_header(view)?;
        if header.version != 1 {
            return Err(file.name(SetError::HeaderVersion(header.version)));
        }
        let (active_name, name_end) = active_name(view, &header)?;
        let unknown_records = unknown_records(view, &header, name_end)?;
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
        &self.file.path
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
        let mut name = self.path().file_name().unwrap_or_default().to_owned();
        name.push(".snapshots.json");
        self.path().with_file_name(name)
    }

    /// Returns a sentence for each part of the file that this version cannot read.
    #[must_use]
    pub fn unknown_records(&self) -> &[String] {
        &self.unknown_records
    }

    /// Names the set in the error.
    pub(super) fn error(&self, error: SetError) -> Error {
        self.file.name(error)
    }

    /// Fails with "in use" if the set was changed since it was opened.
    pub(crate) fn verify_unchanged(&self, limits: &Limits) -> Result<()> {
        let file = self.file.within(limits);
        let is_unchanged = file.has_same_version()?
            && current_header(file)?.sequence_number == self.sequence_number
            && file.has_same_length()?;
        if is_unchanged { Ok(()) } else { Err(self.error(SetError::Changed)) }
    }
}

/// Fails unless these first bytes of the file are those of a VHD Set.
pub(super) fn verify_signature(file: &Reader, start: &[u8]) -> Result<()> {
    let found = match &start[..start.len().min(FILE_SIGNATURE.len())] {
        bytes if bytes == FILE_SIGNATURE => return Ok(()),
        [] => "an empty file".to_owned(),
        bytes => format!("a file that begins {}", hex(bytes)),
    };
    Err(file.name(SetError::Signature(found)))
}

fn current_header(file: FileView<'_>) -> Result<HeaderCopy> {
    let mut current: Option<HeaderCopy> = None;
    for offset in HEADER_OFFSETS {
        let bytes = file.read_vec(offset, HEADER_BYTES, "a header of the set")?;
        let header = HeaderCopy::from_bytes(&bytes).map_err(|error| file.name(error))?;
        if header.signature != *HEADER_SIGNATURE || !checksum_holds(&bytes) {
            continue;
        }
        match &current {
            Some(other) if other.sequence_number == header.sequence_number && *other != header => {
                return Err(file.name(SetError::HeadersDiffer));
            }
            Some(other) if other.sequence_number >= header.sequence_number => {}
            _ => current = Some(header),
        }
    }
    current.ok_or_else(|| file.name(SetError::NoHeader))
}

/// Returns the active file's name, and the offset of its end in the file.
fn active_name(file: FileView<'_>, header: &HeaderCopy) -> Result<(String, u64)> {
    let offset = u64::from(header.active_name_offset);
    let length = to_usize(header.active_name_length.into());
    if length == 0 || !length.is_multiple_of(2) || length > MAX_NAME_BYTES {
        return Err(file.name(SetError::NameLength(length)));
    }
    let bytes = file.read_vec(offset, length, "the active file's name")?;
    let units = bytes.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit));
    let name: Result<String, _> = char::decode_utf16(units).collect();
    let name = name.map_err(|error| file.name(SetError::NameEncoding(error)))?;
    if WindowsPath(&name).file_name() != Some(name.as_str()) {
        return Err(file.name(SetError::NameIsPath(name)));
    }
    Ok((name, offset + length as u64))
}

fn unknown_records(file: FileView<'_>, header: &HeaderCopy, name_end: u64) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if header.records.iter().any(|&byte| byte != 0) {
        found.push(format!("the header has unknown data after {RECORDS_AT:#x}"));
    }
    let length = file.length - name_end;
    if length > MAX_DATA_BYTES {
        found.push(format!("the file has {length} more bytes after the active file's name"));
        return Ok(found);
    }
    let what = "the bytes after the active file's name";
    let rest = file.read_vec(name_end, to_usize(length), what)?;
    if let Some(at) = rest.iter().position(|&byte| byte != 0) {
        found.push(format!("the file has unknown data at {:#x}", name_end + at as u64));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::source::SliceSource;
    use std::error::Error as _;
    use std::sync::Arc;

    #[test]
    fn source_is_the_sentence_of_the_format() {
        let mut bytes = vec![0; 0x4_0000];
        bytes[..8].copy_from_slice(FILE_SIGNATURE);
        let source = Arc::new(SliceSource(bytes.clone()));
        let file = Reader::new(Path::new("a.vhds"), Subject::VhdSet, Ok(source)).unwrap();
        let error = VhdSet::read(file, &bytes, &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let source = error.source().unwrap();
        assert!(matches!(source.downcast_ref(), Some(SetError::NoHeader)), "{source:?}");
        assert_eq!(error.to_string(), format!("a.vhds: {source}"));
    }
}
