//! Moves content from the disk to the copy. One thread reads the disk while another compares and
//! writes.

use super::os;
use super::target::Target;
use crate::args::Reflink;
use crate::failure::Failure;
use indicatif::ProgressBar;
use std::io;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use vhdx_rct::{ByteRange, Disk, Extent, ExtentKind, ReturnValue};

/// The number of bytes that are read and written at once. Larger parts leave the processor's caches
/// before they are written.
const PART: usize = 512 << 10;

/// The number of parts that may wait for the writer.
const WAITING: usize = 4;

/// The unit in which content is compared, zeros are found and storage is shared, in bytes.
const BLOCK: u64 = 4 << 10;

/// The minimum length of a hole that is made in a copy that has content there, in bytes.
const MIN_HOLE: u64 = 64 << 10;

/// How far the content of the copy can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// It reads as zeros everywhere.
    Zeros,
    /// It can be read, and needs to be written only where it differs.
    Readable,
    /// It may read otherwise than it is stored.
    Unknown,
}

/// The bytes that a run read, wrote and zeroed.
#[derive(Debug, Default)]
pub struct Totals {
    pub read: u64,
    pub written: u64,
    pub zeroed: u64,
}

/// Brings parts of the copy up to date, or only finds where they differ.
pub struct Copier<'a> {
    pub disk: &'a Disk,
    pub target: &'a Target,
    pub before: Before,
    pub reflink: Reflink,
    pub bar: &'a ProgressBar,
}

/// A part of the disk on its way to the copy.
enum Part {
    Data { buffer: Vec<u8>, length: usize, offset: u64 },
    Zeros(ByteRange),
}

