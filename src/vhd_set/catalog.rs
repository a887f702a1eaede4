//! The snapshots of a set. Windows keeps them in undocumented records; PowerShell's
//! `Get-VHDSnapshot` lists them.

use super::error::SetError;
use crate::baseline::SnapshotId;
use crate::error::{Result, Subject};
use crate::limits::{Limits, MemoryBudget};
use crate::rct::RctId;
use crate::size::to_usize;
use crate::source::{FileView, Reader};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;

/// The maximum size of a catalog; one of a thousand snapshots has half a MiB.
const MAX_CATALOG_BYTES: u64 = 16 << 20;

/// A snapshot of a VHD Set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct Snapshot {
    /// The snapshot's id.
    pub id: SnapshotId,
    /// The Windows path of the snapshot's frozen file; None for a reference-only snapshot, whose
    /// file was merged away.
    pub path: Option<String>,
    /// The RCT id that was created with the snapshot.
    pub rct_id: Option<RctId>,
    /// The Windows paths of all parents of that file, immediate parent first; empty if unknown.
    pub parents: Vec<String>,
    /// Whether its list of parents is empty, rather than absent: its file has no parent.
    is_root: bool,
}

impl Snapshot {
    /// Creates a snapshot with only an id, for a catalog that a program builds.
    #[must_use]
    pub fn new(id: SnapshotId) -> Self {
        Snapshot { id, path: None, rct_id: None, parents: Vec::new(), is_root: false }
    }

    /// Returns whether the parents of its file are known.
    pub(super) fn lists_parents(&self) -> bool {
        self.is_root || !self.parents.is_empty()
    }

    /// Sets the path of the snapshot's frozen file, in Windows' notation or as a plain file name,
    /// which is searched for in the set's directory and in the search directories.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Sets the RCT id that was created with the snapshot.
    #[must_use]
    pub fn with_rct_id(mut self, id: RctId) -> Self {
        self.rct_id = Some(id);
        self
    }
}

/// The catalog of a VHD Set: the list of its snapshots, with their files and RCT ids.
///
/// It must match the set's files: every file that it names must exist, and the parents and RCT ids
/// of the snapshots that a question uses must be those of their files. Otherwise, a question about
/// snapshots is refused with [`ErrorKind::CatalogMismatch`](crate::ErrorKind::CatalogMismatch).
///
/// ```no_run
/// use vhdx_rct::{OpenOptions, Snapshot, SnapshotCatalog, SnapshotId};
///
/// let id: SnapshotId = "9ac15b72-2a6d-44b2-ba7c-f5f06831c74a".parse()?;
/// let snapshot = Snapshot::new(id).with_path(r"D:\sets\disk_snapshot.avhdx");
/// let mut options = OpenOptions::new();
/// let disk = options.catalog(SnapshotCatalog::new([snapshot])).open("disk.vhds")?;
/// let changes = disk.changes(id).collect()?;
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct SnapshotCatalog {
    /// The snapshots, in no particular order.
    pub snapshots: Vec<Snapshot>,
}

impl SnapshotCatalog {
    /// Creates a catalog of these snapshots.
    pub fn new(snapshots: impl IntoIterator<Item = Snapshot>) -> Self {
        SnapshotCatalog { snapshots: snapshots.into_iter().collect() }
    }

    /// Reads a catalog from a file of this machine, of at most 16 MiB, in the form that
    /// [`from_json`](Self::from_json) parses.
    ///
    /// # Errors
    /// Like [`from_json`](Self::from_json). Also fails if the file is larger or cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let file = Reader::open_local(path.as_ref(), Subject::Catalog)?;
        Self::read(file.within(&Limits::default()))
    }

    pub(super) fn read(file: FileView<'_>) -> Result<Self> {
        let length = file.length;
        if length > MAX_CATALOG_BYTES {
            return Err(file.name(SetError::CatalogLength(length)));
        }
        let memory = &file.limits.memory;
        memory.check(length, "the snapshot catalog").map_err(|error| file.name(error))?;
        let bytes = file.read_vec(0, to_usize(length), "the snapshot catalog")?;
        Self::parse(&bytes, memory).map_err(|error| file.name(error))
    }

    /// Parses the output of PowerShell's `Get-VHDSnapshot -Path x.vhds -GetParentPaths |
    /// ConvertTo-Json`: one object or an array, in UTF-8 with or without a byte order mark, or
    /// UTF-16LE with one.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the text is not of this form; [`ErrorKind::MalformedId`] for a
    /// malformed id; [`ErrorKind::OutOfMemory`] if the text may need more than 256 MiB.
    ///
    /// [`ErrorKind::Corrupt`]: crate::ErrorKind::Corrupt
    /// [`ErrorKind::MalformedId`]: crate::ErrorKind::MalformedId
    /// [`ErrorKind::OutOfMemory`]: crate::ErrorKind::OutOfMemory
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes, &MemoryBudget::default()).map_err(|error| error.about(Subject::Catalog))
    }

    fn parse(bytes: &[u8], memory: &MemoryBudget) -> Result<Self> {
        memory.check(memory_for(bytes), "the snapshot catalog")?;
        let text = decode(bytes)?;
        if text.trim().is_empty() {
            return Ok(Self::default()); // what PowerShell writes for no snapshots
        }
        let items = match serde_json::from_str(&text).map_err(SetError::CatalogJson)? {
            Value::Array(items) => items,
            object => vec![object],
        };
        let snapshots: Vec<Snapshot> = items.iter().map(snapshot).collect::<Result<_>>()?;
        let mut ids = HashSet::new();
        match snapshots.iter().find(|snapshot| !ids.insert(snapshot.id)) {
            Some(twice) => Err(SetError::ListedTwice(twice.id).into()),
            None => Ok(SnapshotCatalog { snapshots }),
        }
    }

    /// Returns the snapshot with this id.
    #[must_use]
    pub fn get(&self, id: SnapshotId) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.id == id)
    }
}

