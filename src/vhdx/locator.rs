//! The parent locator ([MS-VHDX] 2.6.2.6): where a differencing file's parent was, and how
//! to know it again.

use super::layout::VHDX_LOCATOR_TYPE;
use crate::bytes::guid;
use crate::error::{Error, ErrorKind, Result};
use byteorder::{ByteOrder, LittleEndian};
use uuid::Uuid;

/// Longer keys than any that is defined are skipped unread.
const MAX_KEY_BYTES: usize = 64;

/// Where a differencing file's parent was when the file was made, in Windows' notation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParentLocator {
    /// The parent's DataWriteGuid when this file was made.
    pub parent_linkage: Uuid,
    /// A second GUID that the parent may have instead; None where absent or nil.
    pub parent_linkage2: Option<Uuid>,
    /// Relative to this file's folder: `.\parent.vhdx`.
    pub relative_path: Option<String>,
    /// `\\?\Volume{…}\folder\parent.vhdx`.
    pub volume_path: Option<String>,
    /// `C:\folder\parent.vhdx`.
    pub absolute_win32_path: Option<String>,
}

impl ParentLocator {
    pub(super) fn parse(item: &[u8]) -> Result<Self> {
        if item.len() < 20 {
            return Err(corrupt(format!("should have at least 20 bytes and has {}", item.len())));
        }
        let kind = guid(item);
        if kind != VHDX_LOCATOR_TYPE {
            let message = format!(
                "the parent locator is of type {kind}; this version knows only VHDX's own, {VHDX_LOCATOR_TYPE}"
            );
            return Err(Error::new(ErrorKind::UnknownRequired, message));
        }
        let count = usize::from(LittleEndian::read_u16(&item[18..]));
        let Some(table) = item[20..].get(..count * 12) else {
            let message = format!("claims {count} entries and has {} bytes", item.len());
            return Err(corrupt(message));
        };
        let mut found: [Option<String>; 5] = Default::default();
        const KEYS: [&str; 5] = [
            "parent_linkage",
            "parent_linkage2",
            "relative_path",
            "volume_path",
            "absolute_win32_path",
        ];
        for entry in table.chunks_exact(12) {
            let key_bytes = text_bytes(item, entry, 0, 8)?;
            let value_bytes = text_bytes(item, entry, 4, 10)?;
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

    /// Is this the DataWriteGuid of the parent that the file was made from?
    pub fn accepts(&self, data_write_guid: Uuid) -> bool {
        self.parent_linkage == data_write_guid || self.parent_linkage2 == Some(data_write_guid)
    }

    /// The paths, most portable first.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        [&self.relative_path, &self.volume_path, &self.absolute_win32_path]
            .into_iter()
            .filter_map(|path| path.as_deref())
    }
}

fn corrupt(what: String) -> Error {
    Error::new(ErrorKind::MetadataCorrupt, format!("the parent locator {what}"))
}

/// The key or value that an entry points at: u32 offset at one place, u16 length at another.
fn text_bytes<'a>(
    item: &'a [u8],
    entry: &[u8],
    offset_at: usize,
    length_at: usize,
) -> Result<&'a [u8]> {
    let offset = LittleEndian::read_u32(&entry[offset_at..]) as usize;
    let length = usize::from(LittleEndian::read_u16(&entry[length_at..]));
    let bytes = item.get(offset..).and_then(|rest| rest.get(..length));
    bytes.filter(|bytes| bytes.len() % 2 == 0).ok_or_else(|| {
        corrupt(format!(
            "has a text of {length} bytes at {offset:#x}; it should be whole UTF-16 units inside the {} bytes \
             of the locator",
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
        corrupt(format!("has a linkage that should be a GUID and is \"{}\"", text.escape_debug()))
    })
}
