//! A tracking table without its disk.

use super::{Report, check};
use crate::args::InfoArgs;
use crate::failure::Failure;
use crate::text::count;
use serde_json::{Value, json};
use std::sync::Arc;
use vhdx_rct::rct::TrackingTable;

pub fn report(args: &InfoArgs) -> Result<Report, Failure> {
    let path = &args.file;
    let table = Arc::new(TrackingTable::open(path)?);
    let header = table.header();
    let mut report = Report::default();
    report.row("file", path.display());
    report.row("format", "tracking table (.rct)");
    report.row("units", header.units);
    report.row("current id", header.current);
    report.row(
        "header",
        format!(
            "copy {}, counter {}, checksum {}",
            table.header_copy() + 1,
            header.counter,
            table.checksum()
        ),
    );
    for (branch, numbers) in table.known() {
        let ids = u64::from(numbers.end() - numbers.start()) + 1;
        let ids = count(ids, "id", "ids");
        report.row(
            "branch",
            format!("{branch}  {ids}, {:08x} to {:08x}", numbers.start(), numbers.end()),
        );
    }
    report.json = header_json(&table);
    report.json["Format"] = "rct".into();
    if args.check {
        let found = table.check().err();
        check::one(&mut report, found.as_ref(), "every page of the table checked, up to a bad one");
    }
    Ok(report)
}

pub fn header_json(table: &TrackingTable) -> Value {
    let header = table.header();
    let branches: Vec<Value> = header
        .branches
        .iter()
        .map(|branch| json!({ "Branch": branch.id, "First": branch.first, "Limit": branch.limit }))
        .collect();
    json!({
        "Path": table.path().display().to_string(),
        "Units": header.units,
        "UnitSize": table.unit_size(),
        "CurrentId": header.current,
        "Counter": header.counter,
        "Checksum": table.checksum().to_string(),
        "Branches": branches,
    })
}
