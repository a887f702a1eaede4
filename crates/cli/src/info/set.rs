//! A VHD Set: its active file, its snapshots, and what could not be read.

use super::{Report, chain, check};
use crate::args::InfoArgs;
use crate::failure::Failure;
use crate::warning::Warning;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use vhdx_rct::vhd_set::VhdSet;
use vhdx_rct::{Disk, Error, Snapshot, SnapshotCatalog};

/// The report on a set whose active state was opened, or could not be.
pub fn report(
    args: &InfoArgs,
    set: &VhdSet,
    given: Option<&SnapshotCatalog>,
    active: Result<&Disk, &Error>,
) -> Result<Report, Failure> {
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
    let mut warnings = Vec::new();
    let known = match active {
        Ok(disk) => disk.snapshots().to_vec(),
        Err(_) => listed(set, given, &mut warnings),
    };
    let catalog = |snapshot: &Snapshot| match (&args.files.snapshots, given) {
        (Some(path), Some(given)) if given.get(snapshot.id).is_some() => path.clone(),
        _ => set.catalog_path(),
    };
    snapshots(&mut report, set, &known, catalog);
    match active {
        Ok(disk) => {
            let id = disk.identity().virtual_disk_id;
            report.row("disk id", id);
            report.json["VirtualDiskId"] = json!(id);
            chain::describe(&mut report, disk);
            if args.check {
                check::disk(&mut report, disk)?;
            }
        }
        Err(error) => {
            let message = format!("the active state cannot be opened: {error}");
            warnings.push(Warning::new(set.path(), message));
            report.warnings(&warnings);
            if args.check {
                check::one(&mut report, Some(error), "no file of the active state was checked");
            }
        }
    }
    for record in set.unknown_records() {
        report.row("not read", record);
    }
    Ok(report)
}

/// The snapshots of a set that was not opened as a disk, from the same catalogs.
fn listed(
    set: &VhdSet,
    given: Option<&SnapshotCatalog>,
    warnings: &mut Vec<Warning>,
) -> Vec<Snapshot> {
    let path = set.catalog_path();
    let mut known = given.map(|catalog| catalog.snapshots.clone()).unwrap_or_default();
    if path.exists() {
        match SnapshotCatalog::from_file(&path) {
            Ok(beside) => {
                let more = beside.snapshots.into_iter();
                known.extend(
                    more.filter(|one| given.is_none_or(|given| given.get(one.id).is_none())),
                );
            }
            Err(_) => warnings.push(Warning::new(&path, "the snapshot catalog cannot be used")),
        }
    }
    known
}

/// Adds the snapshots that are known, and the catalog that lists each.
fn snapshots(
    report: &mut Report,
    set: &VhdSet,
    known: &[Snapshot],
    catalog: impl Fn(&Snapshot) -> PathBuf,
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
        let catalog = name(&catalog(snapshot));
        report.row("snapshots", format!("{}  {file}{rct}  (listed in {catalog})", snapshot.id));
    }
    let json = known.iter().map(|snapshot| snapshot_json(snapshot, &catalog(snapshot)));
    report.json["Snapshots"] = json.collect();
}

fn snapshot_json(snapshot: &Snapshot, catalog: &Path) -> Value {
    json!({
        "SnapshotId": snapshot.id,
        "SnapshotPath": snapshot.path,
        "ResilientChangeTrackingId": snapshot.rct_id,
        "ParentPathsList": snapshot.parents,
        "Catalog": catalog.display().to_string(),
    })
}
