//! Compares field samples, which hold files of real Hyper-V hosts without payload and the host's
//! answers, with every fact that the reading of `.rct` and `.vhds` rests on.
//!
//! `collect.ps1` makes a sample. [`check`] reports for each fact of [`vhdx_rct::rct::FACTS`] and
//! [`vhdx_rct::vhd_set::FACTS`] whether the sample confirms or contradicts it, or has no evidence:
//!
//! - an answer that leaves out a range of the host's answer, or a write after the id was seen, is
//!   a [grave](Evidence::grave) contradiction: a backup could miss changes;
//! - an answer that has more than the host's contradicts only that it is exact;
//! - a number in a file that differs from the fact contradicts it.
//!
#![doc = include_str!("formats.md")]
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod answers;
mod compare;
mod error;
mod evidence;
mod manifest;
mod pack;
mod probe;
mod sample;
mod set;
mod table;

pub use error::{Error, Result};
pub use evidence::{Evidence, FactReport, Verdict};
pub use manifest::{Origin, SCHEMA};
pub use sample::{Case, Sample};

use evidence::FactReports;
use probe::rct::{Probe, probe};
use std::path::{Path, PathBuf};
use vhdx_rct::ErrorKind;

/// The evidence of a sample for every fact.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct SampleReport {
    /// The directory of the sample.
    pub directory: PathBuf,
    /// Its origin: a hand-made sample is not evidence.
    pub origin: Origin,
    /// The Windows version that it claims.
    pub windows: String,
    /// The number of cases.
    pub cases: usize,
    /// The number of answers of the host, without refusals.
    pub answers: usize,
    /// Steps that failed on the host.
    pub failed_steps: Vec<String>,
    /// Every fact, those of `.rct` first.
    pub facts: Vec<FactReport>,
}

impl SampleReport {
    /// Returns the number of facts with this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.facts.iter().filter(|fact| fact.verdict == verdict).count()
    }
}

/// Checks the sample in a directory, or all samples in its subdirectories.
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
    let mut reports = FactReports::new();
    let mut answers = 0;
    for case in sample.cases() {
        check_case(case, sample.is_whole(), &mut reports)?;
        answers += case.entry.answers.iter().filter(|answer| answer.error.is_none()).count();
    }
    Ok(SampleReport {
        directory: sample.directory().to_owned(),
        origin: sample.origin(),
        windows: sample.windows().to_owned(),
        cases: sample.cases().len(),
        answers,
        failed_steps: sample.failed_steps().map(str::to_owned).collect(),
        facts: reports.facts(),
    })
}

fn check_case(case: &Case, is_whole: bool, reports: &mut FactReports) -> Result<()> {
    let mut tables: Vec<(String, Probe)> = Vec::new();
    for (name, path) in case.files() {
        let place = format!("{}/{name}", case.name());
        if ends_with(name, ".rct") {
            let found = probe(&case.file(&path)?)?;
            let mut recorder = reports.recorder("rct", &place);
            let disk = path.with_file_name(&name[..name.len() - ".rct".len()]);
            match case.open_disk(&disk) {
                Ok(disk_file) => {
                    recorder.confirm("names", "it lies beside its disk");
                    let tracked = table::Tracked {
                        disk_size: disk_file.identity().virtual_size,
                        closed_cleanly: disk_file.files()[0].closed_cleanly(),
                        is_asked: disk == case.disk(),
                        case: &case.entry,
                    };
                    table::check(&found, &tracked, &mut recorder);
                }
                Err(error) if error.kind() == ErrorKind::FileNotFound => {
                    let text = "no disk of its name lies beside it";
                    // The disk may exist on the host if it could not be packed.
                    match is_whole {
                        true => recorder.contradict("names", text),
                        false => recorder.remark("names", text),
                    }
                }
                Err(error) => return Err(error.into()),
            }
            tables.push((name.to_owned(), found));
        } else if ends_with(name, ".vhds") {
            set::check(case, &path, &mut reports.recorder("vhds", &place))?;
        }
    }
    let tracked = case.entry.events.iter().any(|event| event.kind == "tracked");
    if tracked && tables.is_empty() && is_whole {
        let text = "tracking was turned on, and no .rct lies beside any disk";
        reports.recorder("rct", case.name()).contradict("names", text);
    }
    if case.files().any(|(_, path)| path == case.disk()) {
        answers::check(case, &tables, reports)?;
    }
    Ok(())
}

fn ends_with(name: &str, extension: &str) -> bool {
    name.len() > extension.len() && name.to_ascii_lowercase().ends_with(extension)
}
