//! The library against readers that share nothing with it: qemu, libvhdi and dissect.hypervisor.
//!
//! qemu-img and qemu-io are searched in the PATH; the other two in the Python that
//! `VHDX_PEER_PYTHON` names (`pip install libvhdi-python dissect.hypervisor`). A test whose peer is
//! missing prints that it is skipped, or fails with `CI_PEERS=1`.

mod matrix;
mod mutations;
mod qemu;
mod ring;
mod writers;

use crate::common::RealImages;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use uuid::Uuid;
use vhdx_rct::{Disk, OpenOptions};
use vhdx_rct_fixtures::chain::Chain;
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::ranges::{clip, coalesce, gaps};
use vhdx_rct_fixtures::record::Stack;
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::vhdx::*;

fn missing(test: &str, what: &str) {
    let must = std::env::var_os("CI_PEERS").is_some_and(|value| value == "1");
    assert!(!must, "{test} cannot run: {what}");
    crate::common::skip(&format!("{test}: {what}"));
}

/// The regions to read from a chain of files, root first.
struct Reading {
    name: String,
    files: Vec<PathBuf>,
    regions: Vec<(u64, u64)>,
}

/// Opens a disk, also if the log of a parent is in use.
fn open(path: &Path) -> Disk {
    OpenOptions::new().allow_unclean(true).open(path).unwrap()
}

impl Reading {
    /// Cuts the ranges into pieces of a random length.
    fn new(name: String, files: &[PathBuf], ranges: &[Range<u64>], rng: &mut Rng) -> Self {
        let mut regions = Vec::new();
        for range in ranges {
            let mut at = range.start;
            while at < range.end {
                let length = rng.range(MB / 8..MB).min(range.end - at);
                regions.push((at, length));
                at += length;
            }
        }
        Reading { name, files: files.to_vec(), regions }
    }

    /// All of a disk, given with its parents, in pieces of 1 MiB.
    fn whole(name: &str, files: &[PathBuf]) -> Self {
        let size = open(files.last().unwrap()).identity().virtual_size;
        let regions = (0..size).step_by(MB as usize).map(|at| (at, MB.min(size - at))).collect();
        Reading { name: name.into(), files: files.to_vec(), regions }
    }

