//! A VHD Set: active file, snapshots, and what could not be read.

use super::{Report, disk};
use crate::args::InfoArgs;
use crate::failure::Failure;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use vhdx_rct::vhd_set::{Snapshot, VhdSet};
use vhdx_rct::vhdx::CheckReport;
use vhdx_rct::{ChangeQuery, SnapshotCatalogue};

pub fn report(args: &InfoArgs, set: &VhdSet) -> Result<Report, Failure> {
    let mut query = ChangeQuery::new(&args.file).parent_search(&args.search_path);
    let given = args.snapshots.as_ref().map(SnapshotCatalogue::open).transpose()?;
    if let Some(given) = &given {
        query = query.snapshots(given.clone());
    }
    let mut report = Report::default();
    report.row("file", set.path().display());
    report.row("format", "VHD Set");
    report.row("created by", set.creator());
    report.row("sequence", set.sequence_number());
    report.row("active file", set.active_name());
    report.json = json!({
        "Format": "vhds",
        "Creator": set.creator(),
        "SequenceNumber": set.sequence_number(),
        "ActiveFile": set.active_name(),
        "UnreadRecords": set.unknown_records(),
    });
    let from = |snapshot: &Snapshot| match (&args.snapshots, &given) {
        (Some(path), Some(given)) if given.get(snapshot.id).is_some() => path.clone(),
        _ => set.catalog_path(),
    };
    match query.known_snapshots() {
        Ok(known) => snapshots(&mut report, set, &known, from),
        Err(error) => report.row("warning", format!("the snapshots are not known: {error}")),
    }
    match query.chain() {
        Ok((chain, broken)) => {
            report.row("disk id", chain.leaf().metadata().disk_id);
            report.json["VirtualDiskId"] = chain.leaf().metadata().disk_id.to_string().into();
            disk::about_chain(&mut report, &query, &chain, broken.as_ref());
            if args.check {
                disk::check(&mut report, &query, &chain, broken.as_ref())?;
            }
        }
        Err(error) => {
            report.row("warning", format!("the active state cannot be opened: {error}"));
            report.json["Warnings"] = json!([error.to_string()]);
            if args.check {
                let mut found = CheckReport::default();
                disk::add(&mut found, &error);
                disk::tell(&mut report, &found, "no file of the active state was looked at");
                report.json["Check"] = json!({ "Findings": found.findings, "Total": found.total });
            }
        }
    }
    for record in set.unknown_records() {
        report.row("not read", record);
    }
    Ok(report)
}

/// Which snapshots are known, and the catalog that lists each.
fn snapshots(
    report: &mut Report,
    set: &VhdSet,
    known: &[Snapshot],
    from: impl Fn(&Snapshot) -> PathBuf,
) {
    let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
    if known.is_empty() {
        let message = format!(
            "none known: no catalog lists any; save the output of `Get-VHDSnapshot -Path {} -GetParentPaths | \
             ConvertTo-Json` beside the set as {}",
            name(set.path()),
            name(&set.catalog_path())
        );
        report.row("snapshots", message);
    }
    for snapshot in known {
        let file = snapshot.path.as_deref().unwrap_or("reference-only");
        let rct = snapshot.rct_id.map(|id| format!("  {id}")).unwrap_or_default();
        let from = name(&from(snapshot));
        report.row("snapshots", format!("{}  {file}{rct}  (listed in {from})", snapshot.id));
    }
    let json = known.iter().map(|snapshot| snapshot_json(snapshot, &from(snapshot)));
    report.json["Snapshots"] = json.collect();
}

fn snapshot_json(snapshot: &Snapshot, catalog: &Path) -> Value {
    json!({
        "SnapshotId": snapshot.id.to_string(),
        "SnapshotPath": snapshot.path,
        "ResilientChangeTrackingId": snapshot.rct_id,
        "ParentPathsList": snapshot.parents,
        "Catalog": catalog.display().to_string(),
    })
}
