//! `--check`: checks every structure of every file of the chain, and every table beside them.

use super::Report;
use crate::failure::Failure;
use crate::text::count;
use serde_json::{Value, json};
use vhdx_rct::{Disk, Error, TableEvidence};

/// Adds the result of checking the disk.
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
    report.json["Check"] = json!(check);
    report.json["Check"]["Evidence"] = evidence.into();
    Ok(())
}

/// Adds the result of a check that ends at the first finding.
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

/// Adds how much data the comparison of tables and blocks rests on.
fn evidence(report: &mut Report, tables: &[Option<TableEvidence>]) -> Vec<Value> {
    let mut members = Vec::new();
    for (depth, table) in tables.iter().enumerate() {
        let Some(table) = table else { continue };
        report.row("evidence", format!("{depth}  {}", evidence_row(table)));
        members.push(json!({
            "Depth": depth,
            "Sectors": table.sectors,
            "FullBlocks": table.full_blocks,
            "Contradiction": table.contradiction,
        }));
    }
    members
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
