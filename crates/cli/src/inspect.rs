//! `inspect`: the raw structures of a file whose format nobody has published, and what a host's
//! sample says of what is known of them.

use crate::args::{InspectArgs, TextFormat};
use crate::failure::Failure;
use crate::info::is_table;
use crate::text::{count, first_bytes, plain};
use std::io::{self, Write};
use std::path::Path;
use vhdx_rct::field::{self, FactReport, Origin, SampleReport, Verdict};
use vhdx_rct::{rct, vhd_set};

pub fn run(args: &InspectArgs) -> Result<(), Failure> {
    match (&args.file, &args.sample) {
        (_, Some(folder)) => samples(folder, args.format),
        (Some(file), None) => structures(file, args),
        (None, None) => Ok(()), // the command line asks for one of them
    }
}

/// What each sample of a folder says of each fact; fails where one is contradicted.
fn samples(folder: &Path, format: TextFormat) -> Result<(), Failure> {
    let reports = field::check(folder)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    match format {
        TextFormat::Json => {
            serde_json::to_writer_pretty(&mut out, &reports)?;
            writeln!(out)?;
        }
        TextFormat::Text => reports.iter().try_for_each(|report| sample(&mut out, report))?,
    }
    out.flush()?;
    match reports.iter().any(|report| report.count(Verdict::Contradicted) > 0) {
        true => Err(Failure::Told),
        false => Ok(()),
    }
}

fn sample(out: &mut impl Write, report: &SampleReport) -> io::Result<()> {
    writeln!(out, "{}", report.folder.display())?;
    if report.origin == Origin::HandMade {
        writeln!(out, "HAND-MADE: it shows how the check works and is no evidence of anything")?;
    }
    let (cases, answers) = (report.cases, report.answers as u64);
    let answers = count(answers, "answer of the host", "answers of the host");
    writeln!(out, "{}: {}, {answers}", report.windows, count(cases as u64, "case", "cases"))?;
    for step in &report.failed_steps {
        writeln!(out, "failed on the host: {step}")?;
    }
    for verdict in [Verdict::Contradicted, Verdict::Confirmed, Verdict::Open] {
        for fact in report.facts.iter().filter(|fact| fact.verdict == verdict) {
            told(out, fact)?;
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

fn told(out: &mut impl Write, report: &FactReport) -> io::Result<()> {
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

fn structures(file: &Path, args: &InspectArgs) -> Result<(), Failure> {
    // A pipe would have to be waited for; the library refuses it.
    if file.is_file() {
        expect_undocumented(file)?;
    }
    let found = if is_table(file) { rct::inspect(file) } else { vhd_set::inspect(file) }?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.format == TextFormat::Json {
        serde_json::to_writer_pretty(&mut out, &found)?;
        writeln!(out)?;
        return Ok(out.flush()?);
    }
    writeln!(out, "{} bytes", found.file_length)?;
    for field in &found.fields {
        let raw = field.raw.as_deref().unwrap_or_default();
        let gap = if raw.is_empty() || field.value.is_empty() { "" } else { "  " };
        writeln!(
            out,
            "{:#010x} {:>6}  {:<24} {}{gap}{raw}",
            field.offset,
            field.length,
            field.name,
            plain(&field.value)
        )?;
    }
    for note in &found.notes {
        writeln!(out, "note: {note}")?;
    }
    Ok(out.flush()?)
}

/// A set is known by its first bytes. A table has none that are known: its name counts, unless
/// it begins as a disk does. What cannot be read is left to the library to say.
fn expect_undocumented(file: &Path) -> Result<(), Failure> {
    let Ok(start) = first_bytes(file) else { return Ok(()) };
    let found = match &start[..] {
        b"vhdxfile" => "a VHDX disk, whose format is published; see `vhdx-rct info --check`".into(),
        b"vhdsetv1" => return Ok(()),
        [] => "an empty file".into(),
        _ if is_table(file) => return Ok(()),
        bytes => {
            let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("a file that begins {}", bytes.join(" "))
        }
    };
    let message = format!("expected a tracking table (.rct) or a VHD Set (.vhds), found {found}");
    Err(Failure::Refused(format!("{}: {message}", file.display())))
}