impl Copier<'_> {
    /// Makes the copy have the content of these extents.
    pub fn copy(
        &self,
        extents: impl Iterator<Item = Result<Extent, Failure>>,
    ) -> Result<Totals, Failure> {
        let mut writer = Writer::new(self, None);
        self.run(extents, &mut writer).map(|read| Totals { read, ..writer.totals })
    }

    /// Returns the ranges in which the copy does not have the content of these extents.
    pub fn differences(
        &self,
        extents: impl Iterator<Item = Result<Extent, Failure>>,
    ) -> Result<(u64, Vec<ByteRange>), Failure> {
        let mut writer = Writer::new(self, Some(Vec::new()));
        let read = self.run(extents, &mut writer)?;
        Ok((read, writer.differences.unwrap_or_default()))
    }

    fn run(
        &self,
        extents: impl Iterator<Item = Result<Extent, Failure>>,
        writer: &mut Writer<'_>,
    ) -> Result<u64, Failure> {
        let (parts, inbox) = sync_channel(WAITING);
        // Holds every buffer, so that returning one never waits.
        let (used, buffers) = sync_channel(WAITING + 2);
        std::thread::scope(|scope| {
            let bar = self.bar;
            let worker = scope.spawn(move || writer.run(&inbox, &used, bar));
            let mut reader = Reader {
                copier: self,
                reflink: self.reflink,
                parts,
                buffers,
                filling: None,
                read: 0,
                shared: 0,
            };
            let result = reader.run(extents);
            let (read, shared) = (reader.read, reader.shared);
            drop(reader);
            match worker.join() {
                Ok(Ok(writer)) => {
                    writer.totals.written += shared;
                    result.map(|()| read)
                }
                Ok(Err(cause)) => Err(self.target.failure(&cause)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

/// Reads the disk.
struct Reader<'a> {
    copier: &'a Copier<'a>,
    reflink: Reflink,
    parts: SyncSender<Part>,
    buffers: Receiver<Vec<u8>>,
    /// Data that the next extent may continue: the buffer, its length and its offset on the disk.
    filling: Option<(Vec<u8>, usize, u64)>,
    read: u64,
    shared: u64,
}

impl Reader<'_> {
    fn run(
        &mut self,
        extents: impl Iterator<Item = Result<Extent, Failure>>,
    ) -> Result<(), Failure> {
        for extent in extents {
            let extent = extent?;
            let range = extent.range;
            let goes_on = match extent.kind {
                ExtentKind::Data => match self.share(&extent)? {
                    None => self.stored(&extent)?,
                    Some(shared) => {
                        let (head, tail) = (range.offset..shared.offset, shared.end()..range.end());
                        self.data(&extent, head.into())? && self.data(&extent, tail.into())?
                    }
                },
                _ => self.zeros(range),
            };
            // The writer has failed, and returns the reason.
            if !goes_on {
                return Ok(());
            }
        }
        self.flush();
        Ok(())
    }

    /// Reads an extent, except for what is a hole of the disk's file. Returns false if the writer
    /// has ended.
    fn stored(&mut self, extent: &Extent) -> Result<bool, Failure> {
        let file = &self.copier.disk.files()[extent.file];
        let source = file.source().as_file().filter(|_| extent.range.length >= MIN_HOLE);
        let (Some(source), Some(host_offset)) = (source, extent.host_offset) else {
            return self.data(extent, extent.range);
        };
        let (start, end) = (extent.range.offset, extent.range.end());
        let mut at = start;
        while at < end {
            let stored = ByteRange { offset: host_offset + (at - start), length: end - at };
            let data = os::next_data(source, stored);
            let data = data.map_err(|cause| Failure::unreadable(file.path(), &cause))?;
            let data = data.map_or(end..end, |data| {
                let from = at + (data.offset - stored.offset);
                from..from + data.length
            });
            let goes_on =
                self.zeros((at..data.start).into()) && self.data(extent, data.clone().into())?;
            if !goes_on {
                return Ok(false);
            }
            at = data.end;
        }
        Ok(true)
    }

    /// Returns false if the writer has ended.
    fn zeros(&mut self, range: ByteRange) -> bool {
        range.length == 0 || self.flush() && self.parts.send(Part::Zeros(range)).is_ok()
    }

    /// Reads a range of an extent. Returns false if the writer has ended.
    fn data(&mut self, extent: &Extent, range: ByteRange) -> Result<bool, Failure> {
        let mut at = range.offset;
        while at < range.end() {
            let continues = self
                .filling
                .as_ref()
                .is_some_and(|(_, length, offset)| *length < PART && offset + *length as u64 == at);
            if !continues && !self.flush() {
                return Ok(false);
            }
            let (mut buffer, length, offset) = self.filling.take().unwrap_or_else(|| {
                (self.buffers.try_recv().unwrap_or_else(|_| vec![0; PART]), 0, at)
            });
            let end = range.end().min(offset + PART as u64);
            let count = (end - at) as usize;
            self.read_extent(extent, at, &mut buffer[length..length + count])?;
            self.filling = Some((buffer, length + count, offset));
            self.read += count as u64;
            at = end;
        }
        Ok(true)
    }

    /// Hands the data that was read to the writer. Returns false if the writer has ended.
    fn flush(&mut self) -> bool {
        self.filling.take().is_none_or(|(buffer, length, offset)| {
            self.parts.send(Part::Data { buffer, length, offset }).is_ok()
        })
    }

    fn read_extent(&self, extent: &Extent, at: u64, buffer: &mut [u8]) -> Result<(), Failure> {
        let disk = self.copier.disk;
        let Some(host_offset) = extent.host_offset else {
            return Ok(disk.read_exact_at(buffer, at)?);
        };
        let file = &disk.files()[extent.file];
        let host_offset = host_offset + (at - extent.range.offset);
        let result = file.source().read_exact_at(buffer, host_offset);
        result.map_err(|cause| Failure::unreadable(file.path(), &cause))
    }

    /// Makes the copy share the storage of as much of an extent as possible.
    fn share(&mut self, extent: &Extent) -> Result<Option<ByteRange>, Failure> {
        let (file, range) = (&self.copier.disk.files()[extent.file], extent.range);
        let (Some(host_offset), Some(source)) = (extent.host_offset, file.source().as_file())
        else {
            return Ok(None);
        };
        let start = range.offset.next_multiple_of(BLOCK);
        let end = range.end() / BLOCK * BLOCK;
        let host_offset = host_offset + (start - range.offset);
        if self.reflink == Reflink::Never || start >= end || host_offset % BLOCK != 0 {
            return Ok(None);
        }
        let shared = ByteRange::from(start..end);
        match self.copier.target.share(source, host_offset, shared) {
            Ok(()) => {
                self.shared += shared.length;
                self.copier.bar.inc(shared.length);
                Ok(Some(shared))
            }
            Err(_) if self.reflink == Reflink::Auto => {
                self.reflink = Reflink::Never;
                Ok(None)
            }
            Err(cause) => {
                let message = format!(
                    "its storage cannot be shared with the copy: {cause}; both have to be on one Btrfs or XFS \
                     volume, or use --reflink auto"
                );
                Err(Failure::about(file.path(), ReturnValue::NotSupported, &message))
            }
        }
    }
}

/// The change that a block of the copy needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Keep,
    Write,
    Zero,
}

/// Writes the copy.
struct Writer<'a> {
    target: &'a Target,
    before: Before,
    /// The copy's content.
    old: Vec<u8>,
    totals: Totals,
    /// Where the copy differs, if it is only compared.
    differences: Option<Vec<ByteRange>>,
}

impl<'a> Writer<'a> {
    fn new(copier: &Copier<'a>, differences: Option<Vec<ByteRange>>) -> Self {
        let (target, before) = (copier.target, copier.before);
        Writer { target, before, old: Vec::new(), totals: Totals::default(), differences }
    }

    fn run(
        &mut self,
        parts: &Receiver<Part>,
        used: &SyncSender<Vec<u8>>,
        bar: &ProgressBar,
    ) -> io::Result<&mut Self> {
        for part in parts {
            match part {
                Part::Data { buffer, length, offset } => {
                    self.data(&buffer[..length], offset)?;
                    bar.inc(length as u64);
                    let _ = used.try_send(buffer); // the reader may have ended
                }
                Part::Zeros(range) => self.zeros(range)?,
            }
        }
        Ok(self)
    }

    fn data(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.before == Before::Readable {
            self.read_old(ByteRange { offset, length: bytes.len() as u64 })?;
        }
        let end = bytes.len();
        let block_end = |at: usize| {
            let within = (offset + at as u64) % BLOCK;
            end.min(at + (BLOCK - within) as usize)
        };
        let mut at = 0;
        while at < end {
            let start = at;
            at = block_end(at);
            let action = self.action(bytes, start..at);
            while at < end && self.action(bytes, at..block_end(at)) == action {
                at = block_end(at);
            }
            self.apply(action, &bytes[start..at], offset + start as u64)?;
        }
        Ok(())
    }

    fn read_old(&mut self, range: ByteRange) -> io::Result<()> {
        let length = range.length as usize;
        self.old.resize(length.max(self.old.len()), 0);
        let old = &mut self.old[..length];
        match self.target.next_data(range)? {
            Some(_) => self.target.read(old, range.offset),
            None => {
                old.fill(0);
                Ok(())
            }
        }
    }

    fn action(&self, bytes: &[u8], block: Range<usize>) -> Action {
        let new = &bytes[block.clone()];
        match self.before {
            Before::Readable if self.old[block] == *new => Action::Keep,
            Before::Zeros if is_zero(new) => Action::Keep,
            _ if is_zero(new) => Action::Zero,
            _ => Action::Write,
        }
    }

    fn apply(&mut self, action: Action, bytes: &[u8], offset: u64) -> io::Result<()> {
        let range = ByteRange { offset, length: bytes.len() as u64 };
        match (action, &mut self.differences) {
            (Action::Keep, _) => {}
            (_, Some(differences)) => match differences.last_mut() {
                Some(last) if last.end() == offset => last.length += range.length,
                _ => differences.push(range),
            },
            (Action::Zero, None) if range.length >= MIN_HOLE => {
                self.target.zero(range)?;
                self.totals.zeroed += range.length;
            }
            (Action::Write | Action::Zero, None) => {
                self.target.write(bytes, offset)?;
                self.totals.written += range.length;
            }
        }
        Ok(())
    }

    fn zeros(&mut self, range: ByteRange) -> io::Result<()> {
        match self.before {
            Before::Zeros => {}
            Before::Unknown => {
                self.target.zero(range)?;
                self.totals.zeroed += range.length;
            }
            Before::Readable => {
                let mut rest = range;
                while let Some(data) = self.target.next_data(rest)? {
                    let zeros = vec![0; PART.min(data.length as usize)];
                    for part in data.chunks(PART) {
                        self.data(&zeros[..part.length as usize], part.offset)?;
                    }
                    rest = (data.end()..range.end()).into();
                }
            }
        }
        Ok(())
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    // Every byte equals the one before it: a comparison of memory, which is fast.
    bytes.first().is_none_or(|&first| first == 0 && bytes[1..] == bytes[..bytes.len() - 1])
}
