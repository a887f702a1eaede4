//! Questions, and the invariants of every answer regardless of the files' content.

use crate::media::{Disks, start_metering};
use arbitrary::Arbitrary;
use dearbitrary::Dearbitrary;
use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;
use vhdx_rct::{
    Baseline, ByteRange, Disk, Error, Extent, ExtentKind, OpenOptions, VirtualDiskChanges,
};

pub type Answer = Result<VirtualDiskChanges, Error>;

/// The maximum number of ranges that are asked for a second time.
const MAX_RANGES: usize = 10_000;

/// A second question, whose answer must agree with that about the whole disk.
#[derive(Arbitrary, Dearbitrary, Clone, Debug, PartialEq)]
pub enum CrossCheck {
    Again,
    /// In two regions, cut here.
    Split(u64),
    /// In steps that return up to this number of ranges.
    Resumed(u8),
    Extents,
    /// Reads content here, and compares it with all extents.
    Content(u64),
}

/// Checks that the method can return this error.
#[track_caller]
pub fn check_error(error: &Error) {
    assert!(error.return_value().code() >= 32768, "{error} has the code of a success");
    assert!(!error.to_string().is_empty());
}

/// Checks the error, if there is one.
#[track_caller]
pub fn checked<T>(result: Result<T, Error>) -> Option<T> {
    result.inspect_err(|error| check_error(error)).ok()
}

/// Returns options that read these files.
pub fn reading(disks: Disks) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.storage(disks.shared());
    options
}

/// Opens a disk and, if it opens, checks everything but its changes.
#[track_caller]
pub fn open(options: &OpenOptions, path: impl AsRef<Path>) -> Result<Disk, Error> {
    start_metering();
    let disk = options.open(path).inspect_err(|error| check_error(error))?;
    if let Some(error) = disk.missing_parent() {
        check_error(error);
    }
    for known in disk.known_ids() {
        assert!(known.first <= known.last, "{known:?}");
    }
    checked(disk.check());
    for file in 0..disk.files().len() {
        let parts = checked(disk.metadata_parts(file)).unwrap_or_default();
        assert!(parts.is_sorted_by(|a, b| a.end() <= b.offset), "{parts:?}");
    }
    for next in checked(disk.next_baselines()).unwrap_or_default() {
        // The disk's own GUID is only a baseline for a child of it.
        if let (Baseline::Rct(_), true) = (&next.since, next.exact) {
            let changes = ask(&disk, &next.since, None, None).expect("what was exact before");
            assert_eq!(changes.ranges, [], "since {}, which is exact", next.since);
        }
    }
    Ok(disk)
}

/// Asks, and checks that the answer is well-formed.
#[track_caller]
pub fn ask(
    disk: &Disk,
    since: &Baseline,
    region: Option<Range<u64>>,
    max_ranges: Option<usize>,
) -> Answer {
    let mut query = disk.changes(since.clone());
    if let Some(region) = region.clone() {
        query = query.region(region);
    }
    if let Some(max_ranges) = max_ranges {
        query = query.max_ranges(max_ranges);
    }
    start_metering();
    let answer = query.collect();
    match &answer {
        Ok(answer) => {
            let size = answer.disk.virtual_size;
            well_formed(answer, region.unwrap_or(0..size), max_ranges.unwrap_or(usize::MAX));
        }
        Err(error) => check_error(error),
    }
    answer
}

/// Sorted, coalesced, non-empty, inside the region, and as far as the limit allows.
#[track_caller]
fn well_formed(answer: &VirtualDiskChanges, region: Range<u64>, max_ranges: usize) {
    let length = region.end - region.start;
    let ranges = &answer.ranges;
    assert!(ranges.iter().all(|range| range.length > 0), "an empty range: {ranges:?}");
    assert!(ranges.is_sorted_by(|a, b| a.end() < b.offset), "not sorted or coalesced");
    if let (Some(first), Some(last)) = (ranges.first(), ranges.last()) {
        let covered = first.offset..last.end();
        let inside = region.start <= covered.start && covered.end <= region.end;
        assert!(inside, "{covered:?} is not inside {region:?}");
        assert!(last.end() <= region.start + answer.processed_byte_length, "past what is done");
    }
    assert!(ranges.len() <= max_ranges, "{} ranges instead of {max_ranges}", ranges.len());
    assert!(answer.processed_byte_length <= length, "more was done than asked for");
    let stopped = answer.processed_byte_length < length;
    assert!(!stopped || ranges.len() == max_ranges, "stopped without a reason");
    assert!(region.end <= answer.disk.virtual_size);
}

/// Asks about the whole disk, and compares the answer with another way to get it.
#[track_caller]
pub fn whole(disk: &Disk, since: &Baseline, check: &CrossCheck) -> Answer {
    let answer = ask(disk, since, None, None);
    let Some(found) = answer.as_ref().ok().filter(|found| found.ranges.len() <= MAX_RANGES) else {
        return answer;
    };
    let size = found.disk.virtual_size;
    start_metering();
    match *check {
        CrossCheck::Again => assert_eq!(&ask(disk, since, None, None).expect("the same"), found),
        CrossCheck::Split(cut) => in_two_parts(disk, since, found, cut % (size + 1)),
        CrossCheck::Resumed(max_ranges) => resumed(disk, since, found, 1 + usize::from(max_ranges)),
        CrossCheck::Extents => extents(disk, since, found),
        CrossCheck::Content(at) => content(disk, at % size.max(1)),
    }
    answer
}

