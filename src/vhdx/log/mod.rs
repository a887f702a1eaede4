//! The log ([MS-VHDX] 2.3): finds the active sequence and replays it into an overlay. The file
//! itself is never written.

mod entry;
mod ring;
mod sequence;

use super::check::FileCheck;
use super::error::{BrokenRule, Finding, VhdxError, ensure};
use super::layout::{Header, LogEntry, MIB};
use crate::error::Result;
use crate::source::{FileView, Overlay};
use ring::{Ring, WholeEntry};
use sequence::{Active, Standing, active_sequence};

/// The updates in the log.
pub(super) struct Replay {
    pub overlay: Overlay,
    /// The minimum length of the file after replay.
    pub length: u64,
    /// The number of replayed entries, for `info`.
    pub entries: usize,
    /// The complete entries that were ignored although they are newer.
    pub findings: FileCheck,
}

/// Replays a log that is in use according to the header.
pub(super) fn replay(file: FileView<'_>, header: &Header) -> Result<Replay> {
    let mut ring = Ring::new(file, header);
    let whole = ring.scan(header.log_guid)?;
    let valid = whole.iter().filter(|whole| whole.broken.is_none());
    let valid: Vec<&LogEntry> = valid.map(|whole| &whole.entry).collect();
    let entries = active_sequence(&valid, ring.length);
    let Some(active) = Active::new(&entries, ring.length) else {
        let broken = whole.iter().filter_map(|whole| Some((&whole.entry, whole.broken?)));
        let newest = broken.max_by_key(|(entry, _)| entry.sequence_number);
        let broken = newest.map(|(entry, rule)| (ring.offset + entry.at, rule));
        return Err(VhdxError::LogSequence { valid: valid.len(), broken }.into());
    };
    let findings = check_others(&active, &whole, ring.offset)?;
    let (head, stored) = (active.head, file.stored_length);
    let flushed = head.flushed_file_offset;
    ensure(stored >= flushed, VhdxError::LogFileLength { flushed, end: stored })?;
    let mut length = stored;
    if head.last_file_offset > stored {
        // An unrounded length is rounded up, because space is allocated in units of 1 MiB.
        let rounded = head.last_file_offset.checked_next_multiple_of(MIB);
        length = rounded.unwrap_or(head.last_file_offset);
    }
    let overlay = Overlay::new(&file.limits.memory);
    let mut replay = Replay { overlay, length, entries: entries.len(), findings };
    entries.iter().try_for_each(|entry| ring.apply(entry, &mut replay))?;
    Ok(replay)
}

/// Verifies that the active sequence is the newest: refuses a log with a complete entry that no
/// power loss explains, and reports those that are ignored.
fn check_others(active: &Active, whole: &[WholeEntry], log: u64) -> Result<FileCheck, VhdxError> {
    let mut report = FileCheck::default();
    let (tail, head) = (active.tail.sequence_number, active.head.sequence_number);
    for WholeEntry { entry, broken: rule } in whole {
        let (sequence, at, rule) = (entry.sequence_number, log + entry.at, *rule);
        match active.classify(entry, rule.is_some()) {
            Standing::Active | Standing::Stale => {}
            Standing::AfterTorn => report.add(Finding::IgnoredEntry { sequence, at, head, rule }),
            Standing::Contradicts => {
                let rule = rule.unwrap_or(BrokenRule::Place);
                return Err(VhdxError::LogContradiction { sequence, at, rule, tail, head });
            }
        }
    }
    Ok(report)
}
