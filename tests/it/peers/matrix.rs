//! Every kind of image that qemu-img creates: each block size, log size and way to store zeros, in
//! sizes around multiples of sectors, MiB and blocks.

use super::qemu::{compare_with_raw, create, qemu_is_here, raw_copy, text};
use crate::common::{changes, seeds};
use std::path::Path;
use std::process::Command;
use std::slice;
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

/// The size of a disk: up to three blocks and a rest.
fn size(which: u64, block: u64) -> u64 {
    let half = block / 2;
    let rests = [
        512,
        1536,
        4096,
        65_536 + 512,
        MB / 2 + 1024,
        MB - 512,
        MB,
        MB + 512,
        half + MB / 2,
        half + 2560,
        block.max(2 * MB) - MB - 512,
        block - 512,
        block,
    ];
    let rest = rests[which as usize % rests.len()];
    which / 13 * block + rest
}

#[test]
fn every_kind_of_image_is_read_as_qemu_reads_it() {
    if !qemu_is_here("qemu's kinds of images") {
        return;
    }
    // A prime, so that even few seeds cover all options.
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
    let image = folder.path().join("disk.vhdx");
    create(&image, &options, size);
    write_some(&image, size, &mut Rng::new(case));
    if let Err(error) = compare(&image, &raw_copy(&image)) {
        panic!("{options}, {size} bytes: {error}");
    }
}

/// Makes up to three writes, the first one at the end of the disk.
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

/// The content is the same, each byte that is not zero is in a range, and the check finds nothing.
fn compare(image: &Path, raw: &Path) -> Result<(), String> {
    let text = |error: vhdx_rct::Error| error.to_string();
    let disk = Disk::open(image).map_err(text)?;
    let size = disk.identity().virtual_size;
    compare_with_raw(&disk, raw, slice::from_ref(&(0..size)))?;
    let ranges = changes(image, Baseline::Allocated).map_err(text)?.ranges;
    let holds = |byte| ranges.iter().any(|range| range.offset <= byte && byte < range.end());
    for at in (0..size).step_by(MB as usize) {
        let mut bytes = vec![0; MB.min(size - at) as usize];
        disk.read_exact_at(&mut bytes, at).map_err(text)?;
        if let Some(byte) = (at..).zip(bytes).find(|(byte, value)| *value != 0 && !holds(*byte)) {
            return Err(format!("the byte at {:#x} is not zero and in no range", byte.0));
        }
    }
    let findings = disk.check().map_err(text)?.findings;
    if findings.is_empty() { Ok(()) } else { Err(findings.join("; ")) }
}
