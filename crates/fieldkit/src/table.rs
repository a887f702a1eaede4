//! Compares an `.rct` file with the facts, and with the ids that the host reported.

use crate::evidence::Recorder;
use crate::manifest::CaseEntry;
use crate::probe::rct::{HeaderCopy, Probe};
use vhdx_rct::RctId;
use vhdx_rct::rct::TableHeader;
use vhdx_rct::rct::raw::{PAGE, UNIT, units};

/// The known properties of the table's disk.
pub(crate) struct Tracked<'a> {
    pub disk_size: u64,
    pub closed_cleanly: bool,
    /// True for the file that the host was queried about, whose ids it reported.
    pub is_asked: bool,
    pub case: &'a CaseEntry,
}

pub(crate) fn check(found: &Probe, tracked: &Tracked, recorder: &mut Recorder) {
    let pages = format!("it has {} bytes", found.length);
    recorder.decide("pages", found.length.is_multiple_of(PAGE) && found.length > 0, pages);
    if found.first_page_zero {
        recorder.confirm("first-page", "its first page is all zero");
    }
    if found.headers.len() < 2 {
        return recorder.contradict("header-places", "it ends before the second header copy ends");
    }
    checksums(found, tracked, recorder);
    signatures(found, recorder);
    let Some(current) = found.current() else { return };
    let Some(header) = &current.parsed else { return };
    size(current, tracked, recorder);
    history(header, recorder);
    if tracked.is_asked && tracked.closed_cleanly {
        ids(found, current, tracked, recorder);
    }
    offset_table(found, tracked, recorder);
    sequence_pages(found, recorder);
}

/// Checks that header copies lie at the expected offsets, regardless of their checksums.
fn checksums(found: &Probe, tracked: &Tracked, recorder: &mut Recorder) {
    let plausible =
        |copy: &&HeaderCopy| copy.units == units(tracked.disk_size) && !copy.id.branch.is_nil();
    let seen: Vec<&HeaderCopy> = found.headers.iter().filter(plausible).collect();
    let places: Vec<String> = seen.iter().map(|copy| format!("{:#x}", copy.offset)).collect();
    let text = match places[..] {
        [] => format!("neither place has a branch and the units of {} bytes", tracked.disk_size),
        _ => format!("copies with the disk's size in units lie at {}", places.join(" and ")),
    };
    recorder.decide("header-places", !seen.is_empty(), text);
    for copy in seen {
        let (fact, at) = ("header-checksum", copy.offset);
        match copy.checksum {
            Some(sum) => recorder.confirm(fact, format!("the copy at {at:#x} matches {sum}")),
            // The other copy exists for the case that one is torn.
            None if found.headers.iter().any(|other| other.checksum.is_some()) => {
                recorder
                    .remark(fact, format!("the copy at {at:#x} matches none, the other one does"));
            }
            None => recorder.contradict(fact, format!("the copy at {at:#x} matches none of them")),
        }
    }
}

fn signatures(found: &Probe, recorder: &mut Recorder) {
    let valid: Vec<&HeaderCopy> =
        found.headers.iter().filter(|copy| copy.parsed.is_some()).collect();
    for copy in &valid {
        let count = copy.branch_count;
        recorder
            .confirm("header-branches", format!("the copy at {:#x} counts {count}", copy.offset));
        let text = format!("it is {} at {:#x}", copy.new_id, copy.offset);
        match copy.new_id {
            0 => recorder.remark("header-new-id", text),
            new_id => recorder.decide("header-new-id", new_id == 1, text),
        }
    }
    for copy in found.headers.iter().filter(|copy| copy.checksum.is_some() && copy.parsed.is_none())
    {
        let text = format!(
            "the copy at {:#x} matches its checksum and counts {}",
            copy.offset, copy.branch_count
        );
        recorder.contradict("header-branches", text);
    }
    if let [first, rest @ ..] = &valid[..] {
        let same =
            first.signature != 0 && rest.iter().all(|copy| copy.signature == first.signature);
        let seen: Vec<String> =
            valid.iter().map(|copy| format!("{:#010x}", copy.signature)).collect();
        recorder.decide(
            "header-signature",
            same,
            format!("valid copies begin {}", seen.join(" and ")),
        );
    }
}

fn size(current: &HeaderCopy, tracked: &Tracked, recorder: &mut Recorder) {
    let size = tracked.disk_size;
    let text = format!(
        "{} units of {UNIT} bytes; a disk of {size} bytes has {}",
        current.units,
        units(size)
    );
    for fact in ["header-units", "unit-size"] {
        recorder.decide(fact, current.units == units(size), text.clone());
    }
}

