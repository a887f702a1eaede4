//! Field samples: files of real Hyper-V hosts, packed without payload, with what the host
//! answered, held against every fact that this crate's reading of `.rct` and `.vhds` rests on.
//!
//! `testdata/hyper-v/collect.ps1` makes a sample. [`check`] says of each fact of
//! [`rct::FACTS`](crate::rct::FACTS) and [`vhd_set::FACTS`](crate::vhd_set::FACTS) whether the
//! sample confirms or contradicts it, or has nothing to say:
//!
//! - an answer that leaves out a range of the host's, or something that was written after the id
//!   was seen, is a [grave](Evidence::grave) contradiction: a backup could miss it;
//! - an answer that has more than the host's contradicts only that it is exact;
//! - a number in a file that is not what the fact says contradicts it.
//!
//!
#![doc = include_str!("formats.md")]

mod answers;
mod compare;
mod ledger;
mod manifest;
mod pack;
mod sample;
mod set;
mod table;

pub use ledger::{Evidence, FactReport, Verdict};
pub use manifest::{Origin, SCHEMA};
pub use sample::{Case, Sample};

use crate::error::{Error, ErrorKind, Result};
use crate::rct::{Probe, probe};
use ledger::Ledger;
use std::path::{Path, PathBuf};

/// What a sample says of every fact.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct SampleReport {
    /// Where the sample lies.
    pub folder: PathBuf,
    /// Who made it: a hand-made one is no evidence.
    pub origin: Origin,
    /// Which Windows it says to be from.
    pub windows: String,
    /// How many cases it has, and how many answers of the host.
    pub cases: usize,
    /// How many answers of the host, refusals not counted.
    pub answers: usize,
    /// Steps that failed on the host.
    pub failed_steps: Vec<String>,
    /// Every fact, those of `.rct` first.
    pub facts: Vec<FactReport>,
}

impl SampleReport {
    /// How many facts have this outcome.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.facts.iter().filter(|fact| fact.verdict == verdict).count()
    }
}

/// Checks the sample in a folder, or each of those in it.
///
/// # Errors
/// As [`Sample::open`], and where a file of a sample cannot be read; [`ErrorKind::FileNotFound`]
/// where there is no sample.
pub fn check(folder: impl AsRef<Path>) -> std::result::Result<Vec<SampleReport>, Error> {
    let found = Sample::find(&folder)?;
    if found.is_empty() {
        let message = "no sample: neither the folder nor one in it has a manifest.json; unpack the archive that \
                       testdata/hyper-v/collect.ps1 made, and name its folder";
        return Err(Error::new(ErrorKind::FileNotFound, message).in_file(folder.as_ref()));
    }
    found.iter().map(|folder| check_sample(&Sample::open(folder)?)).collect()
}

fn check_sample(sample: &Sample) -> Result<SampleReport> {
    let mut ledger = Ledger::new();
    let mut answers = 0;
    for case in sample.cases() {
        check_case(case, sample.is_whole(), &mut ledger)?;
        answers += case.entry.answers.iter().filter(|answer| answer.error.is_none()).count();
    }
    Ok(SampleReport {
        folder: sample.folder().to_owned(),
        origin: sample.origin(),
        windows: sample.windows().to_owned(),
        cases: sample.cases().len(),
        answers,
        failed_steps: sample.failed_steps().map(str::to_owned).collect(),
        facts: ledger.facts(),
    })
}

fn check_case(case: &Case, is_whole: bool, ledger: &mut Ledger) -> Result<()> {
    let mut tables: Vec<(String, Probe)> = Vec::new();
    for (name, path) in case.files() {
        let place = format!("{}/{name}", case.name());
        if ends_with(name, ".rct") {
            let found = probe(&case.reader(&path)?)?;
            let mut book = ledger.about("rct", &place);
            let disk = path.with_file_name(&name[..name.len() - ".rct".len()]);
            match case.vhdx(&disk) {
                Ok(disk_file) => {
                    book.confirm("names", "it lies beside its disk".into());
                    let tracked = table::Tracked {
                        disk_size: disk_file.virtual_size(),
                        closed_cleanly: disk_file.closed_cleanly(),
                        is_asked: disk == case.disk(),
                        case: &case.entry,
                    };
                    table::judge(&found, &tracked, &mut book);
                }
                Err(error) if error.kind() == ErrorKind::FileNotFound => {
                    let text = "no disk of its name lies beside it".into();
                    // Unless the disk could not be packed.
                    if is_whole {
                        book.contradict("names", text)
                    } else {
                        book.remark("names", text)
                    }
                }
                Err(error) => return Err(error),
            }
            tables.push((name.to_owned(), found));
        } else if ends_with(name, ".vhds") {
            set::judge(case, &path, &mut ledger.about("vhds", &place))?;
        }
    }
    let tracked = case.entry.events.iter().any(|event| event.kind == "tracked");
    if tracked && tables.is_empty() && is_whole {
        let text = "tracking was turned on, and no .rct lies beside any disk";
        ledger.about("rct", case.name()).contradict("names", text.into());
    }
    if case.files().any(|(_, path)| path == case.disk()) {
        answers::judge(case, &tables, ledger)?;
    }
    Ok(())
}

fn ends_with(name: &str, extension: &str) -> bool {
    name.len() > extension.len() && name.to_ascii_lowercase().ends_with(extension)
}
