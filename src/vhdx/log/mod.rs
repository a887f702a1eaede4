//! The log ([MS-VHDX] 2.3): finds the active sequence and replays it into an overlay. The file
//! itself is never written.

mod entry;
mod ring;
mod sequence;

use super::check::FileCheck;
use super::header::Header;
use super::layout::MB;
use crate::error::{ErrorKind, Result};
use crate::limits::{Limits, MemoryReservation};
use crate::source::{Overlay, Reader};
use entry::{BrokenRule, Entry};
use ring::{Ring, WholeEntries};
use sequence::{Active, Standing, active_sequence};

/// The updates in the log.
pub(super) struct Replay {
    pub overlay: Overlay,
    /// The overlay's memory.
    pub reservation: MemoryReservation,
    /// The minimum length of the file after replay.
    pub length: u64,
    /// The number of replayed entries, for `info`.
    pub entries: usize,
    /// The complete entries that were ignored although they are newer.
    pub findings: FileCheck,
}

/// Replays a log that is in use according to the header.
pub(super) fn replay(file: &Reader, header: &Header, limits: &Limits) -> Result<Replay> {
    let mut ring = Ring::new(file, header, limits);
    let whole = ring.scan(header)?;
    let entries = active_sequence(&whole.valid, ring.length);
    let Some(active) = Active::new(&entries, ring.length) else {
        return Err(file.error(ErrorKind::LogCorrupt, no_sequence(&whole, ring.offset)));
    };
    let findings = check_others(file, &active, &whole, ring.offset)?;
    let (head, stored) = (active.head(), file.stored_length());
    if stored < head.flushed_file_offset {
        let message = format!(
            "the log was written when the file was {:#x} bytes long, and now it ends at {stored:#x}: it was \
             cut short",
            head.flushed_file_offset
        );
        return Err(file.error(ErrorKind::Truncated, message));
    }
    let mut length = stored;
    if head.last_file_offset > stored {
        // An unrounded length is rounded up, because space is allocated in units of 1 MiB.
        let rounded = head.last_file_offset.checked_next_multiple_of(MB);
        length = rounded.unwrap_or(head.last_file_offset);
    }
    let (overlay, reservation) = (Overlay::default(), limits.memory.reservation());
    let mut replay = Replay { overlay, reservation, length, entries: entries.len(), findings };
    for entry in &entries {
        ring.apply(entry, &mut replay)?;
    }
    Ok(replay)
}

/// Creates the error that explains why nothing can be replayed.
fn no_sequence(whole: &WholeEntries, log: u64) -> String {
    let newest = whole.broken.iter().max_by_key(|(entry, _)| entry.sequence);
    let broken = newest.map_or(String::new(), |(Entry { at, .. }, rule)| {
        format!("; the entry at {:#x} was written whole and breaks a rule: {rule}", log + at)
    });
    format!(
        "the header says that the log holds updates, and none of its {} valid entries ends a complete \
         sequence{broken}; without them the content is unknown, so use an older copy of the file",
        whole.valid.len()
    )
}

/// Verifies that the active sequence is the newest: refuses a log with a complete entry that no
/// power loss explains, and reports those that are ignored.
fn check_others(
    file: &Reader,
    active: &Active,
    whole: &WholeEntries,
    log: u64,
) -> Result<FileCheck> {
    let mut report = FileCheck::default();
    let valid = whole.valid.iter().map(|entry| (entry, None));
    let broken = whole.broken.iter().map(|(entry, rule)| (entry, Some(rule)));
    for (entry, rule) in valid.chain(broken) {
        match active.classify(entry, rule.is_some()) {
            Standing::Active | Standing::Stale => {}
            Standing::AfterTorn => report.add(ignored(active, entry, rule, log)),
            Standing::Contradicts => {
                let message = contradiction(active, entry, rule, log);
                return Err(file.error(ErrorKind::LogCorrupt, message));
            }
        }
    }
    Ok(report)
}

fn ignored(active: &Active, entry: &Entry, rule: Option<&BrokenRule>, log: u64) -> String {
    let (_, head) = active.numbers();
    let broken = rule.map_or(String::new(), |rule| format!("; it also breaks a rule: {rule}"));
    format!(
        "a whole log entry with sequence number {} at {:#x} was ignored: an entry between it and number \
         {head}, where the log ends, is missing or torn{broken}",
        entry.sequence,
        log + entry.at
    )
}

fn contradiction(active: &Active, entry: &Entry, rule: Option<&BrokenRule>, log: u64) -> String {
    let (tail, head) = active.numbers();
    let reason = match rule {
        Some(rule) => format!("it breaks a rule: {rule}"),
        None => "its place or its tail does not fit its number".into(),
    };
    format!(
        "the log entry with sequence number {} at {:#x} was written whole and continues no complete sequence, \
         because {reason}; to replay only the entries from {tail} to {head} could lose blocks, so use an \
         older copy of the file",
        entry.sequence,
        log + entry.at
    )
}
