//! What the host answered, and what was written, against what this crate answers from the
//! packed files.

use crate::compare::{coalesced, describe, minus, until};
use crate::error::Result;
use crate::ledger::{Entries, Ledger};
use crate::manifest::{Answer, Event, printable};
use crate::probe::rct::Probe;
use crate::sample::Case;
use std::io;
use vhdx_rct::{Baseline, ByteRange, Error, ErrorKind};

/// Facts that every answer since an RCT id rests on: which of them is wrong where an answer
/// is, the answer alone does not say.
const GROUP: [&str; 3] = ["changed", "unit-size", "resolve"];

/// Holds every answer of a case against this crate's own.
pub(crate) fn judge(case: &Case, tables: &[(String, Probe)], ledger: &mut Ledger) -> Result<()> {
    for answer in &case.entry.answers {
        let target = answer.target.as_ref().map(|id| format!(" to {id}")).unwrap_or_default();
        let place = format!("{}: {} since {}{target}", case.name(), answer.method, answer.since);
        let place = printable(&place);
        let format = if is_rct_id(&answer.since) { "rct" } else { "vhds" };
        let mut book = ledger.about(format, &place);
        let Some(since) = baseline(answer, &mut book) else { continue };
        let end = match answer.error {
            Some(_) => case.entry.size,
            None => answer.processed.min(case.entry.size),
        };
        let ours = match ours(case, &since, answer, end) {
            Ok(ours) => ours,
            // What was not packed, or cannot be read, is the sample's fault.
            Err(error) if error.io_kind() == Some(io::ErrorKind::Other) => return Err(error.into()),
            Err(error) => {
                refused(&error, answer, format, &mut book);
                continue;
            }
        };
        let held = Held { case, tables, answer, since: &since, end, ours: &ours };
        held.against_the_host(&mut book);
        held.against_what_was_written(&mut book);
    }
    Ok(())
}

/// Whether a text is meant to be an RCT id, well-formed or not.
fn is_rct_id(text: &str) -> bool {
    text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("rctX"))
}

/// The baseline that the host was asked with; an id that reads otherwise than expected is
/// evidence too.
fn baseline(answer: &Answer, book: &mut Entries) -> Option<Baseline> {
    let parsed = answer.since.parse::<Baseline>();
    if is_rct_id(&answer.since) {
        let same = parsed
            .as_ref()
            .is_ok_and(|since| since.to_string().eq_ignore_ascii_case(&answer.since));
        book.hold("id-text", same, "the host's id, read and written again".into());
    }
    parsed.ok().filter(|since| matches!(since, Baseline::Rct(_) | Baseline::Snapshot(_)))
}

fn ours(case: &Case, since: &Baseline, answer: &Answer, end: u64) -> Result<Vec<ByteRange>, Error> {
    let mut options = case.options();
    if let Some(target) = &answer.target {
        options.target(target.parse()?);
    }
    let disk = options.open(case.disk())?;
    Ok(disk.changes(since.clone()).region(0..end).collect()?.ranges)
}

fn refused(error: &Error, answer: &Answer, format: &str, book: &mut Entries) {
    let fact = if format == "rct" { "resolve" } else { "changes" };
    match &answer.error {
        Some(host) => {
            book.remark(fact, format!("both refuse: the host says {host}; here: {error}"))
        }
        None if error.kind() == ErrorKind::UnknownId => {
            book.contradict(fact, format!("the host answers, and here it is refused: {error}"));
        }
        None => book.remark(fact, format!("the host answers, and here it is refused: {error}")),
    }
}

/// Our own answer, with everything to hold it against.
struct Held<'a> {
    case: &'a Case,
    tables: &'a [(String, Probe)],
    answer: &'a Answer,
    since: &'a Baseline,
    end: u64,
    ours: &'a [ByteRange],
}

