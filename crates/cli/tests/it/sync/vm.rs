//! A model of a virtual machine's disk as Hyper-V keeps it: which files there are after each night,
//! what identifies them, and the content that the disk has.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::{RctId, Tracked};
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::vhdx::{Block, DirtyLog, LogPlan, MB, ParentLocator, VhdxBuilder};

const SECTOR: u64 = 512;
const SECTORS_PER_BLOCK: u64 = MB / SECTOR;

/// A virtual machine's disk. Clone it for a snapshot of the storage.
#[derive(Clone)]
pub struct Vm {
    pub rng: Rng,
    seed: u64,
    size: u64,
    /// The chain, root first.
    files: Vec<DiskFile>,
    pub running: bool,
    /// Whether the program that writes never changes a file's DataWriteGuid.
    keeps_guid: bool,
    /// Counts everything that changes a file, and stands for the time.
    clock: u64,
    /// Fills differ from one write to the next.
    writes: u64,
}

#[derive(Clone)]
struct DiskFile {
    name: String,
    /// The fill of each sector that the file has.
    sectors: Vec<Option<Fill>>,
    table: Option<Tracked>,
    sequence: u64,
    file_write: u64,
    data_write: u64,
    /// Whether the content was written to since the file was opened.
    written: bool,
    modified: u64,
}

impl Vm {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let size = rng.range(2..5) * MB - rng.below(3) * SECTOR;
        let mut vm = Vm {
            rng,
            seed,
            size,
            files: Vec::new(),
            running: false,
            keeps_guid: seed % 4 == 3,
            clock: 0,
            writes: 0,
        };
        let table = Some(Tracked::new(size, vm.rng.next_u64()));
        vm.add_file(table);
        vm
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    fn add_file(&mut self, table: Option<Tracked>) {
        self.clock += 1;
        let file = DiskFile {
            name: format!(
                "disk{}.{}",
                self.clock,
                if self.files.is_empty() { "vhdx" } else { "avhdx" }
            ),
            sectors: vec![None; self.size.div_ceil(SECTOR) as usize],
            table,
            sequence: 2 + self.rng.below(20),
            file_write: self.rng.next_u64(),
            data_write: self.rng.next_u64(),
            written: false,
            modified: self.clock,
        };
        self.files.push(file);
    }

    fn leaf(&mut self) -> &mut DiskFile {
        self.files.last_mut().expect("a disk has a file")
    }

    /// Opens the leaf for writing.
    fn open(&mut self) {
        let (clock, file_write) = (self.clock + 1, self.rng.next_u64());
        self.clock = clock;
        let leaf = self.leaf();
        (leaf.file_write, leaf.modified, leaf.written) = (file_write, clock, false);
        leaf.sequence += 2;
    }

    /// Closes the leaf cleanly.
    fn close(&mut self) {
        self.clock += 1;
        let clock = self.clock;
        let leaf = self.leaf();
        leaf.sequence += 2;
        leaf.modified = clock;
    }

    pub fn set_running(&mut self, running: bool) {
        if running && !self.running {
            self.open();
        } else if !running && self.running {
            self.close();
        }
        self.running = running;
    }

    /// Runs something that needs the disk open for writing, as a running machine has it.
    fn opened(&mut self, change: impl FnOnce(&mut Self)) {
        let was_running = self.running;
        self.set_running(true);
        change(self);
        self.set_running(was_running);
    }

    pub fn write(&mut self) {
        let sectors = self.size / SECTOR;
        let start = self.rng.below(sectors);
        let end = sectors.min(start + 1 + self.rng.below(300));
        // Zeros too, which a copy may keep as a hole.
        let fill = if self.rng.one_in(5) { Fill::ZEROS } else { Fill(self.writes + 1) };
        self.writes += 1;
        self.opened(|vm| vm.put(start..end, fill));
    }

    fn put(&mut self, sectors: Range<u64>, fill: Fill) {
        let data_write = self.rng.next_u64();
        self.clock += 1;
        let clock = self.clock;
        let keeps_guid = self.keeps_guid;
        let leaf = self.leaf();
        if !leaf.written && !keeps_guid {
            (leaf.data_write, leaf.written) = (data_write, true);
            leaf.sequence += 2;
        }
        leaf.modified = clock;
        leaf.sectors[sectors.start as usize..sectors.end as usize].fill(Some(fill));
        if let Some(table) = &mut leaf.table {
            table.write(sectors.start * SECTOR..sectors.end * SECTOR);
        }
    }

    /// Creates an id, as a backup program does before it copies.
    pub fn create_id(&mut self) -> Option<RctId> {
        let mut id = None;
        self.opened(|vm| id = vm.leaf().table.as_mut().map(Tracked::create_id));
        id
    }

    /// Takes a checkpoint: the leaf is frozen, and a child takes the writes.
    pub fn checkpoint(&mut self) {
        let was_running = self.running;
        self.set_running(false);
        let seed = self.rng.next_u64();
        let table = self.leaf().table.as_ref().map(|table| table.child(seed));
        self.add_file(table);
        self.set_running(was_running);
    }

    /// Applies one of the checkpoints: what is above it is discarded.
    pub fn apply_checkpoint(&mut self) -> bool {
        if self.files.len() < 2 {
            return false;
        }
        self.set_running(false);
        let depth = 1 + self.rng.below(self.files.len() as u64 - 1) as usize;
        self.files.truncate(depth);
        self.checkpoint();
        true
    }

