//! `changes`: the answer in five formats.

use crate::args::{ChangesArgs, Format, Question};
use crate::failure::Failure;
use crate::text::{count, human, percent, plain};
use anstyle::Style;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, BufWriter, Write};
use std::time::Instant;
use vhdx_rct::{ByteRange, ChangeQuery, Changes, Content, Error, SnapshotCatalogue};

/// Headings and totals.
const HEAD: Style = Style::new().bold();

type Outcome = Result<(), Failure>;

pub fn run(args: &ChangesArgs) -> Outcome {
    // Takes the colours out where the output is no terminal, or NO_COLOR is set.
    let mut out =
        BufWriter::with_capacity(1 << 16, anstream::AutoStream::auto(io::stdout().lock()));
    let result = match args.format {
        Format::Table => table(args, &mut out),
        Format::Json => return json(args, &mut out),
        Format::Jsonl => lines(args, &mut out, "", |out, offset, length| {
            writeln!(out, "{{\"ByteOffset\":{offset},\"ByteLength\":{length}}}")
        }),
        Format::Csv => lines(args, &mut out, "ByteOffset,ByteLength\n", |out, offset, length| {
            writeln!(out, "{offset},{length}")
        }),
        Format::Qemu => qemu(args, &mut out),
    };
    out.flush()?;
    result
}

/// The question as the command line asks it.
pub fn query(question: &Question) -> Result<ChangeQuery, Error> {
    let mut query = ChangeQuery::new(&question.disk).since(question.since.parse()?);
    if let Some(path) = &question.snapshots {
        query = query.snapshots(SnapshotCatalogue::open(path)?);
    }
    Ok(query.allow_unclean(question.allow_unclean).parent_search(&question.search_path))
}

fn whole_query(args: &ChangesArgs) -> Result<ChangeQuery, Error> {
    let mut query = query(&args.question)?;
    if let Some(id) = &args.target {
        query = query.target_id(id)?;
    }
    // A moment that the clock cannot express never comes.
    if let Some(deadline) = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout)) {
        query = query.deadline(deadline);
    }
    if let Some(count) = args.max_ranges {
        query = query.max_ranges(count);
    }
    Ok(match args.length {
        Some(length) => query.region(args.offset..args.offset.saturating_add(length)),
        None => query.region(args.offset..),
    })
}

fn json(args: &ChangesArgs, out: &mut impl Write) -> Outcome {
    match whole_query(args).and_then(ChangeQuery::run) {
        Ok(changes) => {
            serde_json::to_writer(&mut *out, &changes)?;
            writeln!(out)?;
            Ok(out.flush()?)
        }
        Err(error) => {
            let mut object = json!({ "ReturnValue": error.return_value().code() });
            if let Some(win32) = error.win32_code() {
                object["Win32Error"] = format!("{win32:#010X}").into();
            }
            object["Message"] = error.to_string().into();
            writeln!(out, "{object}")?;
            out.flush()?;
            Err(Failure::Query { error, told: true })
        }
    }
}

fn lines<W: Write>(
    args: &ChangesArgs,
    out: &mut W,
    head: &str,
    line: impl Fn(&mut W, u64, u64) -> io::Result<()>,
) -> Outcome {
    let mut changes = whole_query(args)?.stream()?;
    out.write_all(head.as_bytes())?;
    for range in changes.by_ref() {
        let range = range?;
        line(out, range.offset, range.length)?;
    }
    Ok(tell_rest(&changes)?)
}

fn table(args: &ChangesArgs, out: &mut impl Write) -> Outcome {
    let mut changes = whole_query(args)?.stream()?;
    let disk = changes.disk();
    let show = |bytes: u64| if args.bytes { bytes.to_string() } else { human(bytes) };
    let width = show(disk.virtual_size).len().max("1023.99 KiB".len());
    let row = |out: &mut dyn Write, range: ByteRange| {
        writeln!(out, "{:>width$}  {:>width$}", show(range.offset), show(range.length))
    };
    writeln!(out, "{HEAD}{:>width$}  {:>width$}{HEAD:#}", "OFFSET", "LENGTH")?;
    let (mut ranges, mut total) = (0, 0);
    // Of the widest ranges, so many are held; without that wish, none.
    let mut widest: BinaryHeap<Reverse<(u64, Reverse<u64>)>> = BinaryHeap::new();
    for range in changes.by_ref() {
        let range = range?;
        ranges += 1;
        total += range.length;
        match args.widest {
            None => row(out, range)?,
            Some(most) => {
                widest.push(Reverse((range.length, Reverse(range.offset))));
                if widest.len() > most {
                    widest.pop();
                }
            }
        }
    }
    for Reverse((length, Reverse(offset))) in widest.into_sorted_vec() {
        row(out, ByteRange { offset, length })?;
    }
    let (total, share) = (show(total), percent(total, disk.virtual_size));
    let ranges = count(ranges, "range", "ranges");
    writeln!(out, "{HEAD}{ranges}, {total} of {}: {share}{HEAD:#}", show(disk.virtual_size))?;
    Ok(tell_rest(&changes)?)
}

/// Writes to standard error what is worth knowing about the answer: warnings, and, if a limit on
/// the number of ranges was hit, how to go on.
fn tell_rest(changes: &Changes) -> io::Result<()> {
    for warning in changes.warnings() {
        let (path, message) = (warning.path.display().to_string(), &warning.message);
        writeln!(io::stderr(), "warning: {}: {}", plain(&path), plain(message))?;
    }
    let (region, processed) = (changes.region(), changes.processed_byte_length());
    let left = region.end - region.start - processed;
    if left > 0 {
        let next = region.start + processed;
        writeln!(io::stderr(), "there are more: go on with --offset {next} --length {left}")?;
    }
    Ok(())
}

/// A progress bar in bytes on standard error; nothing where that is no terminal.
pub fn progress_bar(bytes: u64) -> ProgressBar {
    let style =
        "{bar:30} {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";
    let bar = ProgressBar::new(bytes);
    bar.set_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}

fn qemu(args: &ChangesArgs, out: &mut impl Write) -> Outcome {
    let mut extents = whole_query(args)?.extents()?;
    let mut before = "[";
    for extent in extents.by_ref() {
        let extent = extent?;
        write!(
            out,
            "{before}{{ \"start\": {}, \"length\": {}, \"depth\": {}, \"present\": {}, \"zero\": {}, \"data\": {}}}",
            extent.range.offset,
            extent.range.length,
            extent.depth,
            extent.content != Content::Hole,
            extent.content != Content::Data,
            extent.content == Content::Data,
        )?;
        before = ",\n";
    }
    writeln!(out, "{}]", if before == "[" { "[" } else { "" })?;
    Ok(tell_rest(extents.changes())?)
}
