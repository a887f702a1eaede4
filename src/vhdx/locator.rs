//! The parent locator ([MS-VHDX] 2.6.2.6): the path of a differencing file's parent, and the GUIDs
//! that identify it.

use super::error::{VhdxError, ensure};
use super::layout::{LOCATOR_ENTRY, ParentLocatorEntry, ParentLocatorHeader, VHDX_LOCATOR_TYPE};
use crate::error::Result;
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
        let mut fields = Fields::new("the parent locator", item);
        let header = ParentLocatorHeader::parse(&mut fields)?;
        let (expected, found) = (VHDX_LOCATOR_TYPE, header.locator_type);
        ensure(found == expected, VhdxError::LocatorType { expected, found })?;
        let count = header.key_value_count;
        let fits = usize::from(count) * LOCATOR_ENTRY <= item.len() - fields.position();
        ensure(fits, VhdxError::LocatorCount { count, length: item.len() })?;
        let (mut linkage, mut linkage2, mut locator) = (None, None, Self::default());
        for _ in 0..count {
            let entry = ParentLocatorEntry::parse(&mut fields)?;
            let key = text_bytes(item, entry.key_offset, entry.key_length)?;
            let value = text_bytes(item, entry.value_offset, entry.value_length)?;
            if key.len() > MAX_KEY_BYTES {
                continue;
            }
            let key = text(key)?;
            let target = match &*key {
                "parent_linkage" => &mut linkage,
                "parent_linkage2" => &mut linkage2,
                "relative_path" => &mut locator.relative_path,
                "volume_path" => &mut locator.volume_path,
                "absolute_win32_path" => &mut locator.absolute_win32_path,
                _ => continue,
            };
            let first = target.replace(text(value)?).is_none();
            ensure(first, VhdxError::LocatorKeyTwice(key))?;
        }
        locator.parent_linkage = linkage_guid(&linkage.ok_or(VhdxError::LocatorLinkage)?)?;
        let linkage2 = linkage2.as_deref().map(linkage_guid).transpose()?;
        locator.parent_linkage2 = linkage2.filter(|id| !id.is_nil());
        Ok(locator)
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

/// Returns the key or value that an entry points to.
fn text_bytes(item: &[u8], offset: u32, length: u16) -> Result<&[u8], VhdxError> {
    let bytes = item.get(offset as usize..).and_then(|rest| rest.get(..length.into()));
    let bytes = bytes.filter(|bytes| bytes.len() % 2 == 0);
    bytes.ok_or(VhdxError::LocatorText { offset, length, locator: item.len() })
}

fn text(bytes: &[u8]) -> Result<String, VhdxError> {
    let units = bytes.chunks_exact(2).map(LittleEndian::read_u16);
    let text: Result<String, _> = char::decode_utf16(units).collect();
    text.map_err(VhdxError::LocatorEncoding)
}

fn linkage_guid(text: &str) -> Result<Uuid, VhdxError> {
    Uuid::try_parse(text).map_err(|_| VhdxError::LocatorGuid(text.escape_debug().to_string()))
}
