//! A VHD Set: active file, snapshots, and what could not be read.

use super::{Report, disk};
use crate::args::InfoArgs;
use crate::failure::Failure;
use serde_json::{Value, json};
use vhdx_rct::vhd_set::{Snapshot, VhdSet};
use vhdx_rct::{ChangeQuery, Error, SnapshotCatalogue};

pub fn report(args: &InfoArgs, set: &VhdSet) -> Result<Report, Failure> {
    let mut query = ChangeQuery::new(&args.file).parent_search(&args.search_path);
    if let Some(path) = &args.snapshots {
        query = query.snapshots(SnapshotCatalogue::open(path)?);
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
    snapshots(&mut report, query.known_snapshots());
    match query.chain() {
        Ok((chain, broken)) => {
            report.row("disk id", chain.leaf().metadata().disk_id);
            report.json["VirtualDiskId"] = chain.leaf().metadata().disk_id.to_string().into();
            disk::about_chain(&mut report, &query, &chain, broken.as_ref());
            if args.check {
                disk::check(&mut report, &chain)?;
            }
        }
        Err(error) => {
            report.row("warning", format!("the active state cannot be opened: {error}"));
            report.json["Warnings"] = json!([error.to_string()]);
        }
    }
    for record in set.unknown_records() {
        report.row("not read", record);
    }
    Ok(report)
}

fn snapshots(report: &mut Report, known: Result<Vec<Snapshot>, Error>) {
    match known {
        Ok(known) => {
            if known.is_empty() {
                report.row("snapshots", "none known");
            }
            for snapshot in &known {
                let file = snapshot.path.as_deref().unwrap_or("reference-only");
                let rct = snapshot.rct_id.map(|id| format!("  {id}")).unwrap_or_default();
                report.row("snapshots", format!("{}  {file}{rct}", snapshot.id));
            }
            report.json["Snapshots"] = known.iter().map(snapshot_json).collect();
        }
        Err(error) => report.row("warning", format!("the snapshots are not known: {error}")),
    }
}

fn snapshot_json(snapshot: &Snapshot) -> Value {
    json!({
        "SnapshotId": snapshot.id.to_string(),
        "SnapshotPath": snapshot.path,
        "ResilientChangeTrackingId": snapshot.rct_id,
        "ParentPathsList": snapshot.parents,
    })
}
