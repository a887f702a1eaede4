//! `changes`: the answer in five formats.

use crate::args::{ChangesArgs, Format, Question};
use crate::failure::Failure;
use crate::text::{count, human, percent};
use serde_json::json;
use std::io::{self, BufWriter, Write};
use std::time::Instant;
use vhdx_rct::{ChangeQuery, Content, Error, SnapshotCatalogue};

type Outcome = Result<(), Failure>;

pub fn run(args: &ChangesArgs) -> Outcome {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
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
    let changes = whole_query(args)?.stream()?;
    out.write_all(head.as_bytes())?;
    for range in changes {
        let range = range?;
        line(out, range.offset, range.length)?;
    }
    Ok(())
}

fn table(args: &ChangesArgs, out: &mut impl Write) -> Outcome {
    let mut changes = whole_query(args)?.stream()?;
    let disk = changes.disk();
    let show = |bytes: u64| if args.bytes { bytes.to_string() } else { human(bytes) };
    let width = show(disk.virtual_size).len().max("1023.99 KiB".len());
    writeln!(out, "{:>width$}  {:>width$}", "OFFSET", "LENGTH")?;
    let (mut ranges, mut total) = (0, 0);
    for range in changes.by_ref() {
        let range = range?;
        writeln!(out, "{:>width$}  {:>width$}", show(range.offset), show(range.length))?;
        ranges += 1;
        total += range.length;
    }
    writeln!(
        out,
        "{}, {} of {}: {}",
        count(ranges, "range", "ranges"),
        show(total),
        show(disk.virtual_size),
        percent(total, disk.virtual_size)
    )?;
    let region = args.length.unwrap_or(disk.virtual_size - args.offset);
    let processed = changes.processed_byte_length();
    if processed < region {
        let next = args.offset + processed;
        writeln!(
            out,
            "There are more: go on with --offset {next} --length {}",
            region - processed
        )?;
    }
    Ok(())
}

fn qemu(args: &ChangesArgs, out: &mut impl Write) -> Outcome {
    let extents = whole_query(args)?.extents()?;
    let mut before = "[";
    for extent in extents {
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
    Ok(())
}
