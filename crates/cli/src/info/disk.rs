//! A disk's own file.

use super::chain::{describe, kind};
use super::{Report, check};
use crate::args::InfoArgs;
use crate::failure::Failure;
use crate::text::{count, human_and_exact};
use serde_json::json;
use vhdx_rct::{Disk, DiskFile};

pub fn report(args: &InfoArgs, disk: &Disk) -> Result<Report, Failure> {
    let mut report = Report::default();
    identity(&mut report, &disk.files()[0]);
    describe(&mut report, disk);
    if args.check {
        check::disk(&mut report, disk)?;
    }
    Ok(report)
}

fn identity(report: &mut Report, leaf: &DiskFile) {
    let metadata = leaf.metadata();
    let (logical, physical) = (metadata.logical_sector_size, metadata.physical_sector_size);
    report.row("file", leaf.path().display());
    report.row("format", format!("VHDX, {}", kind(leaf)));
    report.row("created by", leaf.creator());
    report.row("disk id", metadata.disk_id);
    report.row("virtual size", human_and_exact(metadata.virtual_size));
    report.row("file length", human_and_exact(leaf.identity().length));
    report.row("block size", human_and_exact(metadata.block_size.into()));
    report.row("sectors", format!("{logical} bytes logical, {physical} physical"));
    report.row("data write id", leaf.identity().data_write_guid);
    report.row("log", log(leaf));
    report.json = json!({
        "Format": "vhdx",
        "Kind": kind(leaf),
        "Creator": leaf.creator(),
        "VirtualDiskId": metadata.disk_id,
        "VirtualSize": metadata.virtual_size,
        "BlockSize": metadata.block_size,
        "LogicalSectorSize": logical,
        "PhysicalSectorSize": physical,
    });
}

fn log(file: &DiskFile) -> String {
    match file.replayed_log_entries() {
        None => "empty: closed cleanly".into(),
        Some(entries) => format!("{} to replay", count(entries as u64, "entry", "entries")),
    }
}
