//! The snapshots of a set: what Windows keeps in records that nobody has described, and what
//! PowerShell's `Get-VHDSnapshot` tells of them.

use super::resolve::read_catalogue;
use crate::error::{Error, ErrorKind, Result};
use crate::rct::RctId;
use crate::source::{Guard, LocalStorage, Reader};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// A snapshot of a VHD Set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its id.
    pub id: Uuid,
    /// Windows' path of its frozen file; None for a reference-only snapshot, whose file was
    /// merged away.
    pub path: Option<String>,
    /// The RCT id that was created with it.
    pub rct_id: Option<RctId>,
    /// When it was made, where that is known.
    pub creation_time: Option<SystemTime>,
    /// Windows' paths of all its file's parents, immediate parent first; empty where they are
    /// not known.
    pub parents: Vec<String>,
    /// Its list of parents has no entry, rather than being absent: its file has no parent.
    is_root: bool,
}

impl Snapshot {
    /// A snapshot of which only the id is known yet.
    pub fn new(id: Uuid) -> Self {
        let (path, rct_id, creation_time, parents) = (None, None, None, Vec::new());
        Snapshot { id, path, rct_id, creation_time, parents, is_root: false }
    }

    /// Is it known which parents its file has?
    pub(super) fn lists_parents(&self) -> bool {
        self.is_root || !self.parents.is_empty()
    }

    /// With the path of its frozen file, in Windows' notation or as a mere file name, which is
    /// looked for in the set's directory and in the search directories.
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// With the RCT id that was created with it.
    pub fn with_rct_id(mut self, id: RctId) -> Self {
        self.rct_id = Some(id);
        self
    }
}

/// The snapshots of a set. It must be of the same time as the set's files: each file must exist
/// that it names, and the parents and RCT ids of snapshots that a question uses must be those of
/// their files. A question about snapshots that it does not fit is refused with
/// [`ErrorKind::CatalogueMismatch`].
///
/// ```no_run
/// use vhdx_rct::{ChangeQuery, Limit, Snapshot, SnapshotCatalogue, Uuid};
///
/// let id = Uuid::from_u128(0x9ac15b72_2a6d_44b2_ba7c_f5f06831c74a);
/// let snapshot = Snapshot::new(id).with_path(r"D:\sets\disk_snapshot.avhdx");
/// let changes = ChangeQuery::new("disk.vhds")
///     .snapshots(SnapshotCatalogue::new([snapshot]))
///     .since(Limit::Snapshot(id))
///     .run()?;
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotCatalogue {
    /// In no order that means something.
    pub snapshots: Vec<Snapshot>,
}

impl SnapshotCatalogue {
    /// A catalogue of these snapshots.
    pub fn new(snapshots: impl IntoIterator<Item = Snapshot>) -> Self {
        SnapshotCatalogue { snapshots: snapshots.into_iter().collect() }
    }

    /// Reads a file as [`from_json`](Self::from_json) reads its bytes; at most 16 MB.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json), and what reading the file gives.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        read_catalogue(&Reader::open(&LocalStorage::new(), path.as_ref(), &Guard::default())?)
    }

    /// Reads what PowerShell writes:
    /// `Get-VHDSnapshot -Path x.vhds -GetParentPaths | ConvertTo-Json`, one object or an array,
    /// in UTF-8 with or without a byte order mark, or UTF-16LE with one.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] where the text is not of this form; [`ErrorKind::MalformedId`]
    /// for an id that is none; [`ErrorKind::OutOfMemory`] where the text may need more than
    /// 256 MB.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        Self::from_json_within(bytes, &Guard::default())
    }

    pub(super) fn from_json_within(bytes: &[u8], guard: &Guard) -> Result<Self> {
        guard.need(memory_for(bytes), "the snapshot catalogue")?;
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
        Ok(SnapshotCatalogue { snapshots })
    }

    /// The snapshot of this id.
    pub fn get(&self, id: Uuid) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.id == id)
    }
}

fn corrupt(what: String) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the snapshot catalogue {what}"))
}

/// Bytes that the parsed text may take at most, about. A few characters can make a value of
/// their own, so it is these that count: each value has a sign before it, and each member too.
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
    let id = Uuid::try_parse(id).map_err(|_| {
        Error::new(
            ErrorKind::MalformedId,
            format!("the SnapshotId \"{}\" is no GUID", id.escape_debug()),
        )
    })?;
    let rct_id = text(object, "ResilientChangeTrackingId")?.map(str::parse).transpose()?;
    let parents = match &object["ParentPathsList"] {
        Value::Null => Vec::new(),
        // A list of one is often written as the one.
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
        creation_time: creation_time(&object["CreationTime"]),
        is_root: object["ParentPathsList"].is_array() && parents.is_empty(),
        parents,
    })
}

/// A member's text; None where it is absent, null or empty.
fn text<'a>(object: &'a Value, member: &str) -> Result<Option<&'a str>> {
    match object.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(other) => Err(corrupt(format!("has a {member} that should be a text and is {other}"))),
    }
}

/// `/Date(milliseconds)/` as PowerShell 5 writes it, plainly or inside an object, or ISO 8601
/// as PowerShell 7 does. No answer rests on it, so a time that cannot be read is unknown.
fn creation_time(value: &Value) -> Option<SystemTime> {
    let text = value.as_str().or_else(|| value.get("value")?.as_str())?;
    let milliseconds = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/"));
    if let Some(milliseconds) = milliseconds {
        let milliseconds: i64 = milliseconds.parse().ok()?;
        let distance = Duration::from_millis(milliseconds.unsigned_abs());
        return match milliseconds {
            0.. => SystemTime::UNIX_EPOCH.checked_add(distance),
            _ => SystemTime::UNIX_EPOCH.checked_sub(distance),
        };
    }
    let timestamp: jiff::Timestamp = text.parse().ok().or_else(|| {
        // A time without a zone is of the host's, which is not known: take it as UTC.
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })?;
    Some(timestamp.into())
}
