//! One line per range: JSON lines and CSV.

use super::{Outcome, finish};
use std::io::{self, Write};
use vhdx_rct::{ByteRange, ChangeQuery};

pub fn write_jsonl(query: ChangeQuery, out: &mut impl Write) -> Outcome {
    write(query, out, "", |out, ByteRange { offset, length }| {
        writeln!(out, "{{\"ByteOffset\":{offset},\"ByteLength\":{length}}}")
    })
}

pub fn write_csv(query: ChangeQuery, out: &mut impl Write) -> Outcome {
    write(query, out, "ByteOffset,ByteLength\n", |out, ByteRange { offset, length }| {
        writeln!(out, "{offset},{length}")
    })
}

fn write<W: Write>(
    query: ChangeQuery,
    out: &mut W,
    head: &str,
    line: impl Fn(&mut W, ByteRange) -> io::Result<()>,
) -> Outcome {
    let mut changes = query.ranges()?;
    out.write_all(head.as_bytes())?;
    for range in changes.by_ref() {
        line(out, range?)?;
    }
    finish(&changes, out)
}
