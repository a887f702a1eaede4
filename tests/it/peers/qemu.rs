//! qemu-img and qemu-io as readers, and as writers of dirty logs.

use super::missing;
use crate::common::{RealImages, seeds};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice;
use std::time::Duration;
use uuid::uuid;
use vhdx_rct::{Disk, ErrorKind};
use vhdx_rct_fixtures::ranges::clip;
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::vhdx::{MB, PAGE};

/// qemu's writes return once their log entry is replayed and the log marked empty, so that killing
/// it (qemu-io's `abort`, `sigraise 9`) between two commands always leaves a clean file. Its
/// blkdebug layer, below the VHDX driver, stops it in between: it fails one write and everything
/// after it, or all writes to the BAT.
#[test]
fn logs_that_qemu_left_dirty_are_replayed_as_qemu_replays_them() {
    if !qemu_is_here("qemu's dirty logs") {
        return;
    }
    let seeds = seeds(8, 30);
    let (mut seen, all) = ([0; 3], seeds.end); // as `Log`
    for seed in seeds {
        let folder = tempfile::tempdir().unwrap();
        let (image, before) = (folder.path().join("disk.vhdx"), folder.path().join("before.vhdx"));
        let mut rng = Rng::new(seed);
        let (size, block) = match seed {
            // Two chunks, and three pages of BAT.
            0..2 => (5 << 10, 1),
            _ => (rng.range(40..60), rng.pick(&[1, 1, 2, 4, 16])),
        };
        let (log, zero) = (rng.range(1..4), rng.pick(&["on", "off"]));
        let options = format!("block_size={block}M,log_size={log}M,block_state_zero={zero}");
        let size = size * MB - 512 * rng.below(3);
        create(&image, &options, size);
        let bat = bat_pages(&image);
        let rounds = rng.range(1..5);
        for round in 0..rounds {
            // The last block is kept for the last round, so that this changes the BAT.
            let (end, fault) = match rng.below(4) {
                _ if round + 1 == rounds => (size, fail_writes_to(&bat)),
                0 => (size - block * MB, json!({"driver": "raw"})),
                _ => (size - block * MB, fail_from_write(rng.range(2..50))),
            };
            fs::copy(&image, &before).unwrap();
            write_with_qemu(&image, fault, &mut rng, end);
            let log = compare_with_qemu(&image, &format!("seed {seed}, round {round}"));
            if matches!(log, Log::AnnouncedOnly) {
                // qemu would not go on with it.
                fs::rename(&before, &image).unwrap();
            }
            seen[log as usize] += 1;
        }
    }
    eprintln!("logs that qemu left: {seen:?} empty, replayed, announced only");
    assert!(seen[Log::Replayed as usize] >= all, "qemu left too few dirty logs: {seen:?}");
}

/// The writer is killed at any moment, also while it writes a log entry, a table or a header.
#[test]
fn images_of_a_killed_qemu_are_read_as_qemu_reads_them() {
    if !qemu_is_here("a killed qemu") {
        return;
    }
    let seeds = seeds(10, 40);
    let (mut seen, kills) = ([0; 3], seeds.end); // as `Log`
    let mut unfinished = 0;
    for seed in seeds {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk.vhdx");
        let mut rng = Rng::new(seed);
        let size = 64 * MB;
        create(&image, "block_size=1M,log_size=1M", size);
        let mut command = Command::new("qemu-io");
        for i in 0..64 {
            let (length, pattern) = (rng.range(1..64) * 512, rng.range(1..256));
            let offset = i * MB + rng.below(512) * 512;
            command.arg("-c").arg(format!("write -P {pattern} {offset} {length}"));
        }
        let null = std::process::Stdio::null;
        let mut writer = command.arg(text(&image)).stdout(null()).stderr(null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(rng.range(20_000..120_000)));
        writer.kill().unwrap();
        unfinished += u64::from(!writer.wait().unwrap().success());
        let log = compare_with_qemu(&image, &format!("seed {seed}"));
        seen[log as usize] += 1;
    }
    eprintln!(
        "a killed qemu left: {seen:?} empty, replayed, announced only; {unfinished} unfinished"
    );
    assert!(unfinished > kills / 4, "it was done before it was killed: {unfinished}");
}

