//! Opens the disk that the command line names, and parses the baseline.

use crate::args::{DiskArgs, Files, Question};
use crate::failure::Failure;
use std::str::FromStr;
use vhdx_rct::{Baseline, Disk, Error, OpenOptions, SnapshotCatalog};

impl Question {
    /// Opens the disk with the question's options and those that `more` sets.
    pub fn open(&self, more: impl FnOnce(&mut OpenOptions)) -> Result<(Disk, Baseline), Failure> {
        let since = parse("--since", &self.since)?;
        Ok((self.disk.open(more)?, since))
    }
}

impl DiskArgs {
    /// Opens the disk with these options and those that `more` sets.
    pub fn open(&self, more: impl FnOnce(&mut OpenOptions)) -> Result<Disk, Failure> {
        let mut options = self.files.options(self.files.catalog()?);
        options.allow_unclean(self.allow_unclean);
        more(&mut options);
        Ok(options.open(&self.disk)?)
    }
}

impl Files {
    /// Reads the snapshot catalog that the command line names.
    pub fn catalog(&self) -> Result<Option<SnapshotCatalog>, Failure> {
        Ok(self.snapshots.as_deref().map(SnapshotCatalog::from_file).transpose()?)
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
    text.parse().map_err(|error| Failure::malformed(option, &error))
}
