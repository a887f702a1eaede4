//! A disk: identity, chain, tracking, warnings.

use super::Report;
use crate::args::InfoArgs;
use crate::failure::Failure;
use crate::text::{count, human, human_and_exact};
use serde_json::{Value, json};
use std::sync::Arc;
use vhdx_rct::rct::Tracking;
use vhdx_rct::vhdx::{CheckReport, Vhdx};
use vhdx_rct::{Chain, ChangeQuery, Error, KnownIds};

pub fn report(args: &InfoArgs) -> Result<Report, Failure> {
    let query = ChangeQuery::new(&args.file).parent_search(&args.search_path);
    let (chain, broken) = query.chain()?;
    let mut report = Report::default();
    identity(&mut report, chain.leaf());
    about_chain(&mut report, &query, &chain, broken.as_ref());
    if args.check {
        check(&mut report, &query, &chain, broken.as_ref())?;
    }
    Ok(report)
}

fn identity(report: &mut Report, leaf: &Vhdx) {
    let metadata = leaf.metadata();
    let (logical, physical) = (metadata.logical_sector_size, metadata.physical_sector_size);
    report.row("file", leaf.path().display());
    report.row("format", format!("VHDX, {}", kind(leaf)));
    report.row("created by", leaf.creator());
    report.row("disk id", metadata.disk_id);
    report.row("virtual size", human_and_exact(metadata.virtual_size));
    report.row("file length", human_and_exact(leaf.file_length()));
    report.row("block size", human_and_exact(metadata.block_size.into()));
    report.row("sectors", format!("{logical} bytes logical, {physical} physical"));
    report.row("data write id", leaf.header().data_write_guid);
    report.row("log", log(leaf));
    report.json = json!({
        "Format": "vhdx",
        "Kind": kind(leaf),
        "Creator": leaf.creator(),
        "VirtualDiskId": metadata.disk_id.to_string(),
        "VirtualSize": metadata.virtual_size,
        "BlockSize": metadata.block_size,
        "LogicalSectorSize": logical,
        "PhysicalSectorSize": physical,
    });
}

/// The chain, its tracking and what should be known before it is trusted; for a disk and for
/// the active state of a set.
pub fn about_chain(
    report: &mut Report,
    query: &ChangeQuery,
    chain: &Chain,
    broken: Option<&Error>,
) {
    let mut warnings = Vec::new();
    let mut files = Vec::new();
    let mut untracked = Vec::new();
    for (depth, file) in chain.files().iter().enumerate() {
        report.row("chain", format!("{depth}  {}", file.path().display()));
        let tracking = Tracking::of(chain, depth);
        files.push(file_json(file, &tracking));
        if !file.closed_cleanly() {
            let name = file.path().display();
            warnings
                .push(format!("{name} was not closed cleanly; its log is replayed in memory only"));
        }
        match tracking {
            // One of the query's warnings.
            Err(_) => report.row("tracking", format!("{depth}  on, but the table cannot be used")),
            Ok(Some(table)) => {
                report.row("tracking", format!("{depth}  {}", table_state(&table, file)))
            }
            Ok(None) => untracked.push(depth.to_string()),
        }
    }
    if !untracked.is_empty() {
        report.row("tracking", format!("{}  off, no .rct file", untracked.join(", ")));
    }
    // Rows of a kind belong together.
    report.rows.sort_by_key(|(name, _)| *name == "tracking");
    let known =
        if broken.is_none() { query.known_ids() } else { Ok(Vec::new()) }.unwrap_or_default();
    for ids in &known {
        report.row("known ids", known_row(ids));
    }
    let (next, newest) = next_backup(query, chain);
    report.row("next backup", next);
    warnings.extend(broken.map(|error| format!("the chain is not complete: {error}")));
    let others = query.warnings().unwrap_or_default().into_iter();
    warnings
        .extend(others.map(|warning| format!("{}: {}", warning.path.display(), warning.message)));
    for warning in &warnings {
        report.row("warning", warning);
    }
    report.json["Chain"] = files.into();
    report.json["ChainComplete"] = broken.is_none().into();
    report.json["KnownIds"] = known.iter().map(known_json).collect();
    report.json["NewestId"] = json!(newest);
    report.json["Warnings"] = warnings.into();
}

fn table_state(table: &Tracking, file: &Vhdx) -> String {
    let header = table.header();
    let doubt = if file.closed_cleanly() { "" } else { ", not closed cleanly: may lag behind" };
    format!(
        "on, {} of {}, newest id {}{doubt}",
        count(header.units, "unit", "units"),
        human(table.unit_size()),
        header.current
    )
}

fn known_row(ids: &KnownIds) -> String {
    let newest = ids.ids().next().map(|id| id.to_string()).unwrap_or_default();
    let name = ids.file.file_name().unwrap_or_default().display();
    match ids.last - ids.first {
        0 => format!("{newest}  ({name})"),
        older => format!("{newest}  and {older} older, down to {:08x}  ({name})", ids.first),
    }
}

