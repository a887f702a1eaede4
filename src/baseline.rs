//! Baselines: the earlier states that a question compares the disk with.

use crate::error::{Error, ErrorKind};
use crate::rct::RctId;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use uuid::Uuid;

/// The id of a VHD Set snapshot.
///
/// Parsed from a GUID with or without braces, and displayed without.
///
/// ```
/// use vhdx_rct::SnapshotId;
///
/// let id: SnapshotId = "{9AC15B72-2A6D-44B2-BA7C-F5F06831C74A}".parse()?;
/// assert_eq!(id.to_string(), "9ac15b72-2a6d-44b2-ba7c-f5f06831c74a");
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct SnapshotId(pub Uuid);

impl From<Uuid> for SnapshotId {
    fn from(id: Uuid) -> Self {
        SnapshotId(id)
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SnapshotId {
    type Err = Error;

    /// Fails with [`ErrorKind::WrongIdKind`] for an RCT id, else with [`ErrorKind::MalformedId`].
    fn from_str(text: &str) -> Result<Self, Error> {
        const EXPECTED: &str = "the GUID of a snapshot";
        if RctId::has_prefix(text) {
            let message = format!("expected {EXPECTED}, found the RCT id {}", text.escape_debug());
            return Err(Error::new(ErrorKind::WrongIdKind, message));
        }
        parse_guid(text, EXPECTED).map(SnapshotId)
    }
}

fn parse_guid(text: &str, expected: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(text).map_err(|_| {
        let message = format!("expected {expected}, found \"{}\"", text.escape_debug());
        Error::new(ErrorKind::MalformedId, message)
    })
}

/// The earlier state that a question compares the disk with: the method's `LimitId`, and four forms
/// that the method does not have.
///
/// The text form, read by [`str::parse`] and written by [`fmt::Display`], has no white space
/// around it:
///
/// | text | baseline |
/// | --- | --- |
/// | `rctX:…` | [`Rct`](Self::Rct) |
/// | a GUID, with or without braces | [`Snapshot`](Self::Snapshot) |
/// | `file:PATH` | [`File`](Self::File) |
/// | `dwg:GUID` | [`DataWriteGuid`](Self::DataWriteGuid) |
/// | `parent` | [`Parent`](Self::Parent) |
/// | `*` | [`Allocated`](Self::Allocated) |
///
/// ```
/// use vhdx_rct::Baseline;
///
/// assert_eq!("*".parse::<Baseline>()?, Baseline::Allocated);
/// assert_eq!("file:base.vhdx".parse::<Baseline>()?, Baseline::File("base.vhdx".into()));
/// assert!(matches!("{9ac15b72-2a6d-44b2-ba7c-f5f06831c74a}".parse()?, Baseline::Snapshot(_)));
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Baseline {
    /// Selects what was written after an RCT id was created, as far as the tracking tables and the
    /// files above them show: in whole units of 16 KiB or in sectors.
    Rct(RctId),
    /// Selects what was written after a VHD Set snapshot was taken.
    Snapshot(SnapshotId),
    /// Selects what the files above a file of the chain hold. A relative path is relative to the
    /// current directory. The disk itself is refused.
    File(PathBuf),
    /// Like [`File`](Self::File), but names the file by its DataWriteGuid. If two files share a
    /// GUID, the deepest one is used.
    DataWriteGuid(Uuid),
    /// Selects what the disk's own file holds, whether or not its parent is available. A disk
    /// without a parent is refused.
    Parent,
    /// Selects everything that, by the chain's metadata, does not certainly read as zeros: what a
    /// full backup has to read.
    Allocated,
}

impl From<RctId> for Baseline {
    fn from(id: RctId) -> Self {
        Baseline::Rct(id)
    }
}

impl From<SnapshotId> for Baseline {
    fn from(id: SnapshotId) -> Self {
        Baseline::Snapshot(id)
    }
}

impl FromStr for Baseline {
    type Err = Error;

    /// Fails with [`ErrorKind::MalformedId`].
    fn from_str(text: &str) -> Result<Self, Error> {
        const EXPECTED: &str =
            "an RCT id (rctX:…), the GUID of a snapshot, file:PATH, dwg:GUID, parent or *";
        Ok(match (text, text.split_once(':')) {
            ("*", _) => Baseline::Allocated,
            ("parent", _) => Baseline::Parent,
            (_, Some(("file", path))) => Baseline::File(path.into()),
            (_, Some(("dwg", guid))) => {
                Baseline::DataWriteGuid(parse_guid(guid, "a GUID after \"dwg:\"")?)
            }
            _ if RctId::has_prefix(text) => Baseline::Rct(text.parse()?),
            _ => Baseline::Snapshot(SnapshotId(parse_guid(text, EXPECTED)?)),
        })
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Baseline::Rct(id) => write!(f, "{id}"),
            Baseline::Snapshot(id) => write!(f, "{id}"),
            Baseline::File(path) => write!(f, "file:{}", path.display()),
            Baseline::DataWriteGuid(guid) => write!(f, "dwg:{guid}"),
            Baseline::Parent => f.write_str("parent"),
            Baseline::Allocated => f.write_str("*"),
        }
    }
}

/// Formats the baseline in the form that [`Baseline`] is parsed from.
#[cfg(feature = "serde")]
impl serde::Serialize for Baseline {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            // The text of such a path would name another file or no file.
            Baseline::File(path) if path.to_str().is_none() => {
                Err(serde::ser::Error::custom("the path of the baseline is not valid UTF-8"))
            }
            _ => serializer.collect_str(self),
        }
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Baseline {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: String = serde::Deserialize::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A baseline for the next question about the same disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct NextBaseline {
    /// The baseline to use in the next question.
    pub since: Baseline,
    /// Whether a copy of the disk in its current state matches this baseline exactly. If not, the
    /// ranges that `changes(since)` reports *now* have to be read again the next time as well,
    /// because a checkpoint that is applied in between discards them without a trace.
    pub exact: bool,
}
