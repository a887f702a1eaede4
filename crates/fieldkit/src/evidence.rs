//! The evidence for and against each fact.

use vhdx_rct::rct::{self, Fact};
use vhdx_rct::vhd_set;

/// The maximum number of sentences kept for one fact and one outcome; more are only counted.
const MAX_KEPT: usize = 8;

/// The verdict of samples on a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Verdict {
    /// No evidence was found.
    Open,
    /// All evidence agrees with the fact.
    Confirmed,
    /// Some evidence disagrees with the fact.
    Contradicted,
}

/// The evidence of one file or answer for a fact.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Evidence {
    /// The verdict that it supports; [`Verdict::Open`] for a remark that does not decide.
    pub verdict: Verdict,
    /// True if a backup that rests on the fact could miss a change. Otherwise more than needed is
    /// reported, or a question is refused.
    pub grave: bool,
    /// A sentence with the file and the number.
    pub text: String,
}

/// A fact with all evidence of a sample.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct FactReport {
    /// `rct` or `vhds`.
    pub format: &'static str,
    /// The fact.
    #[serde(flatten)]
    pub fact: Fact,
    /// The outcome: one contradiction outweighs any confirmation.
    pub verdict: Verdict,
    /// The evidence, at most 8 sentences of each kind.
    pub evidence: Vec<Evidence>,
    /// The number of sentences left out.
    pub more: usize,
}

impl FactReport {
    /// Returns true if a contradiction means that a backup could miss a change.
    #[must_use]
    pub fn is_grave(&self) -> bool {
        self.evidence.iter().any(|evidence| evidence.grave)
    }
}

pub(crate) struct FactReports(Vec<FactReport>);

impl FactReports {
    pub fn new() -> Self {
        let all = rct::FACTS.iter().map(|fact| ("rct", fact));
        let all = all.chain(vhd_set::FACTS.iter().map(|fact| ("vhds", fact)));
        let (verdict, more) = (Verdict::Open, 0);
        let report = |(format, &fact)| FactReport { format, fact, verdict, evidence: vec![], more };
        FactReports(all.map(report).collect())
    }

    pub fn facts(self) -> Vec<FactReport> {
        self.0
    }

    /// Returns a recorder for facts of one format, about the file or answer at `place`.
    pub fn recorder<'a>(&'a mut self, format: &'static str, place: &'a str) -> Recorder<'a> {
        Recorder { reports: self, format, place }
    }
}

/// Records evidence about one file or answer.
pub(crate) struct Recorder<'a> {
    reports: &'a mut FactReports,
    format: &'static str,
    place: &'a str,
}

impl Recorder<'_> {
    pub fn confirm(&mut self, fact: &str, text: impl Into<String>) {
        self.add(fact, Verdict::Confirmed, false, text.into());
    }

    /// Records a contradiction that only costs more work, or a refusal.
    pub fn contradict(&mut self, fact: &str, text: impl Into<String>) {
        self.add(fact, Verdict::Contradicted, false, text.into());
    }

    /// Records a contradiction because of which a backup could miss a change.
    pub fn contradict_gravely(&mut self, fact: &str, text: impl Into<String>) {
        self.add(fact, Verdict::Contradicted, true, text.into());
    }

    pub fn remark(&mut self, fact: &str, text: impl Into<String>) {
        self.add(fact, Verdict::Open, false, text.into());
    }

    /// Confirms the fact if it holds, otherwise contradicts it; `text` describes the finding.
    pub fn decide(&mut self, fact: &str, holds: bool, text: impl Into<String>) {
        let verdict = if holds { Verdict::Confirmed } else { Verdict::Contradicted };
        self.add(fact, verdict, false, text.into());
    }

    fn add(&mut self, fact: &str, verdict: Verdict, grave: bool, text: String) {
        let mut reports = self.reports.0.iter_mut();
        let report =
            reports.find(|report| report.format == self.format && report.fact.name == fact);
        debug_assert!(report.is_some(), "{} has no fact {fact}", self.format);
        let Some(report) = report else { return };
        report.verdict = report.verdict.max(verdict);
        let is_alike = |other: &&Evidence| other.verdict == verdict && other.grave == grave;
        if report.evidence.iter().filter(is_alike).count() >= MAX_KEPT {
            report.more += 1;
        } else {
            let text = format!("{}: {text}", self.place);
            report.evidence.push(Evidence { verdict, grave, text });
        }
    }
}
