//! A storage that misbehaves on purpose, over the files of this machine.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use vhdx_rct::source::{LocalStorage, Source, Storage, Version};

/// What happens at the chosen read, and at every one behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    Fail,
    Panic,
    Delay(Duration),
}

/// Lets one file misbehave from its n-th read on, or refuses to open it.
pub struct Injected {
    name: String,
    /// None: the file cannot even be opened.
    reaction: Option<(usize, Reaction)>,
}

struct InjectedSource {
    file: Arc<dyn Source>,
    reads: AtomicUsize,
    at: usize,
    reaction: Reaction,
}

impl Injected {
    pub fn at(name: &str, read: usize, reaction: Reaction) -> Arc<Self> {
        Arc::new(Injected { name: name.into(), reaction: Some((read, reaction)) })
    }

    pub fn denying(name: &str) -> Arc<Self> {
        Arc::new(Injected { name: name.into(), reaction: None })
    }
}

impl Storage for Injected {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        let file = LocalStorage::new().open(path)?;
        if path.file_name().is_none_or(|name| name != self.name.as_str()) {
            return Ok(file);
        }
        let (at, reaction) = self.reaction.ok_or(io::ErrorKind::PermissionDenied)?;
        Ok(Arc::new(InjectedSource { file, reads: AtomicUsize::new(0), at, reaction }))
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        LocalStorage::new().canonicalize(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        LocalStorage::new().list(folder)
    }
}

impl Source for InjectedSource {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if self.reads.fetch_add(1, Ordering::Relaxed) >= self.at {
            match self.reaction {
                Reaction::Fail => {
                    return Err(io::Error::other("the medium failed, as the test wants"));
                }
                Reaction::Panic => panic!("a caller's source panics, as the test wants"),
                Reaction::Delay(time) => std::thread::sleep(time),
            }
        }
        self.file.read_exact_at(buffer, offset)
    }

    fn version(&self) -> io::Result<Version> {
        self.file.version()
    }
}
