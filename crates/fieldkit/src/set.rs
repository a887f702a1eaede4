//! Compares a `.vhds` file and the snapshots taken with the facts.

use crate::error::Result;
use crate::ledger::Entries;
use crate::probe::vhds::probe;
use crate::sample::Case;
use std::path::Path;
use vhdx_rct::source::Storage;
use vhdx_rct::vhd_set::VhdSet;

pub(crate) fn judge(case: &Case, path: &Path, book: &mut Entries) -> Result<()> {
    let found = probe(&case.file(path)?)?;
    let begins = if found.signed { "so" } else { "otherwise" };
    book.hold("file-signature", found.signed, format!("it begins {begins}"));
    let valid: Vec<_> =
        found.headers.iter().filter(|copy| copy.signed && copy.checksum_holds).collect();
    let signed = found.headers.iter().filter(|copy| copy.signed).count();
    book.hold("headers", signed == 2, format!("{signed} of the two places are signed"));
    for copy in found.headers.iter().filter(|copy| copy.signed) {
        let text = format!("the copy at {:#x} has version {}", copy.offset, copy.version);
        book.hold("header-version", copy.version == 1, text);
        let holds = if copy.checksum_holds { "holds" } else { "does not hold" };
        let text = format!("it {holds} on the copy at {:#x}", copy.offset);
        match copy.checksum_holds {
            true => book.confirm("header-checksum", text),
            false if valid.is_empty() => book.contradict("header-checksum", text),
            false => book.remark("header-checksum", text),
        }
    }
    if let [first, second] = valid[..] {
        let (a, b) = (first.sequence_number, second.sequence_number);
        let text = format!("the copies have {a} and {b}");
        match a == b {
            true => book.remark("header-sequence", text),
            false => book.hold("header-sequence", a.abs_diff(b) == 1, text),
        }
    }
    let disk = match case.open_disk(path) {
        Ok(disk) => disk,
        Err(error) => {
            book.contradict("active-name", format!("the set cannot be read: {error}"));
            return Ok(());
        }
    };
    let Some(set) = disk.vhd_set() else { return Ok(()) };
    let active = path.with_file_name(set.active_name());
    let there = case.storage.canonicalize(&active).is_ok();
    let name = set.active_name().escape_debug();
    let is = if there { "is" } else { "is not" };
    book.hold("active-name", there, format!("{name} {is} beside it"));
    records(case, set, book);
    Ok(())
}

fn records(case: &Case, set: &VhdSet, book: &mut Entries) {
    let taken = case.entry.events.iter().filter(|event| event.kind == "snapshot").count();
    let seen = match set.unknown_records() {
        [] => "nothing that is unknown".to_owned(),
        some => some.join("; "),
    };
    let text = format!("{taken} snapshots were taken, and it has {seen}");
    book.hold("records", (taken > 0) != set.unknown_records().is_empty(), text);
}
