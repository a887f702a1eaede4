//! The active sequence of a log ([MS-VHDX] 2.3.2), and the classification of the other entries.

use super::super::layout::{LOG_SECTOR, LogEntry};
use std::collections::HashMap;

/// Finds the complete sequence with the greatest head, and returns its entries from the tail to the
/// head. A sequence is complete if the tail that the head names is one of its entries. Returns an
/// empty list if there is none.
///
/// A sequence continues while the next entry is valid and its number is one greater, so each entry
/// has one head, and a head's sequence is complete if the entry at its tail has this same head.
pub(super) fn active_sequence<'a>(entries: &[&'a LogEntry], ring: u64) -> Vec<&'a LogEntry> {
    let by_offset: HashMap<u64, usize> =
        entries.iter().enumerate().map(|(i, entry)| (entry.at, i)).collect();
    let next = |entry: &LogEntry| {
        let &i = by_offset.get(&((entry.at + entry.entry_length) % ring))?;
        (Some(entries[i].sequence_number) == entry.sequence_number.checked_add(1)).then_some(i)
    };
    let mut newest_first: Vec<usize> = (0..entries.len()).collect();
    newest_first.sort_unstable_by_key(|&i| std::cmp::Reverse(entries[i].sequence_number));
    let mut head_of: Vec<usize> = (0..entries.len()).collect();
    for &i in &newest_first {
        if let Some(next) = next(entries[i]) {
            head_of[i] = head_of[next];
        }
    }
    let complete = newest_first.iter().find_map(|&head| {
        let &tail = by_offset.get(&entries[head].tail)?;
        (head_of[head] == head && head_of[tail] == head).then_some(tail)
    });
    std::iter::successors(complete, |&i| next(entries[i])).map(|i| entries[i]).collect()
}

/// The kind of a complete entry, relative to the active sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Active,
    /// Applied before the active sequence began; its place in the ring has not been reused yet.
    Stale,
    /// Follows entries that were not written because of power loss; not part of any sequence.
    AfterTorn,
    /// Cannot be the result of power loss.
    Contradicts,
}

/// The active sequence and its place in the ring.
pub(super) struct Active<'a> {
    entries: &'a [&'a LogEntry],
    pub tail: &'a LogEntry,
    pub head: &'a LogEntry,
    ring: u64,
    /// The length of the sequence in the ring.
    used: u64,
}

impl<'a> Active<'a> {
    /// Returns None if there is no active sequence.
    pub(super) fn new(entries: &'a [&'a LogEntry], ring: u64) -> Option<Self> {
        let used = entries.iter().map(|entry| entry.entry_length).sum();
        Some(Active { entries, tail: entries.first()?, head: entries.last()?, ring, used })
    }

    /// Classifies a complete entry; `broken` if it breaks a rule.
    ///
    /// A writer numbers the entries of a log without gaps and writes each at the end of the
    /// previous one. It does not overwrite the active sequence until all of it is applied, and does
    /// not flush between entries. So of the complete entries that are not active,
    /// - smaller numbers are stale, common, and harmless;
    /// - greater ones lie in the space that the sequence leaves free, with space before them for
    ///   each missing number. An entry that breaks no rule also names a tail that power loss can
    ///   explain: an active entry, or the place after the head. Any other tail means that the
    ///   missing entries had been applied, so they were once complete, and were damaged later.
    ///
    /// Everything else means that the sequence may be an old one, and that the entries to be
    /// replayed are lost: a duplicate number, a newer entry for which there is no space, and an
    /// entry right after the head that breaks a rule. The number of the last kind cannot be
    /// trusted, because no writer leaves such an entry, so it is not treated as stale.
    pub(super) fn classify(&self, entry: &LogEntry, broken: bool) -> Standing {
        let index = entry.sequence_number.checked_sub(self.tail.sequence_number);
        let own = index.and_then(|index| self.entries.get(usize::try_from(index).ok()?));
        if own.is_some_and(|own| own.at == entry.at) {
            return Standing::Active;
        }
        let end = (self.head.at + self.head.entry_length) % self.ring;
        let distance = self.distance(end, entry.at);
        if distance == 0 && broken {
            return Standing::Contradicts;
        }
        if index.is_none() {
            return Standing::Stale;
        }
        let missing =
            entry.sequence_number.saturating_sub(self.head.sequence_number).saturating_sub(1);
        let has_space = missing <= distance / LOG_SECTOR
            && distance + entry.entry_length + self.used <= self.ring;
        let has_tail = broken || entry.tail == end || self.begins_at(entry.tail);
        match missing > 0 && has_space && has_tail {
            true => Standing::AfterTorn,
            false => Standing::Contradicts,
        }
    }

    /// Returns the distance between two offsets, around the ring.
    fn distance(&self, from: u64, to: u64) -> u64 {
        (to + self.ring - from) % self.ring
    }

    /// Returns whether one of the active entries begins there. They are contiguous in the ring.
    fn begins_at(&self, at: u64) -> bool {
        let place = |at| self.distance(self.tail.at, at);
        self.entries.binary_search_by_key(&place(at), |entry| place(entry.at)).is_ok()
    }
}
