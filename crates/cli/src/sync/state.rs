//! What is known of a raw copy, in a small file beside it: at which points of the disk's
//! history the copy is, and where it may differ from them.

use super::areas::Areas;
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;
use vhdx_rct::ReturnValue;

/// The state file of a copy.
///
/// The promise that it carries: outside the doubtful areas, the copy has the content that the
/// disk had at each of the points. Before anything is written to the copy, the areas that will
/// be touched are put down as doubtful; so an interruption at any moment loses nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct State {
    /// Of this file.
    pub version: u32,
    /// Which disk the copy is of.
    pub virtual_disk_id: Uuid,
    /// Its size, and the copy's, in bytes.
    pub virtual_size: u64,
    /// The baselines that the next sync may name; none while a full copy is being made.
    pub at: Vec<String>,
    /// Set while a sync is under way: the baselines that the copy will be at.
    pub going_to: Option<Vec<String>>,
    /// Where the copy may differ from what it should be at those points.
    pub doubtful: Areas,
}

/// The state file of a copy: its name with `.vhdx-rct.json` appended.
pub fn path_of(copy: &Path) -> PathBuf {
    let mut name: OsString = copy.as_os_str().to_owned();
    name.push(".vhdx-rct.json");
    name.into()
}

/// Reads a copy's state; None where it has none.
pub fn load(copy: &Path) -> Result<Option<State>, Failure> {
    let path = path_of(copy);
    let refuse = |what: String| {
        let message = format!("{what}; make a new copy with --since '*'");
        Failure::about(&path, ReturnValue::InvalidState, &message)
    };
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refuse(format!("the copy's state cannot be read: {error}"))),
    };
    let state: State = serde_json::from_slice(&text)
        .map_err(|error| refuse(format!("the copy's state is damaged: {error}")))?;
    if state.version != 1 {
        return Err(refuse(format!(
            "expected version 1 of the copy's state, found version {}",
            state.version
        )));
    }
    Ok(Some(state))
}

/// Puts a state down: it is there whole, or the one before is, even after a power failure.
pub fn store(copy: &Path, state: &State) -> io::Result<()> {
    let path = path_of(copy);
    let mut temporary = path.clone().into_os_string();
    temporary.push(".new");
    let mut file = fs::File::create(&temporary)?;
    serde_json::to_writer(&mut file, state)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    let directory = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // Not every system can sync a directory; if this one can, the new name survives.
    if let Ok(directory) = fs::File::open(directory) {
        let _ = directory.sync_all();
    }
    Ok(())
}
