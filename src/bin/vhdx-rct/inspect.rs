//! `inspect`: the raw structures of a file whose format nobody has published.

use crate::args::{InspectArgs, TextFormat};
use crate::failure::Failure;
use crate::info::is_table;
use std::io::{self, Write};
use vhdx_rct::{rct, vhd_set};

pub fn run(args: &InspectArgs) -> Result<(), Failure> {
    let found =
        if is_table(&args.file) { rct::inspect(&args.file) } else { vhd_set::inspect(&args.file) }?;
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
            field.offset, field.length, field.name, field.value
        )?;
    }
    for note in &found.notes {
        writeln!(out, "note: {note}")?;
    }
    Ok(out.flush()?)
}
