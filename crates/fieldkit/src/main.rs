//! `fieldkit check DIR` checks every fact against the samples in a directory.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use vhdx_rct_fieldkit::{FactReport, Origin, SampleReport, Verdict, check};

const USAGE: &str = "usage: fieldkit check DIR [--format text|json]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (directory, is_json) = match arguments[..] {
        ["check", directory] | ["check", directory, "--format", "text"] => (directory, false),
        ["check", directory, "--format", "json"] => (directory, true),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(Path::new(directory), is_json) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let text: String = error.to_string().chars().map(printable).collect();
            eprintln!("fieldkit: {text}");
            ExitCode::FAILURE
        }
    }
}

/// A file name of a sample must not reach a terminal as it is.
fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// Prints the reports; returns whether no fact is contradicted.
fn run(directory: &Path, is_json: bool) -> Result<bool, Box<dyn std::error::Error>> {
    let reports = check(directory)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    if is_json {
        serde_json::to_writer_pretty(&mut out, &reports)?;
        writeln!(out)?;
    } else {
        reports.iter().try_for_each(|report| print(&mut out, report))?;
    }
    out.flush()?;
    Ok(reports.iter().all(|report| report.count(Verdict::Contradicted) == 0))
}

fn print(out: &mut impl Write, report: &SampleReport) -> io::Result<()> {
    writeln!(out, "{}", report.directory.display())?;
    if report.origin == Origin::HandMade {
        writeln!(out, "HAND-MADE: it demonstrates the check and proves nothing about Windows")?;
    }
    let cases = count(report.cases, "case", "cases");
    let answers = count(report.answers, "answer of the host", "answers of the host");
    writeln!(out, "{}: {cases}, {answers}", report.windows)?;
    for step in &report.failed_steps {
        writeln!(out, "failed on the host: {step}")?;
    }
    for verdict in [Verdict::Contradicted, Verdict::Confirmed, Verdict::Open] {
        for fact in report.facts.iter().filter(|fact| fact.verdict == verdict) {
            print_fact(out, fact)?;
        }
    }
    writeln!(
        out,
        "{} confirmed, {} contradicted, {} open",
        report.count(Verdict::Confirmed),
        report.count(Verdict::Contradicted),
        report.count(Verdict::Open)
    )
}

fn print_fact(out: &mut impl Write, report: &FactReport) -> io::Result<()> {
    let verdict = match report.verdict {
        Verdict::Contradicted if report.is_grave() => "CONTRADICTED, a backup could miss changes",
        Verdict::Contradicted => "contradicted",
        Verdict::Confirmed => "confirmed",
        _ => "open",
    };
    writeln!(out, "{} {}: {verdict} ({})", report.format, report.fact.name, report.fact.statement)?;
    for evidence in &report.evidence {
        let sign = match evidence.verdict {
            Verdict::Contradicted => '-',
            Verdict::Confirmed => '+',
            _ => ' ',
        };
        writeln!(out, "  {sign} {}", evidence.text)?;
    }
    if report.more > 0 {
        writeln!(out, "    and {} more", report.more)?;
    }
    Ok(())
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