/// Returns the approximate maximum memory of the parsed text. A value can be as short as a few
/// characters, so values and members are counted by their delimiters.
fn memory_for(text: &[u8]) -> u64 {
    const VALUE: u64 = 2 * size_of::<Value>() as u64;
    const MEMBER: u64 = 320;
    let weight = |byte: &u8| match byte {
        b',' | b'[' | b'{' => VALUE,
        b':' => MEMBER,
        _ => 0,
    };
    4 * text.len() as u64 + text.iter().map(weight).sum::<u64>()
}

fn decode(bytes: &[u8]) -> Result<String, SetError> {
    if let Some(utf16) = bytes.strip_prefix(&[0xFF, 0xFE]) {
        let (units, rest) = utf16.as_chunks();
        let text = char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)));
        let text = text.collect::<Result<String, _>>().ok().filter(|_| rest.is_empty());
        return text.ok_or(SetError::CatalogUtf16);
    }
    let utf8 = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(bytes);
    std::str::from_utf8(utf8).map(str::to_owned).map_err(SetError::CatalogUtf8)
}

fn snapshot(object: &Value) -> Result<Snapshot> {
    let id = text(object, "SnapshotId")?.ok_or(SetError::NoSnapshotId)?.parse()?;
    let list = &object["ParentPathsList"];
    let parents: Option<Vec<String>> = match list {
        Value::Null => Some(Vec::new()),
        // A list of one path is often written as a single string.
        Value::String(path) => Some(vec![path.clone()]),
        Value::Array(paths) => paths.iter().map(|path| path.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    let parents = parents.ok_or_else(|| unexpected("ParentPathsList", "a list of texts", list))?;
    Ok(Snapshot {
        id,
        path: text(object, "SnapshotPath")?.map(str::to_owned),
        rct_id: text(object, "ResilientChangeTrackingId")?.map(str::parse).transpose()?,
        is_root: list.is_array() && parents.is_empty(),
        parents,
    })
}

/// Returns a member's text; None if it is absent, null or empty.
fn text<'a>(object: &'a Value, member: &'static str) -> Result<Option<&'a str>, SetError> {
    match &object[member] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        other => Err(unexpected(member, "a text", other)),
    }
}

fn unexpected(member: &'static str, expected: &'static str, found: &Value) -> SetError {
    // The value may be as long as the catalog.
    let found = found.to_string().chars().take(80).collect();
    SetError::Member { member, expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::error::Error as _;
    use std::fs::File;

    #[test]
    fn reads_files_up_to_the_maximum_size() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("catalog.json");
        let missing = SnapshotCatalog::from_file(&path).unwrap_err();
        assert_eq!(
            (missing.kind(), missing.subject()),
            (ErrorKind::FileNotFound, Subject::Catalog)
        );
        let catalog = br#"{"SnapshotId":"9ac15b72-2a6d-44b2-ba7c-f5f06831c74a"}"#;
        std::fs::write(&path, catalog).unwrap();
        let read = SnapshotCatalog::from_file(&path).unwrap();
        assert_eq!(read, SnapshotCatalog::from_json(catalog).unwrap());
        assert_eq!(read.snapshots.len(), 1);
        for (length, is_read) in [(MAX_CATALOG_BYTES, true), (MAX_CATALOG_BYTES + 1, false)] {
            File::create(&path).unwrap().set_len(length).unwrap();
            let error = SnapshotCatalog::from_file(&path).unwrap_err();
            assert_eq!((error.kind(), error.subject()), (ErrorKind::Corrupt, Subject::Catalog));
            assert_eq!(error.path(), Some(&*path));
            let source = error.source().unwrap().downcast_ref();
            let is_too_long = matches!(source, Some(SetError::CatalogLength(_)));
            assert_eq!(is_too_long, !is_read, "{error}");
        }
    }
}
