//! Opens a sample: its manifest, and for each case the files as the host had them.

use crate::compare::minus;
use crate::error::{Error, Result};
use crate::manifest::{CaseEntry, MAX_BYTES, Manifest, Origin};
use crate::pack::{CaseStorage, PackedFile};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vhdx_rct::source::{FileSource, Source, Storage};
use vhdx_rct::{ByteRange, Disk, OpenOptions};

/// The maximum number of samples in a directory.
const MAX_SAMPLES: usize = 1024;

const MANIFEST: &str = "manifest.json";

/// An open sample.
pub struct Sample {
    directory: PathBuf,
    manifest: Manifest,
    cases: Vec<Case>,
}

/// The files of one moment, with what was done before and what the host answered.
pub struct Case {
    pub(crate) entry: CaseEntry,
    directory: PathBuf,
    pub(crate) storage: Arc<CaseStorage>,
}

impl Sample {
    /// Finds samples: the directory itself, or its subdirectories with a `manifest.json`, by name.
    ///
    /// # Errors
    /// Fails if the directory cannot be listed.
    pub fn find(directory: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        let directory = directory.as_ref();
        if directory.join(MANIFEST).exists() {
            return Ok(vec![directory.to_owned()]);
        }
        let failed = |cause| Error::io(directory, "cannot be listed", cause);
        let mut found = Vec::new();
        for entry in directory.read_dir().map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.join(MANIFEST).exists() && found.len() < MAX_SAMPLES {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    /// Opens the sample in a directory.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a manifest that breaks a rule (a member too many or too few, a
    /// list too long, a path that is not a plain name, parts that overlap or end past their file),
    /// and for a pack that is malformed or holds payload, with the place in the message.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        let directory = directory.as_ref();
        let path = directory.join(MANIFEST);
        let failed = |cause| Error::io(&path, "cannot be read", cause);
        let file = FileSource::open(&path).map_err(failed)?;
        let length = file.size().map_err(failed)?;
        if length > MAX_BYTES {
            let message =
                format!("expected a manifest of at most {MAX_BYTES} bytes, found {length}");
            return Err(Error::invalid(&path, message));
        }
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, 0).map_err(failed)?;
        let mut manifest = Manifest::parse(&bytes, &path)?;
        let entries = std::mem::take(&mut manifest.cases);
        let cases = entries.into_iter().map(|entry| Case::open(directory, entry));
        let cases = cases.collect::<Result<_>>()?;
        Ok(Sample { directory: directory.to_owned(), manifest, cases })
    }

    /// Returns its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns its origin.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.manifest.origin
    }

    /// Returns the Windows version that it claims.
    #[must_use]
    pub fn windows(&self) -> &str {
        &self.manifest.windows
    }

    /// Returns the steps that failed on the host, a sentence each.
    pub fn failed_steps(&self) -> impl Iterator<Item = &str> {
        self.manifest.failed_steps.iter().map(|step| step.text.as_str())
    }

    /// Returns true if it has every file that the host had.
    pub(crate) fn is_whole(&self) -> bool {
        !self.manifest.failed_steps.iter().any(|step| step.is_packing)
    }

    /// Returns its cases, in the order in which they were made.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }
}

impl Case {
    fn open(sample: &Path, entry: CaseEntry) -> Result<Self> {
        let directory = sample.join(&entry.name);
        let storage = Arc::new(CaseStorage::open(&directory, &entry.files)?);
        let case = Case { entry, directory, storage };
        for file in &case.entry.files {
            let path = case.directory.join(&file.name);
            if is_disk(&file.name) {
                case.verify_description(&file.name, &path)?;
                case.verify_no_payload(&path)?;
            } else if file.parts.iter().map(|part| part.length).sum::<u64>() != file.length {
                let message = "only disks are packed in parts; this file should be packed whole";
                return Err(Error::invalid(&path, message));
            }
        }
        Ok(case)
    }

    /// Returns its name, which is also that of its directory.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// Returns the path of the queried disk in [`storage`](Self::storage).
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.directory.join(&self.entry.disk)
    }

    /// Returns the files as the host had them, in one directory. Reading what was not packed is an
    /// error.
    #[must_use]
    pub fn storage(&self) -> Arc<dyn Storage> {
        self.storage.clone()
    }

    /// Returns the packed files with their names on the host.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, PathBuf)> {
        self.entry.files.iter().map(|file| (file.name.as_str(), self.directory.join(&file.name)))
    }

    pub(crate) fn file(&self, path: &Path) -> Result<PackedFile> {
        self.storage.file(path)
    }

    /// Returns options that open only files of the case. Tables may lag, since that is a fact of
    /// its own.
    pub(crate) fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.storage(self.storage()).confine_to(&self.directory).allow_unclean(true);
        options
    }

    pub(crate) fn open_disk(&self, path: &Path) -> Result<Disk, vhdx_rct::Error> {
        self.options().open(path)
    }

    /// Returns true if the queried disk was closed by the program that wrote it, or is a set.
    pub(crate) fn closed_cleanly(&self) -> bool {
        !is_disk(&self.entry.disk)
            || self.open_disk(&self.disk()).is_ok_and(|disk| disk.files()[0].closed_cleanly())
    }

    fn verify_description(&self, name: &str, path: &Path) -> Result<()> {
        let identity = self.open_disk(path)?.identity();
        let (size, sector) = (identity.virtual_size, identity.logical_sector_size);
        if name != self.entry.disk || (size, sector.into()) == (self.entry.size, self.entry.sector)
        {
            return Ok(());
        }
        let message = format!(
            "expected {} bytes in sectors of {} as in the manifest, found {size} in {sector}: they do not belong \
             together",
            self.entry.size, self.entry.sector
        );
        Err(Error::invalid(path, message))
    }

    /// Verifies that no content of the disk is packed: it is private, and no query needs it.
    fn verify_no_payload(&self, path: &Path) -> Result<()> {
        let parts: Vec<ByteRange> = self.storage.parts(path).collect();
        let metadata = self.open_disk(path)?.metadata_parts(0)?;
        let Some(other) = minus(&parts, &metadata).first().copied() else { return Ok(()) };
        let message = format!(
            "expected its packed parts to hold metadata only, found {} bytes at {:#x} that may be of a payload \
             block; pack it again",
            other.length, other.offset
        );
        Err(Error::invalid(path, message))
    }
}

pub(crate) fn is_disk(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|e| e.eq_ignore_ascii_case("vhdx") || e.eq_ignore_ascii_case("avhdx"))
}
