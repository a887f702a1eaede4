//! `changes`: the answer in five formats.

mod json;
mod qemu;
mod rows;
mod table;

use crate::args::{ChangesArgs, Format};
use crate::failure::Failure;
use crate::question::parse;
use crate::warning;
use clap::ValueEnum;
use std::io::{self, BufWriter, Write};
use std::time::Instant;
use vhdx_rct::{ChangeQuery, Changes, Disk, ReturnValue};

type Outcome = Result<(), Failure>;

pub fn run(args: &ChangesArgs) -> Outcome {
    verify_options(args)?;
    // A moment that the clock cannot express never comes.
    let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let (disk, query) = open(args, deadline)?;
    let stdout: Box<dyn Write> = match args.format {
        // Drops the colors if the output is not a terminal, or NO_COLOR is set.
        Format::Table => Box::new(anstream::AutoStream::auto(io::stdout().lock())),
        _ => Box::new(io::stdout().lock()),
    };
    let mut out = BufWriter::with_capacity(1 << 16, stdout);
    let result = match args.format {
        Format::Table => table::write(args, query, &mut out),
        Format::Json => json::write(&disk, query, deadline, &mut out),
        Format::Jsonl => rows::write_jsonl(query, &mut out),
        Format::Csv => rows::write_csv(query, &mut out),
        Format::Qemu => qemu::write(&disk, query, &mut out),
    };
    out.flush()?;
    result
}

/// Refuses options that the format cannot honor.
fn verify_options(args: &ChangesArgs) -> Outcome {
    let option = match args {
        ChangesArgs { format: Format::Table, .. } => return Ok(()),
        ChangesArgs { widest: Some(_), .. } => "--widest",
        ChangesArgs { bytes: true, .. } => "--bytes",
        _ => return Ok(()),
    };
    let format = args.format.to_possible_value();
    let format = format.as_ref().map_or("another", |value| value.get_name());
    Err(Failure::usage(format!("{option} is for --format table, found --format {format}")))
}

/// Opens the disk and builds the query. The time limit covers the opening and the answer.
fn open(args: &ChangesArgs, deadline: Option<Instant>) -> Result<(Disk, ChangeQuery), Failure> {
    let target = args.target.as_ref().map(|id| parse("--target", id)).transpose()?;
    let (disk, since) = args.question.open(|options| {
        target.map(|id| options.target(id));
        deadline.map(|deadline| options.deadline(deadline));
    })?;
    let query = disk.changes(since);
    let mut query = match args.length {
        Some(length) => query.region(args.offset..args.offset.saturating_add(length)),
        None => query.region(args.offset..),
    };
    if let Some(deadline) = deadline {
        query = query.deadline(deadline);
    }
    if let Some(count) = args.max_ranges {
        query = query.max_ranges(count.get());
    }
    Ok((disk, query))
}

/// The options that ask for the ranges that a limit left out; None if it left out none.
fn continuation(changes: &Changes) -> Option<String> {
    let (region, processed) = (changes.region(), changes.processed_byte_length());
    let start = region.start + processed;
    let length = region.end - start;
    (length > 0).then(|| format!("continue with --offset {start} --length {length}"))
}

/// Ends an answer in a format that cannot show that it was cut short.
fn finish(changes: &Changes, out: &mut impl Write) -> Outcome {
    out.flush()?;
    warning::print(changes.warnings())?;
    let Some(how) = continuation(changes) else { return Ok(()) };
    Err(Failure::new(ReturnValue::Failed, format!("--max-ranges cut the answer short; {how}")))
}
