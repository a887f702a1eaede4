//! Targets other than plain files: a block device, and file systems that share storage. Both need
//! root, as CI has it.

#![cfg(target_os = "linux")]

use super::{refused, report, run, sync};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::testing::skip;
use vhdx_rct_fixtures::vhdx::{Block, MB, ParentLocator, VhdxBuilder};

/// A loop device over a sparse file.
struct LoopDevice(PathBuf);

impl LoopDevice {
    fn new(file: &Path, size: u64) -> Option<Self> {
        File::create(file).unwrap().set_len(size).unwrap();
        let output = Command::new("losetup").args(["-f", "--show"]).arg(file).output().ok()?;
        let name = String::from_utf8(output.stdout).unwrap();
        output.status.success().then(|| LoopDevice(name.trim().into()))
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.0).status();
    }
}

/// A mounted file system over a sparse file.
struct Mounted(PathBuf);

impl Mounted {
    fn new(directory: &Path, kind: &str) -> Option<Self> {
        let (image, at) = (directory.join(kind), directory.join(format!("{kind}-root")));
        File::create(&image).unwrap().set_len(400 * MB).unwrap();
        fs::create_dir(&at).unwrap();
        let mut make = Command::new(format!("mkfs.{kind}"));
        let made = make.arg("-q").arg(&image).output().ok()?.status.success();
        let mut mount = Command::new("mount");
        let mounted =
            mount.args(["-o", "loop"]).arg(&image).arg(&at).output().ok()?.status.success();
        (made && mounted).then_some(Mounted(at))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_block_device_is_a_target() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, state) = (directory.path().join("disk.vhdx"), directory.path().join("state"));
    let backing = directory.path().join("backing");
    let Some(device) = LoopDevice::new(&backing, 6 * MB) else {
        return skip("loop devices need root");
    };
    let sync = || {
        let mut command = sync(&disk, &device.0);
        command.arg("--state").arg(&state);
        command
    };
    let write = |blocks: &[(u64, Block)], size: u64, seed: u64| {
        let builder = VhdxBuilder::new(size).seed(seed).disk_id(Rng::new(9).uuid());
        let blocks = blocks.iter().cloned();
        blocks.fold(builder, |disk, (at, block)| disk.block(at, block)).write(&disk).unwrap();
    };
    write(&[(0, Block::Full(Fill(1))), (2, Block::Full(Fill(2)))], 4 * MB - 512, 1);
    run(&mut sync());
    let content = || fs::read(&device.0).unwrap();
    let expect = |at: u64, fill: Fill| {
        assert!(content()[at as usize..][..MB as usize] == fill.bytes(at, MB as usize), "{at}");
    };
    expect(0, Fill(1));
    expect(MB, Fill::ZEROS);
    expect(2 * MB, Fill(2));
    run(sync().arg("--verify"));
    // Data that turned into zeros, and a disk that grew.
    write(&[(2, Block::Full(Fill(3)))], 5 * MB, 2);
    run(&mut sync());
    expect(0, Fill::ZEROS);
    expect(2 * MB, Fill(3));
    assert_eq!(content().len() as u64, 6 * MB);
    write(&[], 7 * MB, 3);
    assert!(refused(&mut sync()).contains("at least 7340032 bytes"));
    // Something else on the device is not overwritten, unless that is asked for.
    fs::remove_file(&state).unwrap();
    write(&[(1, Block::Full(Fill(4)))], 4 * MB, 4);
    fs::write(&device.0, Fill(5).bytes(0, MB as usize)).unwrap();
    assert!(refused(&mut sync()).contains("--full"));
    run(sync().arg("--full"));
    expect(0, Fill::ZEROS);
    expect(MB, Fill(4));
}

/// A device keeps what lies past the disk's end: once the disk is larger again, that is not content.
#[test]
fn a_disk_that_shrinks_and_grows_leaves_nothing_on_a_device() {
    let directory = tempfile::tempdir().unwrap();
    let (base, leaf) = (directory.path().join("base.vhdx"), directory.path().join("leaf.avhdx"));
    let Some(device) = LoopDevice::new(&directory.path().join("backing"), 8 * MB) else {
        return skip("loop devices need root");
    };
    let placement = VhdxBuilder::new(4 * MB).block(0, Block::Full(Fill(1))).write(&base).unwrap();
    let state = directory.path().join("state");
    let mut contents = Vec::new();
    for (seed, size, data) in [(2, 6 * MB, Some(5)), (3, 5 * MB, None), (4, 6 * MB, None)] {
        let locator = ParentLocator::new(placement.data_write_guid).relative(r".\base.vhdx");
        let child = VhdxBuilder::new(size).seed(seed).disk_id(placement.disk_id).parent(locator);
        let blocks = data.into_iter();
        let child = blocks.fold(child, |child, at| child.block(at, Block::Full(Fill(2))));
        child.write(&leaf).unwrap();
        let report = report(sync(&leaf, &device.0).arg("--state").arg(&state));
        contents.push(fs::read(&device.0).unwrap()[5 * MB as usize..6 * MB as usize].to_vec());
        let is_first = contents.len() == 1;
        assert_eq!(report["Since"] == "*", is_first, "the frozen file is a point: {report}");
    }
    assert!(contents[0] == Fill(2).bytes(5 * MB, MB as usize));
    assert!(contents[2].iter().all(|&byte| byte == 0), "old content has come back");
}

