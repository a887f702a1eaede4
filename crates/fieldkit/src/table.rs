//! What an `.rct` file shows of the facts by itself, and beside the ids that the host reported.

use crate::ledger::Entries;
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

pub(crate) fn judge(found: &Probe, tracked: &Tracked, book: &mut Entries) {
    let pages = format!("it has {} bytes", found.length);
    book.hold("pages", found.length.is_multiple_of(PAGE) && found.length > 0, pages);
    if found.first_page_zero {
        book.confirm("first-page", "its first page is all zero".into());
    }
    if found.headers.len() < 2 {
        let text = "it ends before two header copies do".into();
        return book.contradict("header-places", text);
    }
    checksums(found, tracked, book);
    signatures(found, book);
    let Some(current) = found.current() else { return };
    let Some(header) = &current.parsed else { return };
    size(current, tracked, book);
    history(header, book);
    if tracked.is_asked && tracked.closed_cleanly {
        ids(found, current, tracked, book);
    }
    offset_table(found, tracked, book);
    sequence_pages(found, book);
}

/// Checks that header copies lie at the expected offsets, regardless of their checksums.
fn checksums(found: &Probe, tracked: &Tracked, book: &mut Entries) {
    let plausible =
        |copy: &&HeaderCopy| copy.units == units(tracked.disk_size) && !copy.id.branch.is_nil();
    let seen: Vec<&HeaderCopy> = found.headers.iter().filter(plausible).collect();
    let places: Vec<String> = seen.iter().map(|copy| format!("{:#x}", copy.offset)).collect();
    if seen.is_empty() {
        let text = format!(
            "neither place holds a number of units for {} bytes and a branch",
            tracked.disk_size
        );
        book.contradict("header-places", text);
    } else {
        let text = format!("copies with the disk's size in units lie at {}", places.join(" and "));
        book.confirm("header-places", text);
    }
    for copy in seen {
        match copy.checksum {
            Some(sum) => {
                let text = format!("the copy at {:#x} has its {sum}", copy.offset);
                book.confirm("header-checksum", text);
            }
            // One torn copy is what the other one is for.
            None if found.headers.iter().any(|other| other.checksum.is_some()) => {
                let text =
                    format!("none holds on the copy at {:#x}, and one on the other", copy.offset);
                book.remark("header-checksum", text);
            }
            None => {
                let text = format!("none of them holds on the copy at {:#x}", copy.offset);
                book.contradict("header-checksum", text);
            }
        }
    }
}

fn signatures(found: &Probe, book: &mut Entries) {
    let valid: Vec<&HeaderCopy> =
        found.headers.iter().filter(|copy| copy.parsed.is_some()).collect();
    for copy in &valid {
        let count = copy.branch_count;
        book.confirm("header-branches", format!("the copy at {:#x} counts {count}", copy.offset));
        match copy.new_id {
            0 => book.remark("header-new-id", format!("it is 0 at {:#x}", copy.offset)),
            1 => book.confirm("header-new-id", format!("it is 1 at {:#x}", copy.offset)),
            other => {
                book.contradict("header-new-id", format!("it is {other} at {:#x}", copy.offset))
            }
        }
    }
    for copy in found.headers.iter().filter(|copy| copy.checksum.is_some() && copy.parsed.is_none())
    {
        let text = format!(
            "the copy at {:#x} matches its checksum and counts {}",
            copy.offset, copy.branch_count
        );
        book.contradict("header-branches", text);
    }
    if let [first, rest @ ..] = &valid[..] {
        let same =
            first.signature != 0 && rest.iter().all(|copy| copy.signature == first.signature);
        let seen: Vec<String> =
            valid.iter().map(|copy| format!("{:#010x}", copy.signature)).collect();
        book.hold("header-signature", same, format!("valid copies begin {}", seen.join(" and ")));
    }
}

fn size(current: &HeaderCopy, tracked: &Tracked, book: &mut Entries) {
    let size = tracked.disk_size;
    let text = format!(
        "{} units of {UNIT} bytes; a disk of {size} bytes has {}",
        current.units,
        units(size)
    );
    for fact in ["header-units", "unit-size"] {
        book.hold(fact, current.units == units(size), text.clone());
    }
}

