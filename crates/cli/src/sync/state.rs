//! The state file of a copy: how the copy relates to its disk.

use super::areas::Areas;
use super::point::Point;
use super::target;
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;
use vhdx_rct::ReturnValue;

/// The version of the state file's layout that this tool reads and writes.
const VERSION: u32 = 2;

/// How a copy relates to its disk.
///
/// For each point: outside the point's doubtful areas and the state's own, the copy has the content
/// that the disk had at the point. Everything that a run writes is added to the state's doubtful
/// areas before the first write, so that an interruption at any moment loses nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct State {
    pub version: u32,
    /// The disk that the copy was made of.
    pub virtual_disk_id: Uuid,
    /// The size of the disk, in bytes, when the copy was last complete.
    pub virtual_size: u64,
    /// Set while a run writes. A run that finds it does not trust what it reads from the copy: after
    /// a failed sync, an operating system may show bytes that never reached the medium.
    pub unfinished: bool,
    /// The points from which the copy can be brought up to date.
    pub points: Vec<Point>,
    /// The areas that an unfinished run may have written.
    pub doubtful: Areas,
}

impl State {
    pub fn new(virtual_disk_id: Uuid, virtual_size: u64) -> Self {
        State {
            version: VERSION,
            virtual_disk_id,
            virtual_size,
            unfinished: false,
            points: Vec::new(),
            doubtful: Areas::default(),
        }
    }
}

/// Where the state of a copy is stored.
pub struct StateFile(PathBuf);

impl StateFile {
    /// Returns the given file, or the copy's name with `.vhdx-rct.json` appended.
    pub fn of(copy: &Path, given: Option<&Path>) -> Self {
        StateFile(given.map_or_else(|| with_suffix(copy, ".vhdx-rct.json"), Path::to_owned))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Creates the failure of a run that this state does not allow.
    pub fn refuse(&self, message: &str) -> Failure {
        Failure::about(&self.0, ReturnValue::InvalidState, message)
    }

    /// Reads the state, if there is one.
    pub fn load(&self) -> Result<Option<State>, Failure> {
        let damaged = |reason: String| {
            self.refuse(&format!("the state of the copy {reason}; make a full copy with --full"))
        };
        let text = match fs::read(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(damaged(format!("cannot be read: {error}"))),
        };
        /// All that every version of the file has.
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Versioned {
            version: u32,
        }
        let parse_error = |error| damaged(format!("is damaged: {error}"));
        let Versioned { version } = serde_json::from_slice(&text).map_err(parse_error)?;
        if version != VERSION {
            return Err(damaged(format!("should have version {VERSION}, found version {version}")));
        }
        serde_json::from_slice(&text).map(Some).map_err(parse_error)
    }

    /// Replaces the state. After a crash or a power failure, the file has either this state or the
    /// one before.
    pub fn store(&self, state: &State) -> Result<(), Failure> {
        self.try_store(state).map_err(|cause| target::failure(&self.0, &cause))
    }

    fn try_store(&self, state: &State) -> io::Result<()> {
        let new = with_suffix(&self.0, ".new");
        let mut text = serde_json::to_vec(state)?;
        text.push(b'\n');
        let mut file = File::create(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, &self.0)?;
        sync_directory_of(&self.0)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes a new or changed name durable.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(()); // NTFS journals its directories
    }
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    match File::open(directory.unwrap_or(Path::new(".")))?.sync_all() {
        // Some file systems cannot sync a directory.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        result => result,
    }
}
