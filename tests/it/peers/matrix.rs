//! Everything that qemu-img can make of a disk: each kind, block size, log size and way to hold
//! zeros, in sizes around the borders of sectors, megabytes and blocks.

use super::qemu::{qemu_img, qemu_is_here, text};
use crate::common::{changes, seeds};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use vhdx_rct::{Baseline, Disk};
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::vhdx::MB;

const KINDS: [&str; 2] = ["fixed", "dynamic"];
const ZEROS: [&str; 2] = ["off", "on"];
const BLOCKS: [u64; 4] = [1, 2, 8, 32];
const LOGS: [u64; 2] = [1, 3];
const SIZES: u64 = 40;
const ALL: u64 = (KINDS.len() * ZEROS.len() * BLOCKS.len() * LOGS.len()) as u64 * SIZES;

/// A disk of up to three blocks and a rest.
fn size(which: u64, block: u64) -> u64 {
    let rest = match which % 13 {
        0 => 512,
        1 => 1536,
        2 => 4096,
        3 => 65_536 + 512,
        4 => MB / 2 + 1024,
        5 => MB - 512,
        6 => MB,
        7 => MB + 512,
        8 => block / 2 + MB / 2,
        9 => block / 2 + 2560,
        10 => block.max(2 * MB) - MB - 512,
        11 => block - 512,
        _ => block,
    };
    which / 13 * block + rest
}

#[test]
fn every_kind_of_image_is_read_as_qemu_reads_it() {
    if !qemu_is_here("qemu's kinds of images") {
        return;
    }
    // A prime, so that few seeds have a bit of everything.
    let next = AtomicU64::new(0);
    let cases: Vec<u64> = seeds(24, ALL).map(|seed| seed * 1009 % ALL).collect();
    let work = || {
        let case = || cases.get(next.fetch_add(1, Ordering::Relaxed) as usize);
        std::iter::from_fn(case).for_each(|case| make_and_compare(*case));
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
}

fn make_and_compare(case: u64) {
    let mut left = case;
    let mut choose = |count: usize| {
        let which = left % count as u64;
        left /= count as u64;
        which as usize
    };
    let (kind, zeros) = (KINDS[choose(2)], ZEROS[choose(2)]);
    let (block, log) = (BLOCKS[choose(4)], LOGS[choose(2)]);
    let size = size(choose(SIZES as usize) as u64, block * MB);
    let options =
        format!("subformat={kind},block_state_zero={zeros},block_size={block}M,log_size={log}M");
    let folder = tempfile::tempdir().unwrap();
    let (image, raw) = (folder.path().join("disk.vhdx"), folder.path().join("disk.raw"));
    qemu_img(&["create", "-q", "-f", "vhdx", "-o", &options, text(&image), &size.to_string()]);
    write_some(&image, size, &mut Rng::new(case));
    qemu_img(&["convert", "-f", "vhdx", "-O", "raw", text(&image), text(&raw)]);
    compare(&image, &raw, &format!("{options}, {size} bytes"));
}

/// A few writes anywhere; most disks are written to at their very end, and some not at all.
fn write_some(image: &Path, size: u64, rng: &mut Rng) {
    let mut command = Command::new("qemu-io");
    command.args(["-f", "vhdx"]);
    let writes = rng.below(4);
    for i in 0..writes {
        let length = (rng.range(1..300) * 512).min(size);
        let last = size - length;
        let offset = if i == 0 { last } else { rng.below(last / 512 + 1) * 512 };
        command.arg("-c").arg(format!("write -P {} {offset} {length}", rng.range(1..256)));
    }
    if writes > 0 {
        let output = command.arg(text(image)).output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stdout).matches("wrote").count() as u64;
        assert_eq!(said, writes, "{command:?}: {output:?}");
    }
}

/// The content is the same, each byte of it that is not zero may hold data, and nothing is wrong.
fn compare(image: &Path, raw: &Path, what: &str) {
    let disk = Disk::open(image).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut raw = File::open(raw).unwrap();
    let size = disk.identity().virtual_size;
    assert_eq!(raw.metadata().unwrap().len(), size, "{what}: size");
    let answer = changes(image, Baseline::Allocated);
    let ranges = answer.unwrap_or_else(|error| panic!("{what}: {error}")).ranges;
    let (mut ours, mut theirs) = (vec![0; MB as usize], vec![0; MB as usize]);
    for at in (0..size).step_by(MB as usize) {
        let length = MB.min(size - at) as usize;
        raw.read_exact(&mut theirs[..length]).unwrap();
        disk.read_exact_at(&mut ours[..length], at)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(ours[..length] == theirs[..length], "{what}: {length} bytes at {at:#x} differ");
        if theirs[..length].iter().fold(0, |all, byte| all | byte) == 0 {
            continue;
        }
        for (byte, _) in (at..).zip(&theirs[..length]).filter(|(_, value)| **value != 0) {
            let behind = ranges.partition_point(|range| range.end() <= byte);
            let told = ranges.get(behind).is_some_and(|range| range.offset <= byte);
            assert!(told, "{what}: the byte at {byte:#x} is not zero and in no range");
        }
    }
    let report = disk.check().unwrap();
    assert_eq!(report.findings, [""; 0], "{what}");
}
