//! Compares this crate's answers from the packed files with those of the host, and with what was
//! written.

use crate::compare::{coalesced, describe, minus, until};
use crate::error::Result;
use crate::evidence::{FactReports, Recorder};
use crate::manifest::{Answer, Event, printable};
use crate::probe::rct::Probe;
use crate::sample::Case;
use std::io;
use vhdx_rct::{Baseline, ByteRange, Error, ErrorKind};

/// The facts that every answer since an RCT id rests on. A wrong answer alone does not show which
/// of them is wrong.
const GROUP: [&str; 3] = ["changed", "unit-size", "resolve"];

/// Compares every answer of a case with this crate's own.
pub(crate) fn check(
    case: &Case,
    tables: &[(String, Probe)],
    reports: &mut FactReports,
) -> Result<()> {
    for answer in &case.entry.answers {
        let target = answer.target.as_ref().map(|id| format!(" to {id}")).unwrap_or_default();
        let place = format!("{}: {} since {}{target}", case.name(), answer.method, answer.since);
        let place = printable(&place);
        let format = if is_rct_id(&answer.since) { "rct" } else { "vhds" };
        let mut recorder = reports.recorder(format, &place);
        let Some(since) = baseline(answer, &mut recorder) else { continue };
        let end = match answer.error {
            Some(_) => case.entry.size,
            None => answer.processed.min(case.entry.size),
        };
        match ours(case, &since, answer, end) {
            Ok(ours) => {
                let comparison =
                    Comparison { case, tables, answer, since: &since, end, ours: &ours };
                comparison.with_the_host(&mut recorder);
                comparison.with_what_was_written(&mut recorder);
            }
            // The sample lacks a part, or cannot be read.
            Err(error) if error.io_kind() == Some(io::ErrorKind::Other) => return Err(error.into()),
            Err(error) => refused(&error, answer, format, &mut recorder),
        }
    }
    Ok(())
}

/// Returns true if the text is meant to be an RCT id, well-formed or not.
fn is_rct_id(text: &str) -> bool {
    text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("rctX"))
}

/// Returns the baseline that the host was queried with. An id in an unexpected form is evidence
/// as well.
fn baseline(answer: &Answer, recorder: &mut Recorder) -> Option<Baseline> {
    let parsed = answer.since.parse::<Baseline>().ok();
    if is_rct_id(&answer.since) {
        let is_same = |since: &Baseline| since.to_string().eq_ignore_ascii_case(&answer.since);
        let text = "the host's id, parsed and formatted again";
        recorder.decide("id-text", parsed.as_ref().is_some_and(is_same), text);
    }
    parsed.filter(|since| matches!(since, Baseline::Rct(_) | Baseline::Snapshot(_)))
}

fn ours(case: &Case, since: &Baseline, answer: &Answer, end: u64) -> Result<Vec<ByteRange>, Error> {
    let mut options = case.options();
    if let Some(target) = &answer.target {
        options.target(target.parse()?);
    }
    let disk = options.open(case.disk())?;
    Ok(disk.changes(since.clone()).region(0..end).collect()?.ranges)
}

fn refused(error: &Error, answer: &Answer, format: &str, recorder: &mut Recorder) {
    let fact = if format == "rct" { "resolve" } else { "changes" };
    let Some(host) = &answer.error else {
        let text = format!("the host answers, this crate refuses: {error}");
        return match error.kind() {
            ErrorKind::UnknownId => recorder.contradict(fact, text),
            _ => recorder.remark(fact, text),
        };
    };
    recorder.remark(fact, format!("both refuse: the host with {host}; this crate with {error}"));
}

/// This crate's answer, and everything that it is compared with.
struct Comparison<'a> {
    case: &'a Case,
    tables: &'a [(String, Probe)],
    answer: &'a Answer,
    since: &'a Baseline,
    end: u64,
    ours: &'a [ByteRange],
}

