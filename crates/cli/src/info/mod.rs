//! `info`: what a file is.

mod disk;
mod set;
mod table;

use crate::args::{InfoArgs, TextFormat};
use crate::failure::Failure;
use crate::text::plain;
use serde_json::Value;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use vhdx_rct::ErrorKind;
use vhdx_rct::vhd_set::VhdSet;

/// What is to be told, in both formats.
#[derive(Default)]
struct Report {
    rows: Vec<(&'static str, String)>,
    json: Value,
    /// Is the answer to `--check` that something is wrong?
    found: bool,
}

impl Report {
    /// A row of the text; rows behind one another with the same name show it once.
    fn row(&mut self, name: &'static str, value: impl Display) {
        self.rows.push((name, value.to_string()));
    }

    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let mut before = "";
        for (name, value) in &self.rows {
            let shown = if *name == before { "" } else { name };
            writeln!(out, "{shown:<15}{}", plain(value))?;
            before = name;
        }
        Ok(())
    }
}

pub fn run(args: &InfoArgs) -> Result<(), Failure> {
    let report = if is_table(&args.file) {
        table::report(args)?
    } else {
        match VhdSet::open(&args.file) {
            Ok(set) => set::report(args, &set)?,
            Err(error) if error.kind() == ErrorKind::NotVirtualDisk => disk::report(args)?,
            Err(error) => return Err(error.into()),
        }
    };
    let mut out = io::stdout().lock();
    match args.format {
        TextFormat::Json => writeln!(out, "{:#}", report.json)?,
        TextFormat::Text => report.text(&mut out)?,
    }
    if report.found { Err(Failure::Told) } else { Ok(()) }
}

/// A tracking table has no signature that is known: its name tells.
pub fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("rct"))
}