#[test]
fn a_mounted_device_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk.vhdx");
    VhdxBuilder::new(4 * MB).write(&disk).unwrap();
    let image = directory.path().join("image");
    let Some(device) = LoopDevice::new(&image, 16 * MB) else {
        return skip("loop devices need root");
    };
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    run(Command::new("mkfs.ext4").arg("-q").arg(&device.0));
    run(Command::new("mount").arg(&device.0).arg(&root));
    let message = refused(sync(&disk, &device.0).arg("--full"));
    run(Command::new("umount").arg(&root));
    assert!(message.contains("unmount the device"), "{message}");
}

/// Everything that fills blocks of 4 KiB is shared; ragged sectors and the disk's tail are copied.
#[test]
fn storage_is_shared_where_the_file_system_can() {
    for kind in ["xfs", "btrfs"] {
        let directory = tempfile::tempdir().unwrap();
        let Some(volume) = Mounted::new(directory.path(), kind) else {
            skip("XFS and Btrfs need root, and their mkfs");
            continue;
        };
        let root = &volume.0;
        let (base, leaf) = (root.join("base.vhdx"), root.join("leaf.avhdx"));
        let size = 40 * MB - 512;
        let all = |builder: VhdxBuilder| {
            (0..40).fold(builder, |disk, at| disk.block(at, Block::Full(Fill(1))))
        };
        let placement = all(VhdxBuilder::new(size)).write(&base).unwrap();
        // Two sectors in the middle of a block of the file system, and eight whole blocks.
        let sectors = vec![3..5, 64..128];
        VhdxBuilder::new(size)
            .seed(2)
            .disk_id(placement.disk_id)
            .parent(ParentLocator::new(placement.data_write_guid).relative(r".\base.vhdx"))
            .block(1, Block::Partial { sectors, fill: Fill(2) })
            .write(&leaf)
            .unwrap();
        run(Command::new("sync").arg("-f").arg(root));
        let used = || available(root);
        let before = used();
        let copy = root.join("copy.raw");
        let report = report(sync(&leaf, &copy).args(["--reflink", "always"]));
        run(Command::new("sync").arg("-f").arg(root));
        let taken = before.saturating_sub(used());
        assert!(taken < 4 * MB, "{kind}: the copy of {size} bytes took {taken} bytes");
        let read = report["BytesRead"].as_u64().unwrap();
        assert!(read < 64 << 10, "{kind}: {read} bytes were copied");
        run(sync(&leaf, &copy).arg("--verify"));
        let mut expected = Fill(1).bytes(0, size as usize);
        for sectors in [3..5, 64..128] {
            let start = (MB + sectors.start * 512) as usize;
            let length = ((sectors.end - sectors.start) * 512) as usize;
            expected[start..start + length].copy_from_slice(&Fill(2).bytes(start as u64, length));
        }
        assert!(fs::read(&copy).unwrap() == expected, "{kind}: the copy differs");
        // Elsewhere, nothing can be shared.
        let elsewhere = directory.path().join("copy.raw");
        let message = refused(sync(&leaf, &elsewhere).args(["--reflink", "always"]));
        assert!(message.contains("--reflink auto"), "{kind}: {message}");
        run(&mut sync(&leaf, &elsewhere));
        assert!(fs::metadata(&elsewhere).unwrap().blocks() * 512 >= size - MB);
        // Never means never.
        let plain = root.join("plain.raw");
        let report = super::report(sync(&leaf, &plain).args(["--reflink", "never"]));
        assert_eq!(report["BytesRead"], size, "{kind}");
    }
}

/// Returns the free bytes of a file system.
fn available(root: &Path) -> u64 {
    let output = run(Command::new("df").args(["--output=avail", "-B1"]).arg(root));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().nth(1).unwrap().trim().parse().unwrap()
}
