//! The parent locator ([MS-VHDX] 2.6.2.6): the path of a differencing file's parent, and the GUIDs
//! that identify it.

use super::layout::{ParentLocatorEntry, ParentLocatorHeader, VHDX_LOCATOR_TYPE};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::Fields;
use byteorder::{ByteOrder, LittleEndian};
use uuid::Uuid;

/// The maximum length of a key; longer keys than the defined ones are skipped unread.
const MAX_KEY_BYTES: usize = 64;

/// The paths of a differencing file's parent when the file was created, in Windows' notation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParentLocator {
    /// The parent's DataWriteGuid when this file was created.
    pub parent_linkage: Uuid,
    /// A second GUID that the parent may have instead; None if absent or nil.
    pub parent_linkage2: Option<Uuid>,
    /// Relative to this file's directory: `.\parent.vhdx`.
    pub relative_path: Option<String>,
    /// `\\?\Volume{…}\directory\parent.vhdx`.
    pub volume_path: Option<String>,
    /// `C:\directory\parent.vhdx`.
    pub absolute_win32_path: Option<String>,
}

impl ParentLocator {
    pub(super) fn parse(item: &[u8]) -> Result<Self> {
        if item.len() < ParentLocatorHeader::BYTES as usize {
            let message = format!("was expected to have at least 20 bytes, found {}", item.len());
            return Err(corrupt(message));
        }
        let mut fields = Fields::new("the parent locator", item);
        let header = ParentLocatorHeader::parse(&mut fields)?;
        let kind = header.locator_type;
        if kind != VHDX_LOCATOR_TYPE {
            let message = format!(
                "expected the parent locator's type to be VHDX's own, {VHDX_LOCATOR_TYPE}, found {kind}, which \
                 this version does not know"
            );
            return Err(Error::new(ErrorKind::UnknownRequired, message));
        }
        let count = usize::from(header.key_value_count);
        if item.len() - fields.position() < count * ParentLocatorEntry::BYTES {
            let message = format!("claims {count} entries and has {} bytes", item.len());
            return Err(corrupt(message));
        }
        let mut found: [Option<String>; 5] = Default::default();
        const KEYS: [&str; 5] = [
            "parent_linkage",
            "parent_linkage2",
            "relative_path",
            "volume_path",
            "absolute_win32_path",
        ];
        for _ in 0..count {
            let entry = ParentLocatorEntry::parse(&mut fields)?;
            let key_bytes = text_bytes(item, entry.key_offset, entry.key_length)?;
            let value_bytes = text_bytes(item, entry.value_offset, entry.value_length)?;
            if key_bytes.len() > MAX_KEY_BYTES {
                continue;
            }
            let key = text(key_bytes)?;
            let Some(slot) = KEYS.iter().position(|known| *known == key) else { continue };
            if found[slot].replace(text(value_bytes)?).is_some() {
                return Err(corrupt(format!("names {key} twice")));
            }
        }
        let [linkage, linkage2, relative_path, volume_path, absolute_win32_path] = found;
        let Some(linkage) = linkage else {
            return Err(corrupt(
                "names no parent_linkage, so no parent could be known again".into(),
            ));
        };
        Ok(ParentLocator {
            parent_linkage: linkage_guid(&linkage)?,
            parent_linkage2: linkage2
                .map(|id| linkage_guid(&id))
                .transpose()?
                .filter(|id| !id.is_nil()),
            relative_path,
            volume_path,
            absolute_win32_path,
        })
    }

    /// Returns whether this is the DataWriteGuid of the parent that the file was created from.
    #[must_use]
    pub fn accepts(&self, data_write_guid: Uuid) -> bool {
        self.parent_linkage == data_write_guid || self.parent_linkage2 == Some(data_write_guid)
    }

    /// Returns the paths, most portable first.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        [&self.relative_path, &self.volume_path, &self.absolute_win32_path]
            .into_iter()
            .filter_map(|path| path.as_deref())
    }
}

fn corrupt(what: String) -> Error {
    Error::new(ErrorKind::MetadataCorrupt, format!("the parent locator {what}"))
}

/// Returns the key or value that an entry points to.
fn text_bytes(item: &[u8], offset: u32, length: u16) -> Result<&[u8]> {
    let (from, length) = (offset as usize, usize::from(length));
    let bytes = item.get(from..).and_then(|rest| rest.get(..length));
    bytes.filter(|bytes| bytes.len() % 2 == 0).ok_or_else(|| {
        corrupt(format!(
            "has a text of {length} bytes at {offset:#x}; expected whole UTF-16 units inside the {} bytes of the \
             locator",
            item.len()
        ))
    })
}

fn text(bytes: &[u8]) -> Result<String> {
    let units = bytes.chunks_exact(2).map(LittleEndian::read_u16);
    char::decode_utf16(units)
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| corrupt(format!("has a text that is not UTF-16: {e}")))
}

fn linkage_guid(text: &str) -> Result<Uuid> {
    Uuid::try_parse(text).map_err(|_| {
        corrupt(format!("has a linkage that is not a GUID: \"{}\"", text.escape_debug()))
    })
}