/// The id to keep for the next backup, or why there is none.
fn next_backup(query: &ChangeQuery, chain: &Chain) -> (String, Option<String>) {
    let why = match (query.newest_id(), Tracking::of(chain, 0)) {
        (Ok(Some(id)), _) => return (format!("since {id}"), Some(id.to_string())),
        (Ok(None), Ok(None)) => "the file itself is not tracked".into(),
        (Ok(None), Ok(Some(_))) => {
            "the file was not closed cleanly, so its table may lag behind".into()
        }
        (Ok(None), Err(_)) => "the table of the file itself cannot be used".into(),
        (Err(error), _) => error.to_string(),
    };
    (format!("no id to keep: {why}"), None)
}

fn known_json(ids: &KnownIds) -> Value {
    json!({
        "File": ids.file.display().to_string(),
        "Branch": ids.branch.to_string(),
        "First": ids.first,
        "Last": ids.last,
        "Newest": ids.ids().next(),
    })
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
        None => "empty: closed cleanly".into(),
        Some(entries) => format!("{} to replay", count(entries as u64, "entry", "entries")),
    }
}

fn file_json(file: &Vhdx, tracking: &Result<Option<Tracking>, Error>) -> Value {
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
        "Tracking": match tracking {
            Ok(table) => table.as_ref().map(super::table::header_json).unwrap_or_default(),
            Err(error) => json!({ "Message": error.to_string() }),
        },
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

/// Walks every structure of every file of the chain, and every table beside them.
pub fn check(
    report: &mut Report,
    query: &ChangeQuery,
    chain: &Chain,
    broken: Option<&Error>,
) -> Result<(), Failure> {
    let (mut all, mut tables) = (CheckReport::default(), 0);
    for (depth, file) in chain.files().iter().enumerate() {
        let mut found = file.check()?;
        let table = Tracking::of(chain, depth).and_then(|table| match table {
            Some(table) => Arc::new(table).check().map(|()| 1),
            None => Ok(0),
        });
        match table {
            Ok(good) => tables += good,
            Err(error) => add(&mut found, &error),
        }
        for finding in found.findings {
            let place =
                if depth == 0 { String::new() } else { format!("{}: ", file.path().display()) };
            all.findings.push(format!("{place}{finding}"));
        }
        all.total += found.total;
        all.entries += found.entries;
        all.payload_blocks += found.payload_blocks;
        all.bitmap_blocks += found.bitmap_blocks;
    }
    let evidence = check_tables(report, query, &mut all);
    if let Some(error) = broken {
        add(&mut all, error);
    }
    let walked = format!(
        "{}, {} looked at, {} and {} in the files; {} good",
        count(chain.files().len() as u64, "file", "files"),
        count(all.entries, "BAT entry", "BAT entries"),
        count(all.payload_blocks, "block", "blocks"),
        count(all.bitmap_blocks, "sector bitmap", "sector bitmaps"),
        count(tables, "tracking table is", "tracking tables are"),
    );
    tell(report, &all, &walked);
    report.json["Check"] = json!({
        "Findings": all.findings,
        "Total": all.total,
        "BatEntries": all.entries,
        "PayloadBlocks": all.payload_blocks,
        "BitmapBlocks": all.bitmap_blocks,
        "TrackingTables": tables,
        "Evidence": evidence,
    });
    Ok(())
}

/// Holds the tables against the blocks of their files, and reports how much that shows.
fn check_tables(report: &mut Report, query: &ChangeQuery, check: &mut CheckReport) -> Vec<Value> {
    // An incomplete chain is a warning already, and its tables show nothing.
    let tables = query.check_tables().unwrap_or_default();
    let mut all = Vec::new();
    for (depth, table) in tables.into_iter().enumerate() {
        let Some(evidence) = table else { continue };
        let (sectors, blocks) = (evidence.sectors, evidence.full_blocks);
        let held = format!(
            "{} of data and {}",
            count(sectors, "sector", "sectors"),
            count(blocks, "whole block", "whole blocks")
        );
        let verdict = match &evidence.contradiction {
            None => format!("{held}, all in changed units of its table"),
            Some(_) => format!("contradicted after {held} in changed units of its table"),
        };
        report.row("evidence", format!("{depth}  {verdict}"));
        // A damaged page was found by the walk over the table already.
        let is_new = |text: &&String| !check.findings.iter().any(|found| found.ends_with(*text));
        if let Some(contradiction) = evidence.contradiction.as_ref().filter(is_new) {
            check.findings.push(contradiction.clone());
            check.total += 1;
        }
        all.push(json!({
            "Depth": depth,
            "Sectors": sectors,
            "FullBlocks": blocks,
            "Contradiction": evidence.contradiction,
        }));
    }
    all
}

/// A problem that ended a walk is a finding too.
pub fn add(check: &mut CheckReport, problem: &Error) {
    check.findings.push(problem.to_string());
    check.total += 1;
}

/// The findings and the verdict.
pub fn tell(report: &mut Report, check: &CheckReport, walked: &str) {
    for finding in &check.findings {
        report.row("found", finding);
    }
    let verdict = match check.total {
        0 => "nothing wrong".into(),
        total => count(total, "finding", "findings"),
    };
    report.row("check", format!("{verdict}: {walked}"));
    report.found = check.total > 0;
}
