//! The baseline of a question: changed since what?

use crate::error::{Error, ErrorKind};
use crate::rct::RctId;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use uuid::Uuid;

/// The baseline of a question, the method's `LimitId`.
///
/// Its text, which [`str::parse`] reads and [`fmt::Display`] writes: an RCT id (`rctX:…`), a
/// snapshot's GUID with or without braces, `file:PATH`, `dwg:GUID`, `parent`, or `*`; without white
/// space around it.
///
/// ```
/// use vhdx_rct::Limit;
///
/// assert_eq!("*".parse::<Limit>()?, Limit::Allocated);
/// assert_eq!("file:base.vhdx".parse::<Limit>()?, Limit::File("base.vhdx".into()));
/// assert!(matches!("{9ac15b72-2a6d-44b2-ba7c-f5f06831c74a}".parse()?, Limit::Snapshot(_)));
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// An RCT id: what was written after it was sealed.
    Rct(RctId),
    /// A VHD Set's snapshot.
    Snapshot(Uuid),
    /// A file of the chain: what was written above it. A relative path is relative to the
    /// current folder.
    File(PathBuf),
    /// `dwg:GUID`: a file of the chain by its DataWriteGuid, of two files the deepest; what was
    /// written above it.
    DataWriteGuid(Uuid),
    /// `parent`: the disk's parent, which need not be there; what the disk's own file holds.
    Parent,
    /// `*`: everything that, by the chain's own metadata, does not certainly read as zeros;
    /// what a full backup must read.
    Allocated,
}

impl FromStr for Limit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "*" {
            return Ok(Limit::Allocated);
        }
        if text == "parent" {
            return Ok(Limit::Parent);
        }
        if let Some(guid) = text.strip_prefix("dwg:") {
            return Uuid::try_parse(guid).map(Limit::DataWriteGuid).map_err(|_| {
                let guid = guid.escape_debug();
                let message = format!("expected a GUID after \"dwg:\", found \"{guid}\"");
                Error::new(ErrorKind::MalformedId, message)
            });
        }
        if let Some(path) = text.strip_prefix("file:") {
            return Ok(Limit::File(path.into()));
        }
        if RctId::is_meant_by(text) {
            return text.parse().map(Limit::Rct);
        }
        Uuid::try_parse(text).map(Limit::Snapshot).map_err(|_| {
            let message = format!(
                "expected an RCT id (rctX:…), a snapshot's GUID, file:PATH, dwg:GUID, parent or *, found \"{}\"",
                text.escape_debug()
            );
            Error::new(ErrorKind::MalformedId, message)
        })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Rct(id) => write!(f, "{id}"),
            Limit::Snapshot(id) => write!(f, "{id}"),
            Limit::File(path) => write!(f, "file:{}", path.display()),
            Limit::DataWriteGuid(guid) => write!(f, "dwg:{guid}"),
            Limit::Parent => f.write_str("parent"),
            Limit::Allocated => f.write_str("*"),
        }
    }
}
