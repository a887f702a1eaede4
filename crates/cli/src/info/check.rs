//! `--check`: every structure of every file of the chain, and every table beside them.

use super::Report;
use crate::failure::Failure;
use crate::text::count;
use serde_json::{Value, json};
use vhdx_rct::{Disk, Error, TableEvidence};

/// Adds what a check of the disk found.
pub fn disk(report: &mut Report, disk: &Disk) -> Result<(), Failure> {
    let check = disk.check()?;
    let evidence = evidence(report, &check.evidence);
    let checked = format!(
        "{}, {} checked, {} and {} in the files; {} good",
        count(disk.files().len() as u64, "file", "files"),
        count(check.bat_entries, "BAT entry", "BAT entries"),
        count(check.payload_blocks, "block", "blocks"),
        count(check.bitmap_blocks, "sector bitmap", "sector bitmaps"),
        count(check.tracking_tables, "tracking table is", "tracking tables are"),
    );
    verdict(report, &check.findings, check.total, &checked);
    report.json["Check"] = json!({
        "Findings": check.findings,
        "Total": check.total,
        "BatEntries": check.bat_entries,
        "PayloadBlocks": check.payload_blocks,
        "BitmapBlocks": check.bitmap_blocks,
        "TrackingTables": check.tracking_tables,
        "Evidence": evidence,
    });
    Ok(())
}

/// Adds the only thing that was found in a file, if anything.
pub fn one(report: &mut Report, found: Option<&Error>, checked: &str) {
    let findings: Vec<String> = found.iter().map(ToString::to_string).collect();
    let total = findings.len() as u64;
    verdict(report, &findings, total, checked);
    report.json["Check"] = json!({ "Findings": findings, "Total": total });
}

fn verdict(report: &mut Report, findings: &[String], total: u64, checked: &str) {
    findings.iter().for_each(|finding| report.row("found", finding));
    let verdict = match total {
        0 => "nothing wrong".into(),
        total => count(total, "finding", "findings"),
    };
    report.row("check", format!("{verdict}: {checked}"));
    report.found = total > 0;
}

/// Adds how much the comparison of tables and blocks shows.
fn evidence(report: &mut Report, tables: &[Option<TableEvidence>]) -> Vec<Value> {
    let compared =
        tables.iter().enumerate().filter_map(|(depth, table)| Some((depth, table.as_ref()?)));
    let one = |(depth, table): (usize, &TableEvidence)| {
        report.row("evidence", format!("{depth}  {}", evidence_row(table)));
        json!({
            "Depth": depth,
            "Sectors": table.sectors,
            "FullBlocks": table.full_blocks,
            "Contradiction": table.contradiction,
        })
    };
    compared.map(one).collect()
}

fn evidence_row(table: &TableEvidence) -> String {
    let data = format!(
        "{} of data and {}",
        count(table.sectors, "sector", "sectors"),
        count(table.full_blocks, "whole block", "whole blocks")
    );
    match table.contradiction {
        None => format!("{data}, all in changed units of its table"),
        Some(_) => format!("contradicted after {data} in changed units of its table"),
    }
}
