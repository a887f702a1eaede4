//! `info`: what a file is.

use crate::args::{InfoArgs, TextFormat};
use crate::failure::Failure;
use crate::text::{count, human_and_exact};
use serde_json::{Value, json};
use std::io::{self, Write};
use vhdx_rct::vhdx::{CheckReport, Vhdx};
use vhdx_rct::{Chain, Error};

pub fn run(args: &InfoArgs) -> Result<(), Failure> {
    let (chain, broken) = Chain::open_partly(&args.file, &args.search_path)?;
    let check = if args.check { Some(chain.leaf().check()?) } else { None };
    let report = Report { chain: &chain, broken: broken.as_ref(), check: check.as_ref() };
    let mut out = io::stdout().lock();
    match args.format {
        TextFormat::Json => writeln!(out, "{:#}", report.json())?,
        TextFormat::Text => report.text(&mut out)?,
    }
    if check.is_some_and(|check| check.total > 0) { Err(Failure::Told) } else { Ok(()) }
}

struct Report<'a> {
    chain: &'a Chain,
    /// Why the chain could not be followed to its root.
    broken: Option<&'a Error>,
    check: Option<&'a CheckReport>,
}

impl Report<'_> {
    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let leaf = self.chain.leaf();
        let metadata = leaf.metadata();
        let mut row = |name: &str, value: String| writeln!(out, "{name:<18}{value}");
        row("file", leaf.path().display().to_string())?;
        row("format", format!("VHDX, {}", kind(leaf)))?;
        row("created by", leaf.creator().into())?;
        row("disk id", metadata.disk_id.to_string())?;
        row("virtual size", human_and_exact(metadata.virtual_size))?;
        row("file length", human_and_exact(leaf.file_length()))?;
        row("block size", human_and_exact(metadata.block_size.into()))?;
        let (logical, physical) = (metadata.logical_sector_size, metadata.physical_sector_size);
        row("sectors", format!("{logical} bytes logical, {physical} physical"))?;
        row("data write id", leaf.header().data_write_guid.to_string())?;
        row("log", log(leaf))?;
        for (depth, file) in self.chain.files().iter().enumerate() {
            row(
                if depth == 0 { "chain" } else { "" },
                format!("{depth}  {}", file.path().display()),
            )?;
        }
        for warning in self.warnings() {
            row("warning", warning)?;
        }
        if let Some(check) = self.check {
            for finding in &check.findings {
                row("found", finding.clone())?;
            }
            row("check", verdict(check))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let leaf = self.chain.leaf();
        let metadata = leaf.metadata();
        let chain: Vec<Value> = self.chain.files().iter().map(|file| file_json(file)).collect();
        let mut object = json!({
            "Format": "vhdx",
            "Kind": kind(leaf),
            "Creator": leaf.creator(),
            "VirtualDiskId": metadata.disk_id.to_string(),
            "VirtualSize": metadata.virtual_size,
            "BlockSize": metadata.block_size,
            "LogicalSectorSize": metadata.logical_sector_size,
            "PhysicalSectorSize": metadata.physical_sector_size,
            "Chain": chain,
            "ChainComplete": self.broken.is_none(),
            "Warnings": self.warnings(),
        });
        if let Some(check) = self.check {
            object["Check"] = json!({
                "Findings": check.findings,
                "Total": check.total,
                "BatEntries": check.entries,
                "PayloadBlocks": check.payload_blocks,
                "BitmapBlocks": check.bitmap_blocks,
            });
        }
        object
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = Vec::new();
        if let Some(entries) = self.chain.leaf().replayed_log_entries() {
            let entries = count(entries as u64, "entry", "entries");
            warnings.push(format!(
                "the log was not empty, so the file was not closed cleanly: {entries} replayed, in memory only"
            ));
        }
        warnings.extend(self.broken.map(|error| format!("the chain is not complete: {error}")));
        warnings
    }
}

fn kind(file: &Vhdx) -> &'static str {
    match file.metadata() {
        metadata if metadata.has_parent() => "differencing",
        metadata if metadata.leave_block_allocated => "fixed",
        _ => "dynamic",
    }
}

fn log(file: &Vhdx) -> String {
    match file.replayed_log_entries() {
        None => "clean".into(),
        Some(entries) => format!("dirty, {} replayed", count(entries as u64, "entry", "entries")),
    }
}

fn file_json(file: &Vhdx) -> Value {
    let header = file.header();
    let mut object = json!({
        "Path": file.path().display().to_string(),
        "Kind": kind(file),
        "FileLength": file.file_length(),
        "VirtualSize": file.virtual_size(),
        "SequenceNumber": header.sequence_number,
        "FileWriteGuid": header.file_write_guid.to_string(),
        "DataWriteGuid": header.data_write_guid.to_string(),
        "ReplayedLogEntries": file.replayed_log_entries(),
    });
    if let Some(locator) = &file.metadata().parent_locator {
        object["ParentLocator"] = json!({
            "ParentLinkage": locator.parent_linkage.to_string(),
            "ParentLinkage2": locator.parent_linkage2.map(|id| id.to_string()),
            "RelativePath": locator.relative_path,
            "VolumePath": locator.volume_path,
            "AbsoluteWin32Path": locator.absolute_win32_path,
        });
    }
    object
}

fn verdict(check: &CheckReport) -> String {
    let walked = format!(
        "{} looked at, {} and {} in the file",
        count(check.entries, "BAT entry", "BAT entries"),
        count(check.payload_blocks, "block", "blocks"),
        count(check.bitmap_blocks, "sector bitmap", "sector bitmaps"),
    );
    match check.total {
        0 => format!("nothing wrong: {walked}"),
        total => format!("{}: {walked}", count(total, "finding", "findings")),
    }
}
