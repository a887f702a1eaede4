//! A sample on disk: its manifest, and for each case the files as the host had them.

use super::manifest::{CaseEntry, MAX_BYTES, Manifest, Origin};
use super::pack::CaseStorage;
use crate::error::{Error, ErrorKind, Result};
use crate::range::ByteRange;
use crate::source::{FileSource, Guard, Reader, Source, Storage};
use crate::vhdx::{Block, Vhdx};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Samples that are looked for in a folder.
const MAX_SAMPLES: usize = 1024;

const MANIFEST: &str = "manifest.json";

/// A sample, open.
pub struct Sample {
    folder: PathBuf,
    manifest: Manifest,
    cases: Vec<Case>,
}

/// The files of one moment, with what was done before and what the host answered.
pub struct Case {
    pub(super) entry: CaseEntry,
    folder: PathBuf,
    pub(super) storage: Arc<CaseStorage>,
}

impl Sample {
    /// The folders of samples: this one, or those in it that have a `manifest.json`, by name.
    ///
    /// # Errors
    /// Where the folder cannot be listed.
    pub fn find(folder: impl AsRef<Path>) -> std::result::Result<Vec<PathBuf>, Error> {
        let folder = folder.as_ref();
        if folder.join(MANIFEST).exists() {
            return Ok(vec![folder.to_owned()]);
        }
        let failed = |cause| Error::io("cannot be listed", cause).in_file(folder);
        let mut found = Vec::new();
        for entry in folder.read_dir().map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.join(MANIFEST).exists() && found.len() < MAX_SAMPLES {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    /// Opens the sample in a folder.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for a manifest that breaks a rule (a member too many or too few, a
    /// list too long, a path that is no plain name, parts that overlap or end past their file),
    /// and for a pack that is not what it says or holds payload, with the place in the message.
    pub fn open(folder: impl AsRef<Path>) -> std::result::Result<Self, Error> {
        let folder = folder.as_ref();
        let path = folder.join(MANIFEST);
        let failed = |cause| Error::io("cannot be read", cause).in_file(&path);
        let file = FileSource::open(&path).map_err(failed)?;
        let length = file.len().map_err(failed)?;
        if length > MAX_BYTES {
            let message = format!(
                "a manifest should have at most {MAX_BYTES} bytes and this one has {length}"
            );
            return Err(Error::new(ErrorKind::Corrupt, message).in_file(&path));
        }
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, 0).map_err(failed)?;
        let mut manifest = Manifest::parse(&bytes, &path)?;
        let entries = std::mem::take(&mut manifest.cases);
        let cases = entries.into_iter().map(|entry| Case::open(folder, entry));
        let cases = cases.collect::<Result<_>>()?;
        Ok(Sample { folder: folder.to_owned(), manifest, cases })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Who made it.
    pub fn origin(&self) -> Origin {
        self.manifest.origin
    }

    /// Which Windows it says to be from.
    pub fn windows(&self) -> &str {
        &self.manifest.windows
    }

    /// The steps that failed on the host, a sentence each.
    pub fn failed_steps(&self) -> impl Iterator<Item = &str> {
        self.manifest.failed_steps.iter().map(|step| step.text.as_str())
    }

    /// Has it every file that the host had?
    pub(super) fn is_whole(&self) -> bool {
        !self.manifest.failed_steps.iter().any(|step| step.is_packing)
    }

    /// Its cases, in the order in which they were made.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }
}

impl Case {
    fn open(sample: &Path, entry: CaseEntry) -> Result<Self> {
        let folder = sample.join(&entry.name);
        let storage = Arc::new(CaseStorage::open(&folder, &entry.files)?);
        let case = Case { entry, folder, storage };
        for file in &case.entry.files {
            let path = case.folder.join(&file.name);
            if is_disk(&file.name) {
                case.must_be_as_described(&file.name, &path)?;
                case.must_hold_no_payload(&path)?;
            } else if file.parts.iter().map(|part| part.length).sum::<u64>() != file.length {
                let message = "only disks are packed in parts; this file should be packed whole";
                return Err(Error::new(ErrorKind::Corrupt, message).in_file(&path));
            }
        }
        Ok(case)
    }

    /// Its name, which is its folder's.
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// The disk that the host was asked about: a path for [`storage`](Self::storage).
    pub fn disk(&self) -> PathBuf {
        self.folder.join(&self.entry.disk)
    }

    /// The files as the host had them, beside one another. Reading what was not packed is an
    /// error.
    pub fn storage(&self) -> Arc<dyn Storage> {
        self.storage.clone()
    }

    /// The packed files with their names on the host.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, PathBuf)> {
        self.entry.files.iter().map(|file| (file.name.as_str(), self.folder.join(&file.name)))
    }

    pub(super) fn reader(&self, path: &Path) -> Result<Reader> {
        Reader::open(&*self.storage, path, &Guard::default())
    }

    pub(super) fn vhdx(&self, path: &Path) -> Result<Vhdx> {
        Vhdx::open_in(&*self.storage, path, &Guard::default())
    }

    /// Was the disk that was asked about closed by whoever wrote it? Of a set: true.
    pub(super) fn closed_cleanly(&self) -> bool {
        !is_disk(&self.entry.disk)
            || self.vhdx(&self.disk()).is_ok_and(|disk| disk.closed_cleanly())
    }

    fn must_be_as_described(&self, name: &str, path: &Path) -> Result<()> {
        let disk = self.vhdx(path)?;
        let (size, sector) = (disk.virtual_size(), disk.metadata().logical_sector_size);
        if name != self.entry.disk || (size, sector.into()) == (self.entry.size, self.entry.sector)
        {
            return Ok(());
        }
        let message = format!(
            "the manifest says {} bytes in sectors of {}, and the file {size} in {sector}: they do not belong \
             together",
            self.entry.size, self.entry.sector
        );
        Err(Error::new(ErrorKind::Corrupt, message).in_file(path))
    }

    /// What is on somebody's disk is nobody else's business, and no question here needs it.
    fn must_hold_no_payload(&self, path: &Path) -> Result<()> {
        let parts: Vec<ByteRange> = self.storage.parts(path).collect();
        self.vhdx(path)?.blocks(|block| {
            let Block::Payload(place) = block else { return Ok(()) };
            let next = parts.partition_point(|part| part.end() <= place.offset);
            match parts.get(next).filter(|part| part.offset < place.end()) {
                None => Ok(()),
                Some(part) => {
                    let message = format!(
                        "its packed part at {:#x} holds bytes of the payload block at {:#x}; a sample has \
                         metadata only, so pack it anew",
                        part.offset, place.offset
                    );
                    Err(Error::new(ErrorKind::Corrupt, message).in_file(path))
                }
            }
        })
    }
}

pub(super) fn is_disk(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|e| e.eq_ignore_ascii_case("vhdx") || e.eq_ignore_ascii_case("avhdx"))
}