    /// Compares our content with a peer's.
    fn compare(&self, theirs: &Value) -> Result<(), String> {
        if let Some(error) = theirs["error"].as_str() {
            return Err(error.into());
        }
        let disk = open(self.files.last().unwrap());
        if theirs["size"] != disk.identity().virtual_size {
            return Err(format!(
                "{} bytes instead of {}",
                theirs["size"],
                disk.identity().virtual_size
            ));
        }
        for (i, &(offset, length)) in self.regions.iter().enumerate() {
            let mut ours = vec![0; length as usize];
            disk.read_exact_at(&mut ours, offset).unwrap();
            if theirs["sha256"][i] != sha256(&ours) {
                return Err(format!("{length} bytes at {offset:#x} differ"));
            }
        }
        Ok(())
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn python(test: &str) -> Option<OsString> {
    let python = std::env::var_os("VHDX_PEER_PYTHON");
    if python.is_none() {
        missing(test, "VHDX_PEER_PYTHON names no Python with libvhdi and dissect.hypervisor");
    }
    python
}

/// A peer's version and its answer to each reading.
fn ask(python: &OsStr, reader: &str, readings: &[Reading]) -> (String, Vec<Value>) {
    let disk = |reading: &Reading| json!({"files": reading.files, "regions": reading.regions});
    let disks: Vec<Value> = readings.iter().map(disk).collect();
    let request = json!({"reader": reader, "disks": disks}).to_string();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/peers/read.py");
    let mut command = Command::new(python);
    let command = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("VHDX_PEER_PYTHON runs");
    child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{reader} failed; the reason is above");
    let mut answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let Value::Array(disks) = answer["disks"].take() else { panic!("no array: {answer}") };
    assert_eq!(disks.len(), readings.len());
    (answer["version"].as_str().unwrap().into(), disks)
}

fn assert_agrees(python: &OsStr, reader: &str, readings: &[Reading]) {
    let (version, answers) = ask(python, reader, readings);
    for (reading, theirs) in readings.iter().zip(&answers) {
        if let Err(problem) = reading.compare(theirs) {
            panic!("{}: {reader} {version} reads otherwise: {problem}", reading.name);
        }
    }
}

/// Random chains, without what [`limits`] lists.
#[test]
fn libvhdi_reads_the_same_from_chains() {
    let Some(python) = python("libvhdi on chains") else { return };
    let (mut chains, mut bytes) = (0, 0);
    for batch in 0..24 {
        let mut folders = Vec::new();
        let mut readings = Vec::new();
        for seed in 10 * batch..10 * (batch + 1) {
            let folder = tempfile::tempdir().unwrap();
            let chain = Chain::random_clean(folder.path(), seed).unwrap();
            let last = last_matching(&chain);
            let ranges = readable(&chain, last);
            let files = &chain.files[..=last];
            let reading = Reading::new(format!("seed {seed}"), files, &ranges, &mut Rng::new(seed));
            chains += usize::from(has_partial_blocks(&chain, last, &ranges));
            bytes += reading.regions.iter().map(|(_, length)| length).sum::<u64>();
            readings.push(reading);
            folders.push(folder);
        }
        assert_agrees(&python, "libvhdi", &readings);
    }
    eprintln!("libvhdi agrees on {bytes} bytes and {chains} chains with bitmaps");
    assert!(chains >= 40, "only {chains} chains with bitmaps can be compared");
}

/// The last file up to which libvhdi takes each parent for the right one.
fn last_matching(chain: &Chain) -> usize {
    let matches = |child: usize| {
        let parent = &chain.placements[child - 1];
        let locator = chain.builders[child].parent_locator().unwrap();
        let first = locator.entries[0].1 == parent.data_write_guid.braced().to_string();
        let plan = chain.builders[child - 1].header_plan();
        first && !matches!(plan, HeaderPlan::FirstOnly | HeaderPlan::SecondOnly)
    };
    (1..chain.files.len()).take_while(|&child| matches(child)).last().unwrap_or(0)
}

/// Whether these ranges contain a block with a bitmap.
fn has_partial_blocks(chain: &Chain, last: usize, ranges: &[Range<u64>]) -> bool {
    chain.builders[..=last].iter().any(|builder| {
        let size = builder.block_bytes();
        builder.blocks().iter().any(|(index, block)| {
            let whole = index * size..(index + 1) * size;
            let read = ranges.iter().any(|range| !clip(range, &whole).is_empty());
            read && matches!(block, Block::Partial { sectors, .. } if !sectors.is_empty())
        })
    })
}

/// The ranges of the chain up to file `last` that libvhdi reads correctly; a part of a large disk.
fn readable(chain: &Chain, last: usize) -> Vec<Range<u64>> {
    let mut misread = Vec::new();
    for (builder, place) in chain.builders.iter().zip(&chain.placements).take(last + 1).skip(1) {
        let size = builder.block_bytes();
        for block in 0..chain.sizes[0].div_ceil(size) {
            let bitmap = place.bitmap.contains_key(&(block / place.chunk_ratio));
            let well = match builder.blocks().get(&block) {
                Some(Block::Full(_) | Block::Partial { .. }) => true,
                Some(Block::NotPresent { .. }) => bitmap && !builder.has_inverted_bitmaps(),
                None => bitmap,
                Some(_) => false,
            };
            if !well {
                misread.push(block * size..(block + 1) * size);
            }
        }
    }
    let mut readable = gaps(&coalesce(misread), 0..chain.sizes[0]);
    if chain.sizes[0] > 64 * MB {
        let parts = chain.interesting_regions();
        let cut = |range: &Range<u64>| parts.iter().map(|p| clip(p, range)).collect::<Vec<_>>();
        readable = coalesce(readable.iter().flat_map(cut).collect());
    }
    readable
}

/// Valid files that libvhdi 20260901 misreads: their content and its result, parent, child.
fn limits() -> Vec<(&'static str, VhdxBuilder, VhdxBuilder)> {
    let disk = |seed, size| VhdxBuilder::new(size).seed(seed).disk_id(Uuid::from_u128(1));
    let root = || disk(1, 4 * MB).all_blocks_full(Fill(1));
    let partial = || Block::Partial { sectors: vec![3..9, 100..101], fill: Fill(2) };
    let child = || disk(2, 4 * MB).block(3, partial());
    let block = |block| child().block(1, block);
    let anchor = None;
    let dirty = || LogPlan::Dirty(DirtyLog { targets: vec![Target::Bat], ..DirtyLog::default() });
    vec![
        ("ZERO: the parent's bytes", root(), block(Block::Zero { anchor })),
        // These two may be read so ([MS-VHDX] 2.5.1.1), but they are not our zeros.
        ("UNMAPPED: the parent's bytes", root(), block(Block::Unmapped { anchor })),
        ("UNDEFINED: the parent's bytes", root(), block(Block::Undefined { anchor })),
        (
            "NOT_PRESENT, and the bitmap's bits are set: not the parent's bytes",
            root(),
            block(Block::NotPresent { anchor }).inverted_bitmaps(true),
        ),
        (
            "NOT_PRESENT, and the chunk has no bitmap block: the first block differs",
            root(),
            disk(2, 4 * MB),
        ),
        ("a larger child: an error past the parent's end", root(), disk(2, 5 * MB).force_bitmap(0)),
        (
            "a parent's first header is invalid: mismatch in identifier",
            root().headers(HeaderPlan::SecondOnly),
            child(),
        ),
        (
            "a parent's second header is invalid: mismatch in identifier",
            root().headers(HeaderPlan::FirstOnly),
            child(),
        ),
        (LINKAGE2, root(), child()),
        ("a parent's log is dirty: not replayed", root().log(dirty()), child()),
        ("a child's log is dirty: not replayed", root(), child().log(dirty())),
    ]
}

const LINKAGE2: &str = "parent_linkage2 is the parent's GUID: mismatch in identifier";

#[test]
fn libvhdi_misreads_the_excluded_cases() {
    let Some(python) = python("libvhdi's limits") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut readings = Vec::new();
    for (i, (name, root, child)) in limits().into_iter().enumerate() {
        let files = [format!("{i}.vhdx"), format!("{i}.avhdx")].map(|f| folder.path().join(f));
        let linkage = root.write(&files[0]).unwrap().data_write_guid;
        let locator = match name {
            LINKAGE2 => ParentLocator::new(Uuid::from_u128(2)).linkage2(linkage),
            _ => ParentLocator::new(linkage),
        };
        let child = child.parent(locator.relative(&format!(r".\{i}.vhdx")));
        child.write(&files[1]).unwrap();
        // A parent whose log is in use has to be accepted first.
        let disk = open(&files[1]);
        let mut ours = vec![0; disk.identity().virtual_size as usize];
        disk.read_exact_at(&mut ours, 0).unwrap();
        let record = Stack(vec![root.layer(), child.layer()]);
        assert!(
            ours == record.read(0, ours.len()),
            "{name}: expected our content to match the record"
        );
        readings.push(Reading::whole(name, &files));
    }
    let (version, answers) = ask(&python, "libvhdi", &readings);
    for (reading, theirs) in readings.iter().zip(&answers) {
        let name = &reading.name;
        match reading.compare(theirs) {
            Err(seen) => eprintln!("libvhdi {version}, {name}: {seen}"),
            // A later version may have learned it; then the random chains may have it, too.
            Ok(()) => assert!(version != "20260901", "libvhdi reads this well: {name}"),
        }
    }
}

#[test]
fn libvhdi_reads_the_same_from_real_images() {
    let Some(python) = python("libvhdi on real images") else { return };
    let wanted = |name: &str| name.starts_with("ntfs-") || name.starts_with("fat-");
    let Some(images) = RealImages::unpack("libvhdi on real images", wanted) else { return };
    let readings = ["ntfs", "fat"].map(|name| {
        let files = ["parent", "differential"].map(|f| images.path(&format!("{name}-{f}.vhdx")));
        Reading::whole(name, &files)
    });
    assert_agrees(&python, "libvhdi", &readings);
}

#[test]
fn dissect_reads_the_same_from_real_images() {
    let Some(python) = python("dissect on real images") else { return };
    let wanted = |name: &str| {
        let large = name.contains("dirtylog-10G");
        name.ends_with(".vhdx") && !name.contains("differential") && !large
    };
    let Some(images) = RealImages::unpack("dissect on real images", wanted) else { return };
    let reading = |name: &String| Reading::whole(name, &[images.path(name)]);
    let (dirty, clean): (Vec<_>, Vec<_>) =
        images.index.keys().map(reading).partition(|reading| reading.name.contains("dirty"));
    // Pieces of 1 MiB cross no block: if a ZERO block follows a full one, a read across the border
    // comes back short (3.21; 128 KB at 0x5ff0000 of iotest-dynamic-1G give 64 KB).
    assert_agrees(&python, "dissect", &clean);
    // A dirty log is not replayed: dissect.hypervisor 3.21 reads zeros, and reports success.
    let (version, answers) = ask(&python, "dissect", &dirty);
    for (reading, theirs) in dirty.iter().zip(&answers) {
        let zeros = reading.regions.iter().map(|&(_, length)| sha256(&vec![0; length as usize]));
        let zeros = theirs["sha256"] == json!(zeros.collect::<Vec<_>>());
        assert!(zeros || version != "3.21", "{}: {:?}", reading.name, reading.compare(theirs));
        assert!(!zeros || reading.compare(theirs).is_err(), "{} has data", reading.name);
    }
}