pub fn qemu_is_here(test: &str) -> bool {
    let runs = |program: &&str| Command::new(program).arg("--version").output().is_ok();
    let here = ["qemu-img", "qemu-io"].iter().all(runs);
    if !here {
        missing(test, "qemu-img and qemu-io are not installed");
    }
    here
}

pub fn qemu_img(args: &[&str]) -> Vec<u8> {
    let output = Command::new("qemu-img").args(args).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "qemu-img {args:?}: {error}");
    output.stdout
}

/// Creates an image.
pub fn create(image: &Path, options: &str, size: u64) {
    qemu_img(&["create", "-q", "-f", "vhdx", "-o", options, text(image), &size.to_string()]);
}

/// Converts an image to a raw file beside it, and returns that.
pub fn raw_copy(image: &Path) -> PathBuf {
    let raw = image.with_extension("raw");
    qemu_img(&["convert", "-f", "vhdx", "-O", "raw", text(image), text(&raw)]);
    raw
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The pages of a new file's BAT that have entries, as offsets.
pub fn bat_pages(image: &Path) -> Vec<u64> {
    let disk = Disk::open(image).unwrap();
    let file = &disk.files()[0];
    let id = uuid!("2DC27766-F623-4200-9D64-115E9BFD4A08");
    let bat = file.regions().iter().find(|region| region.id == id).unwrap();
    // A file without a parent has an entry for each block, and one after those of each chunk.
    let metadata = file.metadata();
    let blocks = metadata.virtual_size.div_ceil(metadata.block_size.into());
    let chunk = (1 << 23) * u64::from(metadata.logical_sector_size);
    let entries = blocks + (blocks - 1) / (chunk / u64::from(metadata.block_size));
    (bat.offset..bat.offset + 8 * entries).step_by(PAGE as usize).collect()
}

/// Fails the `n`th write and everything after it.
fn fail_from_write(n: u64) -> Value {
    let count = |i| json!({"event": "pwritev", "state": i, "new_state": i + 1});
    let count: Vec<Value> = (1..n).map(count).collect();
    let fail = json!([{"event": "pwritev", "state": n, "errno": 5}]);
    json!({"driver": "blkdebug", "set-state": count, "inject-error": fail})
}

/// Fails all writes to these pages, so that the log entry for them stays pending.
pub fn fail_writes_to(pages: &[u64]) -> Value {
    let fail = |page| json!({"event": "none", "iotype": "write", "sector": page / 512, "errno": 5});
    let fail: Vec<Value> = pages.iter().map(fail).collect();
    json!({"driver": "blkdebug", "inject-error": fail})
}

/// Some random writes below `end`, and one that ends there. Most of them may fail.
pub fn write_with_qemu(image: &Path, mut layer: Value, rng: &mut Rng, end: u64) {
    let file = json!({"driver": "file", "filename": text(image)});
    let below = if layer["driver"] == "blkdebug" { "image" } else { "file" };
    layer[below] = file;
    let mut command = Command::new("qemu-io");
    let writes = rng.range(0..6);
    for i in 0..=writes {
        let longest = rng.pick(&[9, 200, 6 << 10]);
        let length = rng.range(1..longest) * 512;
        let offset = if i == writes { end - length } else { rng.below((end - length) / 512) * 512 };
        command.arg("-c").arg(format!("write -P {} {offset} {length}", rng.range(1..256)));
    }
    command.arg(format!("json:{}", json!({"driver": "vhdx", "file": layer})));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    // Opening replays what the round before left; that may fail, too.
    let ran = said.contains("wrote") || said.contains("Input/output error");
    assert!(ran, "{command:?}: {said}");
}

/// The state of a log, in which both agree.
enum Log {
    Empty,
    Replayed,
    /// The header announces a log, but power was lost before its first entry was whole. Such a
    /// file must not be opened ([MS-VHDX] 2.3.3); qemu 10 reads it, and refuses to write to it.
    AnnouncedOnly,
}

/// Reads an image, and a copy whose log qemu replays.
fn compare_with_qemu(image: &Path, what: &str) -> Log {
    let before = fs::read(image).unwrap();
    let copy = image.with_extension("repaired");
    fs::copy(image, &copy).unwrap();
    let report = qemu_img(&["check", "-r", "all", "-f", "vhdx", "--output=json", text(&copy)]);
    let report: Value = serde_json::from_slice(&report).unwrap();
    let repaired = report["corruptions-fixed"] == 1;
    let raw = raw_copy(&copy);
    let log = match Disk::open(image) {
        Ok(disk) => {
            let all = 0..disk.identity().virtual_size;
            let compared = compare_with_raw(&disk, &raw, slice::from_ref(&all));
            compared.unwrap_or_else(|error| panic!("{what}: {error}"));
            let replayed = disk.files()[0].replayed_log_entries();
            assert_eq!(replayed.is_some_and(|entries| entries > 0), repaired, "{what}: replay");
            if repaired { Log::Replayed } else { Log::Empty }
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::LogCorrupt, "{what}: {error}");
            assert!(!repaired, "{what}: qemu replays the log, and we do not: {error}");
            Log::AnnouncedOnly
        }
    };
    assert!(fs::read(image).unwrap() == before, "{what}: the image was written to");
    log
}

