//! Copies that are made from nothing.

use super::{report, run, state_path, sync};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use vhdx_rct_fixtures::chain::Chain;
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::Tracked;
use vhdx_rct_fixtures::testing::{RealImages, file_sha256, seeds};
use vhdx_rct_fixtures::vhdx::{Block, MB, VhdxBuilder};

#[test]
fn a_copy_of_a_real_image_has_the_content_that_independent_readers_found() {
    let Some(images) = RealImages::unpack("sync", |name| name.ends_with(".vhdx")) else { return };
    let directory = tempfile::tempdir().unwrap();
    for (name, entry) in &images.index {
        let copy = directory.path().join("copy.raw");
        run(&mut sync(&images.path(name), &copy));
        assert_eq!(file_sha256(&copy), entry["content_sha256"].as_str().unwrap(), "{name}");
        run(sync(&images.path(name), &copy).arg("--verify"));
        fs::remove_file(&copy).unwrap();
        fs::remove_file(state_path(&copy)).unwrap();
    }
}

#[test]
fn a_copy_of_a_random_chain_has_what_was_written() {
    for seed in seeds(20, 100) {
        let directory = tempfile::tempdir().unwrap();
        let chain = Chain::random(directory.path(), seed).unwrap();
        let (leaf, copy) = (chain.files.last().unwrap(), directory.path().join("copy.raw"));
        run(&mut sync(leaf, &copy));
        assert_eq!(fs::metadata(&copy).unwrap().len(), chain.size());
        let disk = vhdx_rct::source::FileSource::open(&copy).unwrap();
        for region in chain.interesting_regions() {
            for start in (region.start..region.end).step_by(4 << 20) {
                let mut found = vec![0; (region.end - start).min(4 << 20) as usize];
                vhdx_rct::source::Source::read_exact_at(&disk, &mut found, start).unwrap();
                assert!(found == chain.read(start, found.len()), "seed {seed}: {start} differs");
            }
        }
        if chain.files.len() == 1 && chain.size() < 100 * MB {
            compare_with_qemu(leaf, &copy);
        }
    }
}

/// Compares with qemu-img, which does not read 4096-byte sectors and replays some logs that Windows
/// would not (entries from before the head's tail): what it refuses or what has a dirty log is not
/// compared.
fn compare_with_qemu(disk: &Path, copy: &Path) {
    let theirs = copy.with_extension("qemu");
    let is_clean = vhdx_rct::Disk::open(disk).unwrap().files()[0].closed_cleanly();
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "-f", "vhdx", "-O", "raw"]).arg(disk).arg(&theirs);
    if is_clean && convert.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        assert_eq!(file_sha256(copy), file_sha256(&theirs), "{}", disk.display());
    }
}

/// Zeros are found in units of 4 KiB, as qemu-img finds them.
#[cfg(target_os = "linux")]
#[test]
fn a_copy_is_as_sparse_as_one_by_qemu_img() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let (disk, copy) = (directory.path().join("disk.vhdx"), directory.path().join("copy.raw"));
    let placement = VhdxBuilder::new(8 * MB).all_blocks_full(Fill::ZEROS).write(&disk).unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&disk).unwrap();
    // 4 KiB of data in every 12 KiB.
    for (block, place) in &placement.payload {
        use std::io::{Seek, SeekFrom, Write};
        for at in (0..MB - 4096).step_by(12 << 10) {
            file.seek(SeekFrom::Start(place + at)).unwrap();
            file.write_all(&Fill(*block).bytes(at, 4096)).unwrap();
        }
    }
    drop(file);
    run(&mut sync(&disk, &copy));
    let theirs = directory.path().join("theirs.raw");
    let mut convert = Command::new("qemu-img");
    run(convert.args(["convert", "-f", "vhdx", "-O", "raw"]).arg(&disk).arg(&theirs));
    let used = |path: &Path| fs::metadata(path).unwrap().blocks() * 512;
    assert!(used(&copy) <= used(&theirs), "{} and {} bytes", used(&copy), used(&theirs));
    assert_eq!(file_sha256(&copy), file_sha256(&theirs));
}

/// Zeros over data become a hole, and the copy takes less space.
#[cfg(target_os = "linux")]
#[test]
fn zeros_over_data_become_a_hole() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let (disk, copy) = (directory.path().join("disk.vhdx"), directory.path().join("copy.raw"));
    let mut tracked = Tracked::new(8 * MB, 1);
    tracked.create_id();
    let write = |sequence: u64, block: Block, tracked: &Tracked| {
        VhdxBuilder::new(8 * MB)
            .sequence_number(sequence)
            .block(0, Block::Full(Fill(1)))
            .block(3, block)
            .write(&disk)
            .unwrap();
        tracked.builder().write(directory.path().join("disk.vhdx.rct")).unwrap();
    };
    write(8, Block::Full(Fill(2)), &tracked);
    run(&mut sync(&disk, &copy));
    let used = fs::metadata(&copy).unwrap().blocks() * 512;
    assert!((2 * MB..3 * MB).contains(&used), "{used} bytes of the copy are in use");
    tracked.write(3 * MB..4 * MB);
    write(10, Block::Zero { anchor: None }, &tracked);
    let report = report(&mut sync(&disk, &copy));
    assert_eq!(report["BytesZeroed"], MB);
    let content = fs::read(&copy).unwrap();
    assert!(content[3 * MB as usize..4 * MB as usize].iter().all(|&byte| byte == 0));
    let now = fs::metadata(&copy).unwrap().blocks() * 512;
    assert!(now <= used - MB, "{now} bytes of the copy are still in use");
}

#[test]
fn a_large_sparse_disk_takes_little_time_and_memory() {
    const TB: u64 = 1 << 40;
    let directory = tempfile::tempdir().unwrap();
    let (disk, copy) = (directory.path().join("disk.vhdx"), directory.path().join("copy.raw"));
    let mut tracked = Tracked::new(TB, 1);
    tracked.create_id();
    let write = |tracked: &Tracked, fill, sequence| {
        let blocks = [0, 500_000, 1_000_000].map(|block| (block, Block::Full(Fill(fill))));
        let builder = VhdxBuilder::new(TB).sequence_number(sequence);
        let builder = blocks.into_iter().fold(builder, |disk, (at, block)| disk.block(at, block));
        builder.write(&disk).unwrap();
        tracked.builder().write(directory.path().join("disk.vhdx.rct")).unwrap();
    };
    write(&tracked, 1, 8);
    run(&mut sync(&disk, &copy));
    tracked.write(500_000 * MB..500_001 * MB);
    write(&tracked, 2, 10);
    let start = Instant::now();
    // A limit on the address space is a limit on memory, too; 64 MiB in KiB.
    let plain = sync(&disk, &copy);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -v 65536; exec \"$@\"", "sh"])
        .arg(plain.get_program())
        .args(plain.get_args());
    let report = report(&mut limited);
    assert_eq!((&report["BytesRead"], &report["BytesWritten"]), (&MB.into(), &MB.into()));
    // Generous, since the machine may be busy: it takes well under a second.
    assert!(start.elapsed() < Duration::from_secs(3), "took {:?}", start.elapsed());
}
