//! The table for people.

use super::{Outcome, continuation};
use crate::args::ChangesArgs;
use crate::text::{count, human, percent};
use crate::warning;
use anstyle::Style;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Write;
use vhdx_rct::{ByteRange, ChangeQuery};

/// Headings and totals.
const HEAD: Style = Style::new().bold();

pub fn write(args: &ChangesArgs, query: ChangeQuery, out: &mut impl Write) -> Outcome {
    let mut changes = query.ranges()?;
    let size = changes.disk().identity().virtual_size;
    let show = |bytes: u64| if args.bytes { bytes.to_string() } else { human(bytes) };
    let width = show(size).len().max("1023.99 KiB".len());
    let row = |out: &mut dyn Write, range: ByteRange| {
        writeln!(out, "{:>width$}  {:>width$}", show(range.offset), show(range.length))
    };
    writeln!(out, "{HEAD}{:>width$}  {:>width$}{HEAD:#}", "OFFSET", "LENGTH")?;
    let (mut ranges, mut total) = (0, 0);
    // At most as many ranges as the table will show.
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
    let (total, share) = (show(total), percent(total, size));
    let ranges = count(ranges, "range", "ranges");
    writeln!(out, "{HEAD}{ranges}, {total} of {}: {share}{HEAD:#}", show(size))?;
    if let Some(how) = continuation(&changes) {
        writeln!(out, "there are more; {how}")?;
    }
    out.flush()?;
    Ok(warning::print(changes.warnings())?)
}
