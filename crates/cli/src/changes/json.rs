//! One object with the method's own names: the library's answer, and what this tool adds to it.

use super::Outcome;
use crate::text::plain_json;
use crate::warning::{Warning, next_baselines};
use serde_json::json;
use std::io::Write;
use std::mem;
use std::time::Instant;
use vhdx_rct::{ChangeQuery, Disk};

pub fn write(
    disk: &Disk,
    query: ChangeQuery,
    deadline: Option<Instant>,
    out: &mut impl Write,
) -> Outcome {
    let mut changes = query.collect()?;
    let mut warnings = Warning::all(&mem::take(&mut changes.warnings));
    let next_since = next_baselines(disk, deadline, &mut warnings);
    let mut answer = serde_json::to_value(changes)?;
    if let Some(members) = answer.as_object_mut() {
        members.remove("Warnings"); // the last one: the tool's own follow the next baselines
        members.insert("NextSince".into(), json!(next_since));
        members.insert("Warnings".into(), json!(warnings));
    }
    Ok(writeln!(out, "{}", plain_json(answer.to_string()))?)
}
