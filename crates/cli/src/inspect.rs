//! `inspect`: shows the raw structures of a file whose format is not published.

use crate::args::{InspectArgs, TextFormat};
use crate::failure::Failure;
use crate::info::is_table;
use crate::text::{first_bytes, plain, plain_json};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use vhdx_rct::{Inspection, ReturnValue, rct, vhd_set};

pub fn run(args: &InspectArgs) -> Result<(), Failure> {
    let file = &args.file;
    // Opening a pipe would block; the library refuses it.
    if file.is_file() {
        verify_format(file)?;
    }
    let found = if is_table(file) { rct::inspect(file) } else { vhd_set::inspect(file) }?;
    let mut out = BufWriter::new(io::stdout().lock());
    match args.format {
        TextFormat::Json => writeln!(out, "{}", plain_json(serde_json::to_string_pretty(&found)?))?,
        TextFormat::Text => text(&found, &mut out)?,
    }
    Ok(out.flush()?)
}

fn text(found: &Inspection, out: &mut impl Write) -> io::Result<()> {
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
        writeln!(out, "note: {}", plain(note))?;
    }
    Ok(())
}

/// Fails if the file is neither a set nor a table. A set is detected by its first bytes. A table
/// has no known signature, so its name decides, unless it begins as a disk does. The library
/// reports a file that cannot be read.
fn verify_format(file: &Path) -> Result<(), Failure> {
    let Ok(start) = first_bytes(file) else { return Ok(()) };
    let found = match &start[..] {
        b"vhdxfile" => {
            "a VHDX disk, whose format is published (see `vhdx-rct info --check`)".into()
        }
        b"vhdsetv1" => return Ok(()),
        [] => "an empty file".into(),
        _ if is_table(file) => return Ok(()),
        bytes => {
            let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("a file that begins {}", bytes.join(" "))
        }
    };
    let message = format!("expected a tracking table (.rct) or a VHD Set (.vhds), found {found}");
    Err(Failure::about(file, ReturnValue::NotSupported, &message))
}