fn history(header: &TableHeader, recorder: &mut Recorder) {
    let (Some(first), Some(last)) = (header.branches.first(), header.branches.last()) else {
        return;
    };
    let count = header.branches.len();
    let ends_here = last.id == header.current.branch;
    if count > 1 || !ends_here {
        let text = format!(
            "the last of {count} branches is {}, the current one {}",
            last.id, header.current.branch
        );
        recorder.decide("branch-size", ends_here, text);
    } else {
        let text = "one branch, the current one: only two would show that entries have 24 bytes";
        recorder.remark("branch-size", text);
    }
    let ascending = header.branches.is_sorted_by_key(|branch| branch.first);
    let text = format!(
        "{count} branches begin with {} to {}, and the current number is {}",
        first.first, last.first, header.current.number
    );
    if count > 1 || last.first > header.current.number {
        recorder.decide(
            "branch-fields",
            ascending && last.first <= header.current.number,
            text.clone(),
        );
    } else {
        recorder.remark("branch-fields", text.clone());
    }
    // One branch that begins at 0 fits nearly any reading.
    match header.is_consistent() {
        true if count == 1 => recorder.remark("consistent-history", text),
        is_consistent => recorder.decide("consistent-history", is_consistent, text),
    }
}

/// Compares the header's id with the newest one that the host reported.
fn ids(found: &Probe, current: &HeaderCopy, tracked: &Tracked, recorder: &mut Recorder) {
    let newest =
        tracked.case.events.iter().rev().find_map(|event| event.id.as_ref()?.parse::<RctId>().ok());
    let Some(newest) = newest else { return };
    let text = format!("the header's id is {}, the host's newest {newest}", current.id);
    recorder.decide("header-branch", current.id.branch == newest.branch, text.clone());
    recorder.decide("header-number", current.id.number == newest.number, text);
    let other =
        found.headers.iter().find(|copy| copy.parsed.is_some() && copy.offset != current.offset);
    match other {
        Some(other) if other.counter != current.counter && other.id != current.id => {
            let text = format!(
                "counter {} goes with {}, counter {} with {}, and the host's newest is {newest}",
                current.counter, current.id, other.counter, other.id
            );
            recorder.decide("header-counter", current.id == newest, text);
        }
        _ => {
            let text = "both valid copies have the same id, or one copy is valid";
            recorder.remark("header-counter", text);
        }
    }
}

fn offset_table(found: &Probe, tracked: &Tracked, recorder: &mut Recorder) {
    let (pages, signed) = (found.pages, found.signed);
    let text = format!("{signed} of {pages} pages from 0x9000 on are signed \"offp\"");
    recorder.decide("offset-table", signed > 0, text.clone());
    let length = (9 + pages) * PAGE;
    let text = format!(
        "{text}, the page after them is {}; a disk of {} bytes, {pages} offset and {} sequence pages, and the \
         file has {} bytes, at least {length} of them for the former",
        if found.more { "too" } else { "not" },
        tracked.disk_size,
        found.detailed,
        found.length
    );
    recorder.decide("offset-pages", signed == pages && !found.more && found.length >= length, text);
    if signed > 0 {
        let text = format!(
            "of {signed} signed pages {} match their checksum and {} have their index",
            found.checked, found.indexed
        );
        recorder.decide("offset-page", found.checked >= signed && found.indexed >= signed, text);
    }
    // Writes carry the number after that of the id.
    let most = found.current().map_or(0, |copy| copy.id.number).saturating_add(1);
    if found.uniform > 0 && found.greatest > most {
        let text = format!("an entry is {}, and numbers should go up to {most}", found.greatest);
        recorder.contradict("entry-uniform", text);
    }
    if found.detailed > 0 {
        let text = format!(
            "{} of {} negative entries name a page outside the file, or one twice",
            found.misplaced, found.detailed
        );
        recorder.decide("entry-detailed", found.misplaced == 0, text);
    }
}

fn sequence_pages(found: &Probe, recorder: &mut Recorder) {
    let pages = found.detailed - found.misplaced;
    if pages == 0 {
        return;
    }
    match found.sequence_checksum {
        Some(sum) => {
            let text = format!("of {pages} pages {} have no {sum}", found.sequence_failures);
            recorder.decide("sequence-header", found.sequence_failures == 0, text);
        }
        None => {
            recorder.contradict("sequence-header", format!("none of them holds on {pages} pages"))
        }
    }
}
