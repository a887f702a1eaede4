//! From the command line to an opened disk and what it is asked.

use crate::args::{Files, Question};
use crate::failure::Failure;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;
use vhdx_rct::{Baseline, Disk, Error, OpenOptions, ReturnValue, SnapshotCatalog};

/// A catalog of a thousand snapshots has half a mebibyte.
const MAX_CATALOG_BYTES: u64 = 16 << 20;

impl Question {
    /// Opens the disk with the question's options and those that `more` sets.
    pub fn open(&self, more: impl FnOnce(&mut OpenOptions)) -> Result<(Disk, Baseline), Failure> {
        let since = parse("--since", &self.since)?;
        let mut options = self.files.options(self.files.catalog()?);
        options.allow_unclean(self.allow_unclean);
        more(&mut options);
        Ok((options.open(&self.disk)?, since))
    }
}

impl Files {
    /// Reads the snapshot catalog that the command line names.
    pub fn catalog(&self) -> Result<Option<SnapshotCatalog>, Failure> {
        self.snapshots.as_deref().map(read_catalog).transpose()
    }

    /// The options of an opening that finds these files.
    pub fn options(&self, catalog: Option<SnapshotCatalog>) -> OpenOptions {
        let mut options = OpenOptions::new();
        self.search_path.iter().for_each(|directory| _ = options.search_path(directory));
        self.confine_to.iter().for_each(|directory| _ = options.confine_to(directory));
        if let Some(catalog) = catalog {
            options.catalog(catalog);
        }
        options
    }
}

/// Parses an id of the command line.
pub fn parse<T: FromStr<Err = Error>>(option: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| Failure::malformed(option, error))
}

/// Reads a snapshot catalog.
pub fn read_catalog(path: &Path) -> Result<SnapshotCatalog, Failure> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_CATALOG_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|cause| Failure::unreadable(path, &cause))?;
    if bytes.len() as u64 > MAX_CATALOG_BYTES {
        let message = "expected a snapshot catalog of at most 16 MiB, found a larger file";
        return Err(Failure::about(path, ReturnValue::Failed, message));
    }
    SnapshotCatalog::from_json(&bytes)
        .map_err(|error| Failure::from(error).with_place(&path.display().to_string()))
}