impl Comparison<'_> {
    fn group(&self) -> Vec<&'static str> {
        match self.since {
            Baseline::Rct(_) if self.resolving_tables() > 1 => {
                [&GROUP[..], &["preserved"]].concat()
            }
            Baseline::Rct(_) => GROUP.to_vec(),
            _ => vec!["changes"],
        }
    }

    fn resolving_tables(&self) -> usize {
        let Baseline::Rct(id) = self.since else { return 0 };
        let resolves = |probe: &Probe| {
            let header = probe.current().and_then(|copy| copy.parsed.as_ref());
            header.is_some_and(|header| header.resolves(*id))
        };
        self.tables.iter().filter(|(_, probe)| resolves(probe)).count()
    }

    fn with_the_host(&self, recorder: &mut Recorder) {
        if self.answer.error.is_some() {
            return;
        }
        let host = until(&coalesced(self.answer.ranges.clone()), self.end);
        let (missing, excess) = (minus(&host, self.ours), minus(self.ours, &host));
        let group = self.group();
        let one_of = match group.len() {
            1 => String::new(),
            _ => format!("; the answer rests on {} together", group.join(", ")),
        };
        if !missing.is_empty() {
            let missing = describe(&missing);
            let text = format!("the host reports {missing}, which this crate does not{one_of}");
            group.iter().for_each(|fact| recorder.contradict_gravely(fact, text.clone()));
        }
        if !excess.is_empty() {
            let text = format!(
                "this crate reports {}, which the host does not: nothing is lost, but the answer is not exact{one_of}",
                describe(&excess)
            );
            // The ids that a table resolves are not in doubt then.
            let exact = group.iter().filter(|fact| **fact != "resolve");
            exact.for_each(|fact| recorder.contradict(fact, text.clone()));
        }
        if missing.is_empty() && excess.is_empty() {
            self.confirm_exact(&host, recorder);
        }
    }

    /// Records an answer that equals the host's as evidence for the facts that it rests on. An
    /// answer of nothing, or of everything, is weak evidence.
    fn confirm_exact(&self, host: &[ByteRange], recorder: &mut Recorder) {
        let is_rct = matches!(self.since, Baseline::Rct(_));
        let text = format!("the answer equals the host's: {}", describe(host));
        if host.is_empty() || matches!(host, [all] if all.length >= self.end) {
            return recorder.confirm(if is_rct { "resolve" } else { "changes" }, text);
        }
        let mut facts = self.group();
        if is_rct {
            let any = |what: fn(&Probe) -> bool| self.tables.iter().any(|(_, probe)| what(probe));
            facts.extend(any(|probe| probe.uniform > 0).then_some("entry-uniform"));
            facts.extend(any(|probe| probe.detailed > 0).then_some("sequence-page"));
            facts.extend(any(|probe| !probe.first_page_zero).then_some("first-page"));
        }
        facts.iter().for_each(|fact| recorder.confirm(fact, text.clone()));
    }

    /// Checks that the answer holds what was written after the id was first seen.
    fn with_what_was_written(&self, recorder: &mut Recorder) {
        let is_since = |event: &Event| {
            event.id.as_ref().is_some_and(|id| id.eq_ignore_ascii_case(&self.answer.since))
        };
        let events = &self.case.entry.events;
        // Writes up to a target are unknown.
        let Some(seen) = events.iter().position(is_since).filter(|_| self.answer.target.is_none())
        else {
            return;
        };
        let written = events[seen..].iter().filter(|event| event.kind == "write");
        let written = until(&coalesced(written.filter_map(|event| event.range)), self.end);
        let missing = minus(&written, self.ours);
        let unseen = minus(&written, &coalesced(self.answer.ranges.clone()));
        let fact = self.group()[0];
        let may_lag = fact == "changed" && !self.case.closed_cleanly();
        let after = |ranges: &[ByteRange]| {
            format!("{} were written after the id was seen", describe(ranges))
        };
        if !missing.is_empty() {
            let text = format!("{} and are not reported by this crate", after(&missing));
            match may_lag {
                true => recorder.confirm("lazy", text),
                false => recorder.contradict_gravely(fact, text),
            }
        } else if !written.is_empty() {
            recorder.remark(fact, format!("{}, and all are reported", after(&written)));
            if may_lag {
                recorder.remark("lazy", "not closed cleanly, and yet no write is missing");
            }
        }
        if self.answer.error.is_none() && !unseen.is_empty() {
            let text = format!(
                "{}, and the host does not report them: the id has another meaning than assumed",
                after(&unseen)
            );
            recorder.contradict(fact, text);
        }
    }
}
