//! Compares a `.vhds` file and the snapshots taken with the facts.

use crate::error::Result;
use crate::evidence::Recorder;
use crate::probe::vhds::probe;
use crate::sample::Case;
use std::path::Path;
use vhdx_rct::source::Storage;
use vhdx_rct::vhd_set::VhdSet;

pub(crate) fn check(case: &Case, path: &Path, recorder: &mut Recorder) -> Result<()> {
    let found = probe(&case.file(path)?)?;
    let begins = if found.signed { "begins" } else { "does not begin" };
    recorder.decide("file-signature", found.signed, format!("it {begins} with the signature"));
    let valid: Vec<_> =
        found.headers.iter().filter(|copy| copy.signed && copy.checksum_holds).collect();
    let signed = found.headers.iter().filter(|copy| copy.signed).count();
    recorder.decide("headers", signed == 2, format!("{signed} of the two places are signed"));
    for copy in found.headers.iter().filter(|copy| copy.signed) {
        let text = format!("the copy at {:#x} has version {}", copy.offset, copy.version);
        recorder.decide("header-version", copy.version == 1, text);
        let holds = if copy.checksum_holds { "holds" } else { "does not hold" };
        let text = format!("it {holds} on the copy at {:#x}", copy.offset);
        match copy.checksum_holds {
            true => recorder.confirm("header-checksum", text),
            false if valid.is_empty() => recorder.contradict("header-checksum", text),
            false => recorder.remark("header-checksum", text),
        }
    }
    if let [first, second] = valid[..] {
        let (a, b) = (first.sequence_number, second.sequence_number);
        let text = format!("the copies have {a} and {b}");
        match a == b {
            true => recorder.remark("header-sequence", text),
            false => recorder.decide("header-sequence", a.abs_diff(b) == 1, text),
        }
    }
    let disk = match case.open_disk(path) {
        Ok(disk) => disk,
        Err(error) => {
            recorder.contradict("active-name", format!("the set cannot be read: {error}"));
            return Ok(());
        }
    };
    let Some(set) = disk.vhd_set() else { return Ok(()) };
    let active = path.with_file_name(set.active_name());
    let there = case.storage.canonicalize(&active).is_ok();
    let name = set.active_name().escape_debug();
    let is = if there { "is" } else { "is not" };
    recorder.decide("active-name", there, format!("{name} {is} beside it"));
    records(case, set, recorder);
    Ok(())
}

fn records(case: &Case, set: &VhdSet, recorder: &mut Recorder) {
    let taken = case.entry.events.iter().filter(|event| event.kind == "snapshot").count();
    let seen = match set.unknown_records() {
        [] => "nothing that is unknown".to_owned(),
        some => some.join("; "),
    };
    let text = format!("{taken} snapshots were taken, and it has {seen}");
    recorder.decide("records", (taken > 0) != set.unknown_records().is_empty(), text);
}