    /// Deletes a checkpoint: the file above it is merged into it. The tables of both are lost, as
    /// when a tool merges that knows no tables.
    pub fn merge(&mut self) -> bool {
        if self.files.len() < 2 {
            return false;
        }
        self.set_running(false);
        let above = 1 + self.rng.below(self.files.len() as u64 - 1) as usize;
        let merged = self.files.remove(above);
        let (file_write, data_write) = (self.rng.next_u64(), self.rng.next_u64());
        self.clock += 1;
        let below = &mut self.files[above - 1];
        for (to, from) in below.sectors.iter_mut().zip(merged.sectors) {
            *to = from.or(*to);
        }
        (below.file_write, below.data_write) = (file_write, data_write);
        below.modified = self.clock;
        below.sequence += 4;
        below.table = None;
        true
    }

    /// Changes the size of the disk, which has no checkpoint.
    pub fn resize(&mut self, size: u64) {
        assert_eq!(self.files.len(), 1, "a disk with checkpoints cannot be resized");
        self.set_running(false);
        self.size = size;
        self.opened(|vm| vm.leaf().sectors.resize(size.div_ceil(SECTOR) as usize, None));
        self.restart_tracking();
    }

    /// Switches tracking on, or off and on again.
    pub fn restart_tracking(&mut self) {
        self.set_running(false);
        let (size, seed) = (self.size, self.rng.next_u64());
        self.leaf().table = Some(Tracked::new(size, seed));
    }

    /// Returns the numbers that show whether the leaf was rolled back: its sequence number and its
    /// table's.
    pub fn numbers(&self) -> (u64, Option<RctId>) {
        let leaf = self.files.last().expect("a disk has a file");
        (leaf.sequence, leaf.table.as_ref().map(Tracked::current_id))
    }

    /// Makes this the machine of a snapshot of the storage, brought back at a later time.
    pub fn rolled_back_to(&self, snapshot: &Vm) -> Vm {
        let mut vm = snapshot.clone();
        // What happens from now on did not happen before.
        (vm.rng, vm.clock, vm.writes) = (self.rng.clone(), self.clock, self.writes);
        vm
    }

    pub fn content(&self) -> Vec<u8> {
        let mut content = vec![0; self.size as usize];
        for file in &self.files {
            for (at, fill) in file.sectors.iter().enumerate() {
                let Some(fill) = fill else { continue };
                let start = at * SECTOR as usize;
                let end = (start + SECTOR as usize).min(content.len());
                fill.fill(start as u64, &mut content[start..end]);
            }
        }
        content
    }

    /// Writes the files into an empty directory; returns the leaf.
    pub fn store(&self, directory: &Path) -> PathBuf {
        for entry in fs::read_dir(directory).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        let mut rng = Rng::new(self.seed);
        let disk_id = rng.uuid();
        let mut parent: Option<ParentLocator> = None;
        let mut path = PathBuf::new();
        for (depth, file) in self.files.iter().enumerate() {
            path = directory.join(&file.name);
            let mut builder = VhdxBuilder::new(self.size)
                .disk_id(disk_id)
                .file_write_guid(Rng::new(file.file_write).uuid())
                .data_write_guid(Rng::new(file.data_write).uuid())
                .sequence_number(file.sequence);
            if let Some(parent) = parent {
                builder = builder.parent(parent);
            }
            if self.running && depth + 1 == self.files.len() {
                builder = builder.log(LogPlan::Dirty(DirtyLog::default()));
            }
            for block in 0..self.size.div_ceil(MB) {
                if let Some(state) = file.block(block, depth == 0) {
                    builder = builder.block(block, state);
                }
            }
            let placement = builder.write(&path).unwrap();
            let mut disk = OpenOptions::new().write(true).open(&path).unwrap();
            for (block, offset) in &placement.payload {
                for (at, fill) in file.sectors_of(*block).enumerate() {
                    let Some(fill) = fill else { continue };
                    let in_block = at as u64 * SECTOR;
                    disk.seek(SeekFrom::Start(offset + in_block)).unwrap();
                    disk.write_all(&fill.bytes(block * MB + in_block, SECTOR as usize)).unwrap();
                }
            }
            if let Some(table) = &file.table {
                table.builder().write(directory.join(format!("{}.rct", file.name))).unwrap();
            }
            set_modified(&disk, file.modified);
            let locator = ParentLocator::new(placement.data_write_guid);
            parent = Some(locator.relative(&format!(r".\{}", file.name)));
        }
        path
    }
}

impl DiskFile {
    fn sectors_of(&self, block: u64) -> impl Iterator<Item = Option<Fill>> {
        let start = (block * SECTORS_PER_BLOCK) as usize;
        self.sectors.iter().copied().skip(start).take(SECTORS_PER_BLOCK as usize)
    }

    fn block(&self, block: u64, is_root: bool) -> Option<Block> {
        let present: Vec<Range<u64>> = self
            .sectors_of(block)
            .zip(0..)
            .filter(|(fill, _)| fill.is_some())
            .map(|(_, sector)| sector..sector + 1)
            .collect();
        match present.is_empty() {
            true => None,
            false if is_root => Some(Block::Full(Fill::ZEROS)),
            false => Some(Block::Partial { sectors: present, fill: Fill::ZEROS }),
        }
    }
}

fn set_modified(file: &File, clock: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + clock);
    file.set_modified(time).unwrap();
}
