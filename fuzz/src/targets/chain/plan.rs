//! The input: the plan of a chain.

use crate::ask::CrossCheck;
use crate::patch::Patch;
use arbitrary::Arbitrary;
use dearbitrary::Dearbitrary;

/// A chain, a question, and the changes made afterwards.
#[derive(Arbitrary, Dearbitrary, Debug, PartialEq)]
pub struct Plan {
    pub question: Question,
    pub size: u16,
    pub large_sectors: bool,
    pub seed: u8,
    pub root: File,
    pub children: Vec<File>,
    /// A file, a structure in it, and what is written there.
    pub patches: Vec<(u8, Place, Patch)>,
}

#[derive(Arbitrary, Dearbitrary, Debug, PartialEq)]
pub struct Question {
    pub since: Since,
    pub start: u16,
    pub end: u16,
    pub max_ranges: u8,
    pub allow_unclean: bool,
    pub check: CrossCheck,
}

#[derive(Arbitrary, Dearbitrary, Clone, Copy, Debug, PartialEq)]
pub enum Since {
    File(u8),
    Id(u8),
    Allocated,
}

#[derive(Arbitrary, Dearbitrary, Debug, PartialEq)]
pub struct File {
    /// Sectors by which the disk is larger than its parent.
    pub grow: Option<u8>,
    pub block: u8,
    pub order: u8,
    pub headers: u8,
    pub inverted_bitmaps: bool,
    pub trailing: u8,
    pub blocks: Vec<(u8, Block)>,
    pub log: Option<u8>,
    pub tracked: Option<Table>,
}

#[derive(Arbitrary, Dearbitrary, Debug, PartialEq)]
pub enum Block {
    NotPresent,
    Undefined,
    Zero(u8),
    Unmapped,
    Zeros,
    Full,
    /// Starts and lengths in sectors.
    Partial(Vec<(u16, u8)>),
}

#[derive(Arbitrary, Dearbitrary, Debug, PartialEq)]
pub struct Table {
    /// Does not keep the parent's ids.
    pub fresh: bool,
    pub layout: u8,
    pub events: Vec<Event>,
}

#[derive(Arbitrary, Dearbitrary, Debug, PartialEq)]
pub enum Event {
    Write(u16, u8),
    CreateId,
    Branch,
}

#[derive(Arbitrary, Dearbitrary, Clone, Copy, Debug, PartialEq)]
pub enum Place {
    Header(bool),
    RegionTable(bool),
    MetadataTable,
    MetadataItems,
    Bat,
    Bitmap,
    Log,
    RctHeader(bool),
    RctHistory(bool),
    RctOffsets,
    RctSequences,
    Anywhere,
    /// The file ends here.
    End,
}

impl Plan {
    /// The files, root first: three at most.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        std::iter::once(&self.root).chain(self.children.iter().take(2))
    }

    /// Returns whether every part of the plan is in use.
    pub fn is_rich(&self) -> bool {
        let blocks = self.files().map(|file| file.blocks.len()).sum::<usize>();
        let events = self.files().filter_map(|file| file.tracked.as_ref());
        let events = events.map(|table| table.events.len()).sum::<usize>();
        !self.children.is_empty() && blocks > 2 && (events > 1 || !self.patches.is_empty())
    }
}
