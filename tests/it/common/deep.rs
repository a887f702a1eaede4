//! A chain of any length that costs the memory of one file: each file is the same image, with
//! its own GUIDs and its own parent's name put in while it is read.

use super::image::Image;
use super::memory::Patched;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;
use vhdx_rct::source::{Source, Storage};
use vhdx_rct_fixtures::paths::without_dots;
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{Block, MB, ParentLocator, VhdxBuilder, ids, store_crc};

const DIRECTORY: &str = "/deep";
/// Placeholders of the same length as what takes their place.
const NAME: &str = r".\99999.avhdx";
const LINKAGE: u128 = u128::MAX / 3;

/// File 0 is the leaf, file `i` the child of file `i + 1`, and the last one the child of
/// `last_names`, or without a parent.
pub struct Deep {
    files: u64,
    last_names: Option<u64>,
    child: Arc<Vec<u8>>,
    root: Arc<Vec<u8>>,
    at: Image,
    table: Option<Arc<dyn Source>>,
    opened: AtomicU64,
}

impl Deep {
    pub fn new(files: u64, last_names: Option<u64>) -> Self {
        let disk = || VhdxBuilder::new(4 * MB).seed(7).block(1, Block::Full(Fill(1)));
        let locator = ParentLocator::new(Uuid::from_u128(LINKAGE)).relative(NAME);
        let mut at = Image::new(&disk().parent(locator));
        let child = Arc::new(std::mem::take(&mut at.bytes));
        let root = Arc::new(Image::new(&disk()).bytes);
        Deep { files, last_names, child, root, at, table: None, opened: AtomicU64::new(0) }
    }

    /// The same tracking table beside each file.
    pub fn with_table(mut self, table: impl Source + 'static) -> Self {
        self.table = Some(Arc::new(table));
        self
    }

    /// The table that a path names, if it names one.
    fn table(&self, path: &Path) -> Option<Arc<dyn Source>> {
        let disk = path.to_str()?.strip_suffix(".rct")?;
        self.table.clone().filter(|_| self.index(Path::new(disk)).is_ok())
    }

    pub fn path(&self, file: u64) -> PathBuf {
        Path::new(DIRECTORY).join(format!("{file:05}.avhdx"))
    }

    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    fn index(&self, path: &Path) -> io::Result<u64> {
        let name = path.strip_prefix(DIRECTORY).ok().and_then(Path::to_str);
        let number = name.and_then(|name| name.strip_suffix(".avhdx")?.parse().ok());
        number.filter(|&file| file < self.files).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn parent_of(&self, file: u64) -> Option<u64> {
        if file + 1 < self.files { Some(file + 1) } else { self.last_names }
    }

    /// Both headers with the file's own DataWriteGuid.
    fn with_guid(&self, base: &Arc<Vec<u8>>, file: u64) -> Patched {
        self.at.at.header_offsets.iter().fold(Patched::new(base), |patched, &offset| {
            let mut header = base[offset as usize..][..4096].to_vec();
            header[32..48].copy_from_slice(&guid(file).to_bytes_le());
            store_crc(&mut header);
            patched.with(offset, header)
        })
    }

    /// The locator with the parent's GUID and name.
    fn with_parent(&self, patched: Patched, parent: u64) -> Patched {
        let (offset, length) = self.at.at.metadata_items[&ids::PARENT_LOCATOR];
        let mut item = self.child[offset as usize..][..length as usize].to_vec();
        let linkage = |id: Uuid| id.braced().to_string();
        replace(&mut item, &linkage(Uuid::from_u128(LINKAGE)), &linkage(guid(parent)));
        replace(&mut item, NAME, &format!(r".\{parent:05}.avhdx"));
        patched.with(offset, item)
    }
}

fn guid(file: u64) -> Uuid {
    Uuid::from_u128(0xDEE9 << 64 | u128::from(file))
}

fn replace(bytes: &mut [u8], old: &str, new: &str) {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let (old, new) = (utf16(old), utf16(new));
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    bytes[at..at + new.len()].copy_from_slice(&new);
}

impl Storage for Deep {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Source>> {
        if let Some(table) = self.table(path) {
            return Ok(table);
        }
        let file = self.index(path)?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(match self.parent_of(file) {
            Some(parent) => self.with_parent(self.with_guid(&self.child, file), parent),
            None => self.with_guid(&self.root, file),
        }))
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        let path = without_dots(path);
        if self.table(&path).is_none() {
            self.index(&path)?;
        }
        Ok(path)
    }

    fn list(&self, _: &Path) -> io::Result<Vec<OsString>> {
        let names = |file| [format!("{file:05}.avhdx"), format!("{file:05}.avhdx.rct")];
        let count = if self.table.is_some() { 2 } else { 1 };
        Ok((0..self.files)
            .flat_map(|file| names(file).into_iter().take(count))
            .map(OsString::from)
            .collect())
    }
}
