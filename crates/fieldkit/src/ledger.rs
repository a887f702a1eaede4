//! For and against each fact.

use vhdx_rct::rct::{self, Fact};
use vhdx_rct::vhd_set;

/// Sentences that are kept of one fact and one outcome; after them they are only counted.
const MAX_KEPT: usize = 8;

/// The verdict of samples on a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Verdict {
    /// They have no evidence.
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
    /// Which way it points; [`Verdict::Open`] for a remark that does not decide.
    pub verdict: Verdict,
    /// Whether a backup that rests on the fact could miss something. Else more than needed is
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
    /// How many more sentences there were.
    pub more: usize,
}

impl FactReport {
    /// Returns whether there is a contradiction because of which a backup could miss something.
    #[must_use]
    pub fn is_grave(&self) -> bool {
        self.evidence.iter().any(|evidence| evidence.grave)
    }
}

pub(crate) struct Ledger(Vec<FactReport>);

impl Ledger {
    pub fn new() -> Self {
        let all = rct::FACTS.iter().map(|fact| ("rct", fact));
        let all = all.chain(vhd_set::FACTS.iter().map(|fact| ("vhds", fact)));
        let report = |(format, &fact)| FactReport {
            format,
            fact,
            verdict: Verdict::Open,
            evidence: Vec::new(),
            more: 0,
        };
        Ledger(all.map(report).collect())
    }

    pub fn facts(self) -> Vec<FactReport> {
        self.0
    }

    /// The books of one format, with the file that they are about.
    pub fn about<'a>(&'a mut self, format: &'static str, place: &'a str) -> Entries<'a> {
        Entries { ledger: self, format, place }
    }
}

/// Where evidence about one file is written down.
pub(crate) struct Entries<'a> {
    ledger: &'a mut Ledger,
    format: &'static str,
    place: &'a str,
}

impl Entries<'_> {
    pub fn confirm(&mut self, fact: &str, text: String) {
        self.add(fact, Verdict::Confirmed, false, text);
    }

    /// Something that only costs more work, or a refusal.
    pub fn contradict(&mut self, fact: &str, text: String) {
        self.add(fact, Verdict::Contradicted, false, text);
    }

    /// Something because of which a backup could miss a change.
    pub fn contradict_gravely(&mut self, fact: &str, text: String) {
        self.add(fact, Verdict::Contradicted, true, text);
    }

    pub fn remark(&mut self, fact: &str, text: String) {
        self.add(fact, Verdict::Open, false, text);
    }

    /// Confirms the fact if it holds, else contradicts it; `text` describes the finding.
    pub fn hold(&mut self, fact: &str, holds: bool, text: String) {
        let verdict = if holds { Verdict::Confirmed } else { Verdict::Contradicted };
        self.add(fact, verdict, false, text);
    }

    fn add(&mut self, fact: &str, verdict: Verdict, grave: bool, text: String) {
        let report = self
            .ledger
            .0
            .iter_mut()
            .find(|report| report.format == self.format && report.fact.name == fact);
        debug_assert!(report.is_some(), "{} has no fact {fact}", self.format);
        let Some(report) = report else { return };
        report.verdict = report.verdict.max(verdict);
        let alike = |other: &&Evidence| other.verdict == verdict && other.grave == grave;
        if report.evidence.iter().filter(alike).count() >= MAX_KEPT {
            report.more += 1;
            return;
        }
        let text = format!("{}: {text}", self.place);
        report.evidence.push(Evidence { verdict, grave, text });
    }
}
