//! Questions, and what must hold of every answer whatever the files hold.

use crate::media::metered;
use std::fmt::Debug;
use std::ops::Range;
use vhdx_rct::{ByteRange, ChangeQuery, Error, VirtualDiskChanges};

pub type Answer = Result<VirtualDiskChanges, Error>;

/// No question about the small files that targets build needs to read more than this.
const MOST_READ: u64 = 256 << 20;

/// More ranges than this are not asked for a second time.
const MANY: usize = 10_000;

/// Runs one step of a question under the bound on what it may read.
pub fn bounded<T>(work: impl FnOnce() -> T) -> T {
    let (done, read) = metered(work);
    assert!(read <= MOST_READ, "{read} bytes were read for one question");
    done
}

/// An error must be one that the method can return.
#[track_caller]
pub fn check_error(error: &Error) {
    assert!(error.return_value().code() >= 32768, "{error} has the code of a success");
    assert!(!error.to_string().is_empty());
}

/// Checks the error of whatever can fail, and gives what did not.
#[track_caller]
pub fn checked<T>(result: Result<T, Error>) -> Option<T> {
    result.inspect_err(|error| check_error(error)).ok()
}

/// Asks; the answer must be well-formed.
#[track_caller]
pub fn ask(query: &ChangeQuery, region: Option<Range<u64>>, most: Option<usize>) -> Answer {
    let mut query = query.clone();
    if let Some(region) = region.clone() {
        query = query.region(region);
    }
    if let Some(most) = most {
        query = query.max_ranges(most);
    }
    let answer = bounded(|| query.run());
    match &answer {
        Ok(answer) => {
            let size = answer.disk.virtual_size;
            well_formed(answer, region.unwrap_or(0..size), most.unwrap_or(usize::MAX));
        }
        Err(error) => check_error(error),
    }
    answer
}

/// Sorted, coalesced, non-empty, inside the region, and as far as the limit allows.
#[track_caller]
fn well_formed(answer: &VirtualDiskChanges, region: Range<u64>, most: usize) {
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
    assert!(ranges.len() <= most, "{} ranges instead of {most}", ranges.len());
    assert!(answer.processed_byte_length <= length, "more was done than asked for");
    let stopped = answer.processed_byte_length < length;
    assert!(!stopped || ranges.len() == most, "stopped without a reason");
    assert!(region.end <= answer.disk.virtual_size);
}

/// Asks about the whole disk, and once more in a way that must agree with it; `hint` decides
/// in which, and where the disk is cut.
#[track_caller]
pub fn whole(query: &ChangeQuery, hint: u64) -> Answer {
    let answer = ask(query, None, None);
    let Ok(found) = &answer else { return answer };
    if found.ranges.len() > MANY {
        return answer;
    }
    let size = found.disk.virtual_size;
    match hint / 7 % 5 {
        0 => assert_eq!(&ask(query, None, None).expect("the same again"), found),
        1 => in_two_parts(query, found, hint % (size + 1)),
        2 => resumed(query, found, 1 + (hint % 5) as usize),
        3 => extents(query, found),
        _ => content(query, hint % size.max(1)),
    }
    answer
}

#[track_caller]
fn in_two_parts(query: &ChangeQuery, whole: &VirtualDiskChanges, cut: u64) {
    let size = whole.disk.virtual_size;
    let parts = [0..cut, cut..size].map(|region| {
        ask(query, Some(region), None).expect("a part of what can be answered").ranges
    });
    assert_eq!(joined(parts.concat()), whole.ranges, "cut at {cut}");
}

/// Some steps with a limit on the number of ranges give the first ranges of the answer.
#[track_caller]
fn resumed(query: &ChangeQuery, whole: &VirtualDiskChanges, most: usize) {
    let size = whole.disk.virtual_size;
    let (mut at, mut told) = (0, Vec::new());
    for _ in 0..4 {
        let part = ask(query, Some(at..size), Some(most)).expect("the rest of an answer");
        assert!(part.processed_byte_length > 0 || at == size, "no progress at {at}");
        told.extend(part.ranges);
        at += part.processed_byte_length;
    }
    let before = whole.ranges.iter().take_while(|range| range.offset < at).count();
    assert_eq!(told, whole.ranges[..before], "in steps of {most}, up to {at}");
}

/// Extents, where all parents are there, cover what changed.
#[track_caller]
fn extents(query: &ChangeQuery, whole: &VirtualDiskChanges) {
    let Some(extents) = checked(bounded(|| query.clone().extents())) else { return };
    let mut found = Vec::new();
    for extent in extents.take(MANY * 4) {
        let Some(extent) = checked(extent) else { return };
        assert!(extent.range.length > 0);
        found.push(extent.range);
    }
    if found.len() < MANY * 4 {
        assert_eq!(joined(found), whole.ranges, "extents");
    }
}

/// The disk's content can be read, or an error says why not.
fn content(query: &ChangeQuery, at: u64) {
    let Some(disk) = checked(query.disk()) else { return };
    let mut buffer = vec![0; (disk.size() - at).min(8192) as usize];
    checked(disk.read_at(&mut buffer, at));
    let Some(all) = checked(disk.extents(0..disk.size())) else { return };
    let mut end = 0;
    for extent in all.take(MANY) {
        let Some(extent) = checked(extent) else { return };
        assert!(extent.range.offset == end && extent.range.length > 0, "a gap at {end}");
        end = extent.range.end();
    }
}

/// Sorted ranges, those that touch joined.
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

/// What an answer must be: these ranges, clipped to the region, up to the limit.
#[track_caller]
pub fn must_be(
    answer: &VirtualDiskChanges,
    all: &[Range<u64>],
    region: &Range<u64>,
    most: Option<usize>,
    what: &dyn Debug,
) {
    let clip = |range: &Range<u64>| range.start.max(region.start)..range.end.min(region.end);
    let inside = all.iter().map(clip).filter(|range| range.start < range.end);
    let expected: Vec<ByteRange> = inside.map(ByteRange::from).collect();
    let most = most.unwrap_or(usize::MAX);
    let done = expected.get(most).map_or(region.end, |next| next.offset) - region.start;
    let told = &expected[..expected.len().min(most)];
    assert_eq!(answer.ranges, told, "{what:?} in {region:?}, at most {most}");
    assert_eq!(answer.processed_byte_length, done, "{what:?} in {region:?}, at most {most}");
}
