//! Field samples: files of real Hyper-V hosts, packed without payload, with what the host
//! answered, compared with every fact that the reading of `.rct` and `.vhds` rests on.
//!
//! `collect.ps1` makes a sample. [`check`] reports of each fact of [`vhdx_rct::rct::FACTS`] and
//! [`vhdx_rct::vhd_set::FACTS`] whether the sample confirms or contradicts it, or has no evidence:
//!
//! - an answer that leaves out a range of the host's, or something that was written after the id
//!   was seen, is a [grave](Evidence::grave) contradiction: a backup could miss it;
//! - an answer that has more than the host's contradicts only that it is exact;
//! - a number in a file that differs from the fact contradicts it.
//!
#![doc = include_str!("formats.md")]
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod answers;
mod compare;
mod error;
mod ledger;
mod manifest;
mod pack;
mod probe;
mod sample;
mod set;
mod table;

pub use error::{Error, Result};
pub use ledger::{Evidence, FactReport, Verdict};
pub use manifest::{Origin, SCHEMA};
pub use sample::{Case, Sample};

use ledger::Ledger;
use probe::rct::{Probe, probe};
use std::path::{Path, PathBuf};
use vhdx_rct::ErrorKind;

/// The evidence of a sample for every fact.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct SampleReport {
    /// Where the sample lies.
    pub directory: PathBuf,
    /// Its origin: a hand-made sample is not evidence.
    pub origin: Origin,
    /// The Windows version that it claims.
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
    /// Returns how many facts have this outcome.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.facts.iter().filter(|fact| fact.verdict == verdict).count()
    }
}

/// Checks the sample in a directory, or each of those in it.
///
/// # Errors
/// As [`Sample::open`], and if a file of a sample cannot be read; [`Error::NoSample`] if there is
/// no sample.
pub fn check(directory: impl AsRef<Path>) -> Result<Vec<SampleReport>> {
    let found = Sample::find(&directory)?;
    if found.is_empty() {
        return Err(Error::NoSample(directory.as_ref().to_owned()));
    }
    found.iter().map(|directory| check_sample(&Sample::open(directory)?)).collect()
}

fn check_sample(sample: &Sample) -> Result<SampleReport> {
    let mut ledger = Ledger::new();
    let mut answers = 0;
    for case in sample.cases() {
        check_case(case, sample.is_whole(), &mut ledger)?;
        answers += case.entry.answers.iter().filter(|answer| answer.error.is_none()).count();
    }
    Ok(SampleReport {
        directory: sample.directory().to_owned(),
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
            let found = probe(&case.file(&path)?)?;
            let mut book = ledger.about("rct", &place);
            let disk = path.with_file_name(&name[..name.len() - ".rct".len()]);
            match case.open_disk(&disk) {
                Ok(disk_file) => {
                    book.confirm("names", "it lies beside its disk".into());
                    let tracked = table::Tracked {
                        disk_size: disk_file.identity().virtual_size,
                        closed_cleanly: disk_file.files()[0].closed_cleanly(),
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
                Err(error) => return Err(error.into()),
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
