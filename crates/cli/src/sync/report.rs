//! Reports the result of a run.

use super::copy::Totals;
use super::plan::Work;
use crate::args::{SyncArgs, TextFormat};
use crate::failure::Failure;
use crate::text::{count, human, plain_json};
use crate::warning::{self, Warning, next_baselines};
use serde::Serialize;
use std::io::{self, Write};
use std::time::Duration;
use vhdx_rct::{Baseline, ByteRange, Disk, DiskIdentity, NextBaseline, ReturnValue};

/// The number of differences that are listed.
const LISTED: usize = 20;

/// A run that succeeded.
pub struct Report<'a> {
    pub args: &'a SyncArgs,
    pub disk: &'a Disk,
    pub work: &'a Work,
    pub totals: Totals,
    pub elapsed: Duration,
}

/// The report as an object.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Object {
    return_value: u32,
    since: String,
    next_since: Vec<NextBaseline>,
    bytes_read: u64,
    bytes_written: u64,
    bytes_zeroed: u64,
    ranges: u64,
    virtual_disk: DiskIdentity,
    warnings: Vec<Warning>,
}

impl Report<'_> {
    pub fn print(self, mut warnings: Vec<Warning>) -> Result<(), Failure> {
        let next_since = next_baselines(self.disk, None, &mut warnings);
        if self.args.format == TextFormat::Json {
            let object = Object::new(self.disk, &self.work.since, &self.totals);
            let ranges = self.work.changed.ranges;
            return Object { next_since, ranges, warnings, ..object }.print();
        }
        warning::print_all(&warnings)?;
        let mut out = io::stdout().lock();
        let ranges = count(self.work.changed.ranges, "range", "ranges");
        let Totals { read, written, zeroed } = self.totals;
        if self.args.dry_run {
            let line = format!("would read {ranges}, {}; nothing was written", human(read));
            return Ok(writeln!(out, "{line}")?);
        }
        let zeroed = match zeroed {
            0 => String::new(),
            zeroed => format!(", {} zeroed", human(zeroed)),
        };
        writeln!(
            out,
            "since {}: {ranges}, {} read, {} written{zeroed}, {:.2} s",
            self.work.since,
            human(read),
            human(written),
            self.elapsed.as_secs_f64()
        )?;
        match next_since.first() {
            Some(next) => writeln!(out, "next time: --since {}", next.since)?,
            None => writeln!(out, "next time: a full copy, unless the disk has a child by then")?,
        }
        Ok(())
    }
}

impl Object {
    fn new(disk: &Disk, since: &Baseline, totals: &Totals) -> Self {
        Object {
            return_value: ReturnValue::Completed.code(),
            since: since.to_string(),
            next_since: Vec::new(),
            bytes_read: totals.read,
            bytes_written: totals.written,
            bytes_zeroed: totals.zeroed,
            ranges: 0,
            virtual_disk: disk.identity(),
            warnings: Vec::new(),
        }
    }

    fn print(&self) -> Result<(), Failure> {
        Ok(writeln!(io::stdout(), "{}", plain_json(serde_json::to_string(self)?))?)
    }
}

/// Reports the comparison of a copy with its disk.
pub fn verified(
    args: &SyncArgs,
    disk: &Disk,
    differences: &[ByteRange],
    read: u64,
    elapsed: Duration,
) -> Result<(), Failure> {
    if !differences.is_empty() {
        let bytes: u64 = differences.iter().map(|range| range.length).sum();
        let show = |range: &ByteRange| format!("{} bytes at {}", range.length, range.offset);
        let ranges: Vec<_> = differences.iter().take(LISTED).map(show).collect();
        let more = if differences.len() > LISTED { ", ..." } else { "" };
        let message = format!(
            "the copy differs from the disk in {}, {}: {}{more}; bring it up to date without --verify, or replace it \
             with --full",
            count(differences.len() as u64, "range", "ranges"),
            human(bytes),
            ranges.join(", ")
        );
        return Err(Failure::about(&args.to, ReturnValue::InvalidState, &message));
    }
    if args.format == TextFormat::Json {
        let totals = Totals { read, ..Totals::default() };
        let object = Object::new(disk, &Baseline::Allocated, &totals);
        return Object { warnings: Warning::all(disk.warnings()), ..object }.print();
    }
    warning::print(disk.warnings())?;
    let (read, elapsed) = (human(read), elapsed.as_secs_f64());
    Ok(writeln!(io::stdout(), "the copy equals the disk: {read} compared, {elapsed:.2} s")?)
}