fn history(header: &TableHeader, book: &mut Entries) {
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
        book.hold("branch-size", ends_here, text);
    } else {
        let text = "one branch, the current one: that entries have 24 bytes shows with two".into();
        book.remark("branch-size", text);
    }
    let ascending = header.branches.is_sorted_by_key(|branch| branch.first);
    let text = format!(
        "{count} branches begin with {} to {}, and the current number is {}",
        first.first, last.first, header.current.number
    );
    if count > 1 || last.first > header.current.number {
        book.hold("branch-fields", ascending && last.first <= header.current.number, text.clone());
    } else {
        book.remark("branch-fields", text.clone());
    }
    // One branch that begins at 0 fits nearly any reading.
    match header.is_consistent() {
        true if count == 1 => book.remark("consistent-history", text),
        is_consistent => book.hold("consistent-history", is_consistent, text),
    }
}

/// The newest id by the header, and the newest that the host reported.
fn ids(found: &Probe, current: &HeaderCopy, tracked: &Tracked, book: &mut Entries) {
    let told =
        tracked.case.events.iter().rev().find_map(|event| event.id.as_ref()?.parse::<RctId>().ok());
    let Some(told) = told else { return };
    let text = format!("the header's id is {}, the host's newest {told}", current.id);
    book.hold("header-branch", current.id.branch == told.branch, text.clone());
    book.hold("header-number", current.id.number == told.number, text);
    let other =
        found.headers.iter().find(|copy| copy.parsed.is_some() && copy.offset != current.offset);
    match other {
        Some(other) if other.counter != current.counter && other.id != current.id => {
            let text = format!(
                "counter {} goes with {}, counter {} with {}, and the host's newest is {told}",
                current.counter, current.id, other.counter, other.id
            );
            book.hold("header-counter", current.id == told, text);
        }
        _ => {
            let text = "both valid copies have the same id, or one copy is valid";
            book.remark("header-counter", text.into());
        }
    }
}

fn offset_table(found: &Probe, tracked: &Tracked, book: &mut Entries) {
    let (pages, signed) = (found.pages, found.signed);
    let text = format!("{signed} of {pages} pages from 0x9000 on are signed \"offp\"");
    book.hold("offset-table", signed > 0, text.clone());
    let length = (9 + pages) * PAGE;
    let text = format!(
        "{text}, the page after them is {}; a disk of {} bytes, {pages} offset and {} sequence pages, and the \
         file has {} bytes, at least {length} of them for the former",
        if found.more { "too" } else { "not" },
        tracked.disk_size,
        found.detailed,
        found.length
    );
    book.hold("offset-pages", signed == pages && !found.more && found.length >= length, text);
    if signed > 0 {
        let text = format!(
            "of {signed} signed pages {} match their checksum and {} have their index",
            found.checked, found.indexed
        );
        book.hold("offset-page", found.checked >= signed && found.indexed >= signed, text);
    }
    // Writes carry the number after that of the id.
    let most = found.current().map_or(0, |copy| copy.id.number).saturating_add(1);
    if found.uniform > 0 && found.greatest > most {
        let text = format!("an entry is {}, and numbers should go up to {most}", found.greatest);
        book.contradict("entry-uniform", text);
    }
    if found.detailed > 0 {
        let text = format!(
            "{} of {} negative entries name a page outside the file, or one twice",
            found.misplaced, found.detailed
        );
        book.hold("entry-detailed", found.misplaced == 0, text);
    }
}

fn sequence_pages(found: &Probe, book: &mut Entries) {
    let pages = found.detailed - found.misplaced;
    if pages == 0 {
        return;
    }
    match found.sequence_checksum {
        Some(sum) => {
            let text = format!("of {pages} pages {} have no {sum}", found.sequence_failures);
            book.hold("sequence-header", found.sequence_failures == 0, text);
        }
        None => book.contradict("sequence-header", format!("none of them holds on {pages} pages")),
    }
}
