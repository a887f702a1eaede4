//! A disk's chain, its tracking, the baselines for the next backup, and warnings; for a single disk
//! and for the active state of a set.

use super::Report;
use super::table::header_json;
use crate::text::{count, human};
use crate::warning::{Warning, next_baselines};
use serde_json::{Value, json};
use vhdx_rct::rct::TrackingTable;
use vhdx_rct::{Disk, DiskFile, KnownIds, NextBaseline, Tracking};

/// Adds everything that is known of an opened disk's chain.
pub fn describe(report: &mut Report, disk: &Disk) {
    let mut warnings = Vec::new();
    files(report, disk, &mut warnings);
    let known = disk.known_ids();
    known.iter().for_each(|ids| report.row("known ids", known_row(ids)));
    report.json["KnownIds"] = known.iter().map(known_json).collect();
    report.json["NewestId"] = json!(disk.newest_id());
    next_backup(report, disk, &mut warnings);
    if let Some(error) = disk.missing_parent() {
        let message = format!("the chain is not complete: {error}");
        warnings.extend(disk.files().last().map(|file| Warning::new(file.path(), message)));
    }
    warnings.extend(Warning::all(disk.warnings()));
    report.warnings(&warnings);
}

fn files(report: &mut Report, disk: &Disk, warnings: &mut Vec<Warning>) {
    let (mut rows, mut untracked) = (Vec::new(), Vec::new());
    for (depth, file) in disk.files().iter().enumerate() {
        report.row("chain", format!("{depth}  {}", file.path().display()));
        if !file.closed_cleanly() {
            let message = "the file was not closed cleanly; its log is replayed in memory only";
            warnings.push(Warning::new(file.path(), message));
        }
        match (file.table(), file.tracking()) {
            (Some(table), _) => rows.push(format!("{depth}  {}", table_state(table, file))),
            (None, Tracking::Off) => untracked.push(depth.to_string()),
            // The reason is one of the disk's warnings.
            (None, _) => rows.push(format!("{depth}  on, but the table cannot be used")),
        }
    }
    rows.iter().for_each(|row| report.row("tracking", row));
    if !untracked.is_empty() {
        report.row("tracking", format!("{}  off, no .rct file", untracked.join(", ")));
    }
    report.json["Chain"] = disk.files().iter().map(file_json).collect();
    report.json["ChainComplete"] = disk.missing_parent().is_none().into();
}

fn table_state(table: &TrackingTable, file: &DiskFile) -> String {
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

fn known_json(ids: &KnownIds) -> Value {
    json!({
        "File": ids.file.display().to_string(),
        "Branch": ids.branch,
        "First": ids.first,
        "Last": ids.last,
        "Newest": ids.ids().next(),
    })
}

/// Adds the baselines to keep for the next backup, or why that has to be a full one.
fn next_backup(report: &mut Report, disk: &Disk, warnings: &mut Vec<Warning>) {
    let next = next_baselines(disk, None, warnings);
    for NextBaseline { since, exact, .. } in &next {
        let exactness = match exact {
            true => "exact",
            false => "not exact: what changed since then has to be read again the next time",
        };
        report.row("next backup", format!("--since {since}  {exactness}"));
    }
    if next.is_empty() {
        report.row("next backup", format!("a full one (--since '*'): {}", why_full(disk)));
    }
    report.json["NextSince"] = json!(next);
}

fn why_full(disk: &Disk) -> &'static str {
    let leaf = &disk.files()[0];
    match leaf.tracking() {
        _ if disk.missing_parent().is_some() => "the chain is not complete",
        // The reason is a warning.
        _ if leaf.closed_cleanly() => "what to ask since instead is unknown",
        Tracking::Off => "the file is not tracked, and was not closed cleanly",
        Tracking::Unusable(_) => "the file's table cannot be used",
        _ => "the file was not closed cleanly, so its table may lag behind",
    }
}

pub fn kind(file: &DiskFile) -> &'static str {
    match file.metadata() {
        metadata if metadata.has_parent() => "differencing",
        metadata if metadata.leave_block_allocated => "fixed",
        _ => "dynamic",
    }
}

fn file_json(file: &DiskFile) -> Value {
    let identity = file.identity();
    let tracking = match (file.table(), file.tracking()) {
        (Some(table), _) => header_json(table),
        (None, Tracking::Unusable(error)) => json!({ "Message": error.to_string() }),
        _ => Value::Null,
    };
    let mut object = json!({
        "Path": file.path().display().to_string(),
        "Kind": kind(file),
        "FileLength": identity.length,
        "VirtualSize": file.metadata().virtual_size,
        "SequenceNumber": identity.sequence_number,
        "FileWriteGuid": identity.file_write_guid,
        "DataWriteGuid": identity.data_write_guid,
        "ReplayedLogEntries": file.replayed_log_entries(),
        "Tracking": tracking,
    });
    if let Some(locator) = &file.metadata().parent_locator {
        object["ParentLocator"] = json!({
            "ParentLinkage": locator.parent_linkage,
            "ParentLinkage2": locator.parent_linkage2,
            "RelativePath": locator.relative_path,
            "VolumePath": locator.volume_path,
            "AbsoluteWin32Path": locator.absolute_win32_path,
        });
    }
    object
}
