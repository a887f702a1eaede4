//! The snapshots of a set. Windows keeps them in undocumented records; PowerShell's
//! `Get-VHDSnapshot` lists them.

use crate::baseline::SnapshotId;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::limits::MemoryBudget;
use crate::rct::RctId;
use serde_json::Value;
use std::collections::HashSet;

/// A snapshot of a VHD Set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct Snapshot {
    /// The snapshot's id.
    pub id: SnapshotId,
    /// The Windows path of its frozen file; None for a reference-only snapshot, whose file was
    /// merged away.
    pub path: Option<String>,
    /// The RCT id that was created with the snapshot.
    pub rct_id: Option<RctId>,
    /// The Windows paths of all its file's parents, immediate parent first; empty if unknown.
    pub parents: Vec<String>,
    /// Whether its list of parents is empty, rather than absent: its file has no parent.
    is_root: bool,
}

impl Snapshot {
    /// Creates a snapshot with only its id.
    #[must_use]
    pub fn new(id: SnapshotId) -> Self {
        Snapshot { id, path: None, rct_id: None, parents: Vec::new(), is_root: false }
    }

    /// Returns whether the parents of its file are known.
    pub(super) fn lists_parents(&self) -> bool {
        self.is_root || !self.parents.is_empty()
    }

    /// Sets the path of its frozen file, in Windows' notation or as a plain file name, which is
    /// searched for in the set's directory and in the search directories.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Sets the RCT id that was created with it.
    #[must_use]
    pub fn with_rct_id(mut self, id: RctId) -> Self {
        self.rct_id = Some(id);
        self
    }
}

/// The snapshots of a set.
///
/// It must match the set's files: every file that it names must exist, and the parents and RCT ids
/// of the snapshots that a question uses must be those of their files. Otherwise, a question about
/// snapshots is refused with [`ErrorKind::CatalogMismatch`].
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

    /// Parses the output of PowerShell's `Get-VHDSnapshot -Path x.vhds -GetParentPaths |
    /// ConvertTo-Json`: one object or an array, in UTF-8 with or without a byte order mark, or
    /// UTF-16LE with one.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the text is not of this form; [`ErrorKind::MalformedId`] for a
    /// malformed id; [`ErrorKind::OutOfMemory`] if the text may need more than 256 MiB.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        Self::from_json_within(bytes, &MemoryBudget::default())
            .map_err(|error| error.about(Subject::Catalog))
    }

    pub(super) fn from_json_within(bytes: &[u8], memory: &MemoryBudget) -> Result<Self> {
        memory.check(memory_for(bytes), "the snapshot catalog")?;
        let text = decode(bytes)?;
        if text.trim().is_empty() {
            return Ok(Self::default()); // what PowerShell writes for no snapshots
        }
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| corrupt(format!("is not valid JSON: {error}")))?;
        let items = match value {
            Value::Array(items) => items,
            object => vec![object],
        };
        let snapshots: Vec<Snapshot> = items.iter().map(snapshot).collect::<Result<_>>()?;
        let mut ids = HashSet::new();
        if let Some(twice) = snapshots.iter().find(|snapshot| !ids.insert(snapshot.id)) {
            return Err(corrupt(format!("names the snapshot {} twice", twice.id)));
        }
        Ok(SnapshotCatalog { snapshots })
    }

    /// Returns the snapshot with this id.
    #[must_use]
    pub fn get(&self, id: SnapshotId) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.id == id)
    }
}

fn corrupt(what: String) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the snapshot catalog {what}"))
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

fn decode(bytes: &[u8]) -> Result<String> {
    if let Some(utf16) = bytes.strip_prefix(&[0xFF, 0xFE]) {
        let units = utf16.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let text = char::decode_utf16(units).collect::<std::result::Result<String, _>>();
        return match text {
            Ok(text) if utf16.len() % 2 == 0 => Ok(text),
            _ => Err(corrupt("begins as UTF-16 and is not UTF-16".into())),
        };
    }
    let utf8 = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(bytes);
    let text = std::str::from_utf8(utf8);
    text.map(str::to_owned)
        .map_err(|error| corrupt(format!("is neither UTF-8 nor UTF-16LE: {error}")))
}

fn snapshot(object: &Value) -> Result<Snapshot> {
    let id = text(object, "SnapshotId")?
        .ok_or_else(|| corrupt("has an entry without SnapshotId".into()))?;
    let id: SnapshotId = id.parse()?;
    let rct_id = text(object, "ResilientChangeTrackingId")?.map(str::parse).transpose()?;
    let parents = match &object["ParentPathsList"] {
        Value::Null => Vec::new(),
        // A list of one path is often written as a single string.
        Value::String(path) => vec![path.clone()],
        Value::Array(paths) => paths
            .iter()
            .map(|path| path.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| corrupt("has a ParentPathsList that is no list of texts".into()))?,
        _ => return Err(corrupt("has a ParentPathsList that is no list of texts".into())),
    };
    Ok(Snapshot {
        id,
        path: text(object, "SnapshotPath")?.map(str::to_owned),
        rct_id,
        is_root: object["ParentPathsList"].is_array() && parents.is_empty(),
        parents,
    })
}

/// Returns a member's text; None if it is absent, null or empty.
fn text<'a>(object: &'a Value, member: &str) -> Result<Option<&'a str>> {
    match object.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(other) => Err(corrupt(format!("has a {member} that should be a text and is {other}"))),
    }
}