/// Compares a disk with a raw copy by qemu: all data of the copy, and the copy's holes within
/// `ranges`. Holes are not read, since those of 10 GiB would take most of the test's time.
pub fn compare_with_raw(disk: &Disk, raw: &Path, ranges: &[Range<u64>]) -> Result<(), String> {
    let size = disk.identity().virtual_size;
    let mut file = File::open(raw).unwrap();
    let length = file.metadata().unwrap().len();
    if length != size {
        return Err(format!("expected {length} bytes, found {size}"));
    }
    let map = qemu_img(&["map", "-f", "raw", "--output=json", text(raw)]);
    let map: Vec<Value> = serde_json::from_slice(&map).unwrap();
    let number = |extent: &Value, name| extent[name].as_u64().unwrap();
    let mut mapped = 0;
    for extent in map {
        let whole = mapped..number(&extent, "start") + number(&extent, "length");
        assert_eq!(number(&extent, "start"), mapped, "the map has no gaps");
        mapped = whole.end;
        let is_data = extent["data"] == true;
        let parts = if is_data { slice::from_ref(&whole) } else { ranges };
        for part in parts.iter().map(|part| clip(part, &whole)) {
            for at in part.clone().step_by(MB as usize) {
                let mut theirs = vec![0; MB.min(part.end - at) as usize];
                let mut ours = theirs.clone();
                if is_data {
                    file.seek(SeekFrom::Start(at)).unwrap();
                    file.read_exact(&mut theirs).unwrap();
                }
                disk.read_exact_at(&mut ours, at).map_err(|error| error.to_string())?;
                if ours != theirs {
                    return Err(format!("{} bytes at {at:#x} differ", ours.len()));
                }
            }
        }
    }
    assert_eq!(mapped, size, "the map is complete");
    Ok(())
}

#[test]
fn qemu_reads_the_same_from_real_images() {
    // qemu 10 refuses differencing files and 4096-byte logical sectors.
    let wanted = |name: &str| {
        name.ends_with(".vhdx") && !name.contains("differential") && !name.contains("l4096")
    };
    if !qemu_is_here("qemu on real images") {
        return;
    }
    let Some(images) = RealImages::unpack("qemu on real images", wanted) else { return };
    for name in images.index.keys() {
        let log = compare_with_qemu(&images.path(name), name);
        assert_eq!(matches!(log, Log::Replayed), name.contains("dirty"), "{name}");
    }
}
