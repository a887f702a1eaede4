//! One object with the method's own names.

use super::Outcome;
use crate::text::plain_json;
use crate::warning::Warning;
use serde::Serialize;
use std::io::Write;
use std::time::Instant;
use vhdx_rct::{ChangeQuery, Disk, DiskIdentity, NextBaseline};

/// The method's out parameters, and what this tool adds to them.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    return_value: u32,
    processed_byte_length: u64,
    changed_byte_offsets: Vec<u64>,
    changed_byte_lengths: Vec<u64>,
    job: Option<String>,
    virtual_disk: VirtualDisk,
    next_since: Vec<NextBaseline>,
    warnings: Vec<Warning>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct VirtualDisk {
    #[serde(flatten)]
    identity: DiskIdentity,
    granularity: u32,
}

pub fn write(
    disk: &Disk,
    query: ChangeQuery,
    deadline: Option<Instant>,
    out: &mut impl Write,
) -> Outcome {
    let changes = query.collect()?;
    let mut warnings = Warning::all(&changes.warnings);
    // A question that is answered stays so, whatever the next one will be.
    let next_since = disk.next_baselines_until(deadline, None).unwrap_or_else(|error| {
        let message = format!("what to ask since the next time is unknown: {error}");
        warnings.push(Warning::new(disk.files()[0].path(), message));
        Vec::new()
    });
    let answer = Answer {
        return_value: 0,
        processed_byte_length: changes.processed_byte_length,
        changed_byte_offsets: changes.changed_byte_offsets(),
        changed_byte_lengths: changes.changed_byte_lengths(),
        job: None,
        virtual_disk: VirtualDisk { identity: changes.disk, granularity: changes.granularity },
        next_since,
        warnings,
    };
    Ok(writeln!(out, "{}", plain_json(serde_json::to_string(&answer)?))?)
}
