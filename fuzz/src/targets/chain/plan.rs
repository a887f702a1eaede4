//! Decodes the plan of a chain from an input.

use arbitrary::Arbitrary;

/// A chain, a question, and what is broken afterwards.
#[derive(Arbitrary, Debug)]
pub struct Plan {
    pub question: Question,
    pub size: u16,
    pub large_sectors: bool,
    pub seed: u8,
    pub root: File,
    pub children: Vec<File>,
    pub flips: Vec<Flip>,
}

#[derive(Arbitrary, Debug)]
pub struct Question {
    pub since: Since,
    pub start: u16,
    pub end: u16,
    pub most: u8,
    pub allow_unclean: bool,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
pub enum Since {
    File(u8),
    Id(u8),
    Allocated,
}

#[derive(Arbitrary, Debug)]
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

#[derive(Arbitrary, Debug)]
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

#[derive(Arbitrary, Debug)]
pub struct Table {
    /// Does not keep the parent's ids.
    pub anew: bool,
    pub layout: u8,
    pub events: Vec<Event>,
}

#[derive(Arbitrary, Debug)]
pub enum Event {
    Write(u16, u8),
    Seal,
    Branch,
}

/// A byte of a file that is another.
#[derive(Arbitrary, Debug)]
pub struct Flip {
    pub file: u8,
    pub place: Place,
    pub at: u16,
    pub value: Value,
    /// Restores the checksum over it.
    pub seal: bool,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
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

#[derive(Arbitrary, Debug, Clone, Copy)]
pub enum Value {
    Xor(u8),
    Byte(u8),
    Power(u8),
    BelowPower(u8),
    Word(u32),
    Megabytes(u8, u8),
}

impl Plan {
    /// The files, root first: three at most.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        std::iter::once(&self.root).chain(self.children.iter().take(2))
    }

    /// Returns true if it has a bit of everything.
    pub fn is_rich(&self) -> bool {
        let blocks = self.files().map(|file| file.blocks.len()).sum::<usize>();
        let events = self.files().filter_map(|file| file.tracked.as_ref());
        let events = events.map(|table| table.events.len()).sum::<usize>();
        !self.children.is_empty() && blocks > 2 && (events > 1 || !self.flips.is_empty())
    }
}
