//! `info`: shows what a file is.

mod chain;
mod check;
mod disk;
mod set;
mod table;

use crate::args::{InfoArgs, TextFormat};
use crate::failure::Failure;
use crate::text::{plain, plain_json};
use crate::warning::Warning;
use serde_json::{Value, json};
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use vhdx_rct::vhd_set::VhdSet;

/// The report on a file, in both formats.
#[derive(Default)]
struct Report {
    rows: Vec<(&'static str, String)>,
    json: Value,
    /// Whether a check found something wrong.
    found: bool,
}

impl Report {
    /// Adds a row of text; of consecutive rows with one name, only the first shows it.
    fn row(&mut self, name: &'static str, value: impl Display) {
        self.rows.push((name, value.to_string()));
    }

    fn warnings(&mut self, warnings: &[Warning]) {
        for Warning { path, message } in warnings {
            self.row("warning", format!("{path}: {message}"));
        }
        self.json["Warnings"] = json!(warnings);
    }

    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
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
    let report = if is_table(&args.file) { table::report(args)? } else { opened(args)? };
    let mut out = io::stdout().lock();
    match args.format {
        TextFormat::Json => writeln!(out, "{}", plain_json(format!("{:#}", report.json)))?,
        TextFormat::Text => report.write_text(&mut out)?,
    }
    if report.found { Err(Failure::Verdict) } else { Ok(()) }
}

/// The report on a disk, or on a set. That of a set needs none of its disks.
fn opened(args: &InfoArgs) -> Result<Report, Failure> {
    let given = args.files.catalog()?;
    match args.files.options(given.clone()).open(&args.file) {
        Ok(disk) => match disk.vhd_set() {
            Some(set) => set::report(args, set, given.as_ref(), Ok(&disk)),
            None => disk::report(args, &disk),
        },
        Err(error) => match VhdSet::open(&args.file) {
            Ok(set) => set::report(args, &set, given.as_ref(), Err(&error)),
            Err(_) => Err(error.into()),
        },
    }
}

/// Returns whether a file is a tracking table. Tables have no known signature, so the name decides.
pub fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("rct"))
}
