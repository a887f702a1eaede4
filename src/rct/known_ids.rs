//! The ids that a disk can answer for.

use super::RctId;
use std::path::PathBuf;
use uuid::Uuid;

/// A run of consecutive RCT ids of one branch that a disk can answer for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct KnownIds {
    /// The disk file whose tracking table answers for the ids.
    pub file: PathBuf,
    /// The branch of the ids: the first part of each [`RctId`].
    pub branch: Uuid,
    /// The number of the oldest id.
    pub first: u32,
    /// The number of the newest id.
    pub last: u32,
}

impl KnownIds {
    /// Returns the ids, newest first.
    pub fn ids(&self) -> impl Iterator<Item = RctId> + use<> {
        let branch = self.branch;
        (self.first..=self.last).rev().map(move |number| RctId::new(branch, number))
    }
}
