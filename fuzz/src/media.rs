//! Files in memory: a fixture builder's file, which is not copied, and changes to it.

use crate::ask::checked;
use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use vhdx_rct::Error;
use vhdx_rct::source::{FileSource, MemoryStorage, SliceSource, Source, Storage};
use vhdx_rct_fixtures::vhdx::{Placement, VhdxBuilder};

/// The maximum number of bytes that one step may read from the targets' small files: a bound on time
/// that does not depend on the machine.
const MAX_READ: u64 = 256 << 20;

thread_local! {
    static READ: Cell<u64> = const { Cell::new(0) };
}

/// Begins a step.
pub fn start_metering() {
    READ.set(0);
}

/// A file with changes.
#[derive(Clone)]
pub struct Image {
    base: Arc<dyn Source>,
    patches: Vec<(u64, Vec<u8>)>,
    length: u64,
}

impl Image {
    pub fn new(base: Arc<dyn Source>) -> Self {
        let length = base.size().expect("a file of this process");
        Image { base, patches: Vec::new(), length }
    }

    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Image::new(Arc::new(SliceSource(bytes)))
    }

    pub fn put(&mut self, offset: u64, bytes: impl Into<Vec<u8>>) {
        self.patches.push((offset, bytes.into()));
    }

    /// Returns the bytes as changed so far; zeros after the file's end.
    pub fn get(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes, offset);
        bytes
    }

    /// Truncates the file, or extends it with zeros.
    pub fn set_length(&mut self, length: u64) {
        self.length = length;
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    fn fill(&self, buffer: &mut [u8], offset: u64) {
        let stored = self.base.size().unwrap_or_default().saturating_sub(offset);
        let own = stored.min(buffer.len() as u64) as usize;
        if own > 0 {
            self.base.read_exact_at(&mut buffer[..own], offset).expect("inside the base");
        }
        buffer[own..].fill(0);
        let end = offset.saturating_add(buffer.len() as u64);
        for (at, bytes) in &self.patches {
            let (from, until) = (offset.max(*at), end.min(at + bytes.len() as u64));
            if from < until {
                let patch = &bytes[(from - at) as usize..(until - at) as usize];
                buffer[(from - offset) as usize..(until - offset) as usize].copy_from_slice(patch);
            }
        }
    }
}

impl Source for Image {
    fn size(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|&end| end <= self.length);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        READ.set(READ.get() + buffer.len() as u64);
        assert!(READ.get() <= MAX_READ, "a step reads more than {MAX_READ} bytes");
        self.fill(buffer, offset);
        Ok(())
    }
}

/// A file of the fixture builder.
pub struct Skeleton {
    pub at: Placement,
    base: Arc<dyn Source>,
}

impl Skeleton {
    pub fn new(builder: &VhdxBuilder) -> Self {
        let scratch = Scratch::new();
        let at = builder.write(&scratch.path()).expect("a file that can be built");
        Skeleton { at, base: Arc::new(SliceSource(scratch.bytes())) }
    }

    pub fn image(&self) -> Image {
        Image::new(self.base.clone())
    }
}

/// A file without a name, in memory if possible: a crash leaves nothing to clean up. Linux opens it
/// again by the path of its descriptor.
pub struct Scratch(File);

impl Scratch {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let file = tempfile::tempfile_in("/dev/shm").or_else(|_| tempfile::tempfile());
        Scratch(file.expect("a temporary file"))
    }

    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).expect("the file")
    }

    pub fn image(&self) -> Image {
        let file = self.0.try_clone().expect("another descriptor");
        Image::new(Arc::new(FileSource::from_file(file)))
    }
}

/// Calls a function that inspects a file, which may only fail with a valid error. Returns whether
/// it succeeded.
pub fn inspect<T>(image: &Image, inspect: impl Fn(&Path) -> Result<T, Error>) -> bool {
    static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);
    let bytes = image.get(0, image.length() as usize);
    std::fs::write(SCRATCH.path(), bytes).expect("a file in memory");
    checked(inspect(&SCRATCH.path())).is_some()
}

/// A storage of files in memory.
#[derive(Default)]
pub struct Disks(MemoryStorage);

impl Disks {
    pub fn with(mut self, path: impl Into<PathBuf>, image: Image) -> Self {
        self.0.insert(path, Arc::new(image));
        self
    }

    pub fn with_bytes(self, path: impl Into<PathBuf>, bytes: Vec<u8>) -> Self {
        self.with(path, Image::from_bytes(bytes))
    }

    pub fn shared(self) -> Arc<dyn Storage> {
        Arc::new(self.0)
    }
}