#[track_caller]
fn in_two_parts(disk: &Disk, since: &Baseline, whole: &VirtualDiskChanges, cut: u64) {
    let size = whole.disk.virtual_size;
    let parts = [0..cut, cut..size].map(|region| {
        ask(disk, since, Some(region), None).expect("a part of what can be answered").ranges
    });
    assert_eq!(joined(parts.concat()), whole.ranges, "cut at {cut}");
}

/// Checks that steps with a limit on the number of ranges return the first ranges of the answer.
#[track_caller]
fn resumed(disk: &Disk, since: &Baseline, whole: &VirtualDiskChanges, max_ranges: usize) {
    let size = whole.disk.virtual_size;
    let (mut at, mut found) = (0, Vec::new());
    for _ in 0..4 {
        let part =
            ask(disk, since, Some(at..size), Some(max_ranges)).expect("the rest of an answer");
        assert!(part.processed_byte_length > 0 || at == size, "no progress at {at}");
        found.extend(part.ranges);
        at += part.processed_byte_length;
    }
    let before = whole.ranges.iter().take_while(|range| range.offset < at).count();
    assert_eq!(found, whole.ranges[..before], "in steps of {max_ranges}, up to {at}");
}

/// Checks that extents, if all parents are there, cover what changed.
#[track_caller]
fn extents(disk: &Disk, since: &Baseline, whole: &VirtualDiskChanges) {
    let question = disk.changes(since.clone());
    let Some(extents) = checked(question.extents()) else { return };
    let mut found = Vec::new();
    for extent in extents.take(MAX_RANGES * 4) {
        let Some(extent) = checked(extent) else { return };
        assert!(extent.range.length > 0);
        found.push(extent.range);
    }
    if found.len() < MAX_RANGES * 4 {
        assert_eq!(joined(found), whole.ranges, "extents");
    }
}

/// Checks that the disk's content can be read, or an error explains why not, and that extents
/// cover the disk and lie where this content is stored.
fn content(disk: &Disk, at: u64) {
    let size = disk.identity().virtual_size;
    let mut buffer = vec![0; (size - at).min(8192) as usize];
    let read = checked(disk.read_exact_at(&mut buffer, at));
    let Some(all) = checked(disk.extents(0..size)) else { return };
    let mut end = 0;
    for extent in all.take(MAX_RANGES) {
        let Some(extent) = checked(extent) else { return };
        assert!(extent.range.offset == end && extent.range.length > 0, "a gap at {end}");
        end = extent.range.end();
        if read.is_some() {
            same_content(disk, &extent, &buffer, at);
        }
    }
}

/// Compares the part of an extent that lies in a buffer that was read at `at`.
fn same_content(disk: &Disk, extent: &Extent, buffer: &[u8], at: u64) {
    let start = extent.range.offset.max(at);
    let end = extent.range.end().min(at + buffer.len() as u64);
    if start >= end {
        return;
    }
    let found = &buffer[(start - at) as usize..(end - at) as usize];
    match (extent.kind, extent.host_offset) {
        (ExtentKind::Data, None) => {}
        (ExtentKind::Data, Some(offset)) => {
            let mut stored = vec![0; found.len()];
            let source = disk.files()[extent.file].source();
            let offset = offset + (start - extent.range.offset);
            source.read_exact_at(&mut stored, offset).expect("what is stored in one piece");
            assert!(stored == found, "{extent:?} is stored elsewhere");
        }
        _ => assert!(found.iter().all(|&byte| byte == 0), "{extent:?} is not zeros"),
    }
}

/// Joins sorted ranges that touch.
pub fn joined(ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    let mut out: Vec<ByteRange> = Vec::new();
    for range in ranges {
        match out.last_mut() {
            Some(last) if last.end() == range.offset => last.length += range.length,
            _ => out.push(range),
        }
    }
    out
}

/// Checks that the answer is these ranges, clipped to the region, up to the limit.
#[track_caller]
pub fn check_answer(
    answer: &VirtualDiskChanges,
    all: &[Range<u64>],
    region: &Range<u64>,
    max_ranges: Option<usize>,
    what: &dyn Debug,
) {
    let clip = |range: &Range<u64>| range.start.max(region.start)..range.end.min(region.end);
    let inside = all.iter().map(clip).filter(|range| range.start < range.end);
    let expected: Vec<ByteRange> = inside.map(ByteRange::from).collect();
    let max_ranges = max_ranges.unwrap_or(usize::MAX);
    let done = expected.get(max_ranges).map_or(region.end, |next| next.offset) - region.start;
    let expected = &expected[..expected.len().min(max_ranges)];
    assert_eq!(answer.ranges, expected, "{what:?} in {region:?}, at most {max_ranges}");
    assert_eq!(answer.processed_byte_length, done, "{what:?} in {region:?}, at most {max_ranges}");
}