impl Held<'_> {
    fn group(&self) -> Vec<&'static str> {
        match self.since {
            Baseline::Rct(_) if self.knowing() > 1 => [&GROUP[..], &["preserved"]].concat(),
            Baseline::Rct(_) => GROUP.to_vec(),
            _ => vec!["changes"],
        }
    }

    /// How many tables of the case know the id.
    fn knowing(&self) -> usize {
        let Baseline::Rct(id) = self.since else { return 0 };
        let knows = |probe: &Probe| {
            probe
                .current()
                .and_then(|copy| copy.parsed.as_ref())
                .is_some_and(|header| header.resolves(*id))
        };
        self.tables.iter().filter(|(_, probe)| knows(probe)).count()
    }

    fn against_the_host(&self, book: &mut Entries) {
        if self.answer.error.is_some() {
            return;
        }
        let host = until(&coalesced(self.answer.ranges.clone()), self.end);
        let missing = minus(&host, self.ours);
        let excess = minus(self.ours, &host);
        let group = self.group();
        let one_of = if group.len() > 1 {
            format!("; the answer rests on {} together", group.join(", "))
        } else {
            String::new()
        };
        if !missing.is_empty() {
            let text = format!(
                "here {} are not reported, which the host does{one_of}",
                describe(&missing)
            );
            group.iter().for_each(|fact| book.contradict_gravely(fact, text.clone()));
        }
        if !excess.is_empty() {
            let text = format!(
                "here {} are reported, which the host does not: nothing is lost, but the answer is not exact",
                describe(&excess)
            );
            // Which ids a table knows is not in doubt then.
            let exact = group.iter().filter(|fact| **fact != "resolve");
            exact.for_each(|fact| book.contradict(fact, format!("{text}{one_of}")));
        }
        if missing.is_empty() && excess.is_empty() {
            self.exact(&host, book);
        }
    }

    /// An answer that is the host's is evidence for what it rests on; but that nothing changed,
    /// or everything, is soon said.
    fn exact(&self, host: &[ByteRange], book: &mut Entries) {
        let whole = matches!(host, [all] if all.length >= self.end);
        let text = format!("the answer is the host's: {}", describe(host));
        if host.is_empty() || whole {
            let fact = if matches!(self.since, Baseline::Rct(_)) { "resolve" } else { "changes" };
            return book.confirm(fact, text);
        }
        let mut facts = self.group();
        if matches!(self.since, Baseline::Rct(_)) {
            let any = |what: fn(&Probe) -> bool| self.tables.iter().any(|(_, probe)| what(probe));
            facts.extend(any(|probe| probe.uniform > 0).then_some("entry-uniform"));
            facts.extend(any(|probe| probe.detailed > 0).then_some("sequence-page"));
            facts.extend(any(|probe| !probe.first_page_zero).then_some("first-page"));
        }
        facts.iter().for_each(|fact| book.confirm(fact, text.clone()));
    }

    /// What was written after the id was first seen must be in the answer.
    fn against_what_was_written(&self, book: &mut Entries) {
        let is_since = |event: &Event| {
            event.id.as_ref().is_some_and(|id| id.eq_ignore_ascii_case(&self.answer.since))
        };
        let events = &self.case.entry.events;
        // Up to a target, something else may have been written.
        let Some(seen) = events.iter().position(is_since).filter(|_| self.answer.target.is_none())
        else {
            return;
        };
        let written = events[seen..].iter().filter(|event| event.kind == "write");
        let written = until(&coalesced(written.filter_map(|event| event.range)), self.end);
        let missing = minus(&written, self.ours);
        let host = coalesced(self.answer.ranges.clone());
        let unseen = minus(&written, &host);
        let clean = self.case.closed_cleanly();
        let group = self.group();
        let fact = group[0];
        if !missing.is_empty() {
            let text = format!(
                "{} were written after the id was seen and are not reported here",
                describe(&missing)
            );
            match clean {
                // A table that lags behind is what is expected then.
                false if fact == "changed" => book.confirm("lazy", text),
                _ => book.contradict_gravely(fact, text),
            }
        } else if !written.is_empty() {
            book.remark(
                fact,
                format!(
                    "{} were written after the id was seen, and all are reported",
                    describe(&written)
                ),
            );
            if !clean && fact == "changed" {
                let text = "not closed cleanly, and yet nothing that was written is missing";
                book.remark("lazy", text.into());
            }
        }
        if self.answer.error.is_none() && !unseen.is_empty() {
            let text = format!(
                "{} were written after the id was seen, and the host does not report them: the id means \
                 something else than is thought",
                describe(&unseen)
            );
            book.contradict(fact, text);
        }
    }
}
