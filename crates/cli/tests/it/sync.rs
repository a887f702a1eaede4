//! `sync`: a raw copy is brought up to date, whatever happens in between.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use vhdx_rct_fixtures::chain::Chain;
use vhdx_rct_fixtures::history::{History, TrackedDisk};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::{RctId, Tracked, id_text};
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::testing::{RealImages, file_sha256, seeds};
use vhdx_rct_fixtures::vhdx::{Block, MB, ParentLocator, VhdxBuilder};

fn sync(disk: &Path, since: &str, to: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vhdx-rct"));
    command.arg("sync").arg(disk).args(["--since", since, "--to"]).arg(to);
    command
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    assert!(error.is_empty(), "a pipe gets no progress bar: {error}");
    output
}

/// The text of a refusal; exit status 1.
fn refused(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{command:?} should be refused");
    String::from_utf8(output.stderr).unwrap()
}

fn state_file(copy: &Path) -> PathBuf {
    format!("{}.vhdx-rct.json", copy.display()).into()
}

#[test]
fn a_copy_from_nothing_has_the_content_that_independent_readers_found() {
    let Some(images) = RealImages::unpack("sync", |name| name.ends_with(".vhdx")) else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, entry) in &images.index {
        let copy = folder.path().join("copy.raw");
        run(&mut sync(&images.path(name), "*", &copy));
        assert_eq!(file_sha256(&copy), entry["content_sha256"].as_str().unwrap(), "{name}");
        fs::remove_file(&copy).unwrap();
        fs::remove_file(state_file(&copy)).unwrap();
    }
}

#[test]
fn copies_of_random_chains_are_what_was_written() {
    for seed in seeds(20, 100) {
        let folder = tempfile::tempdir().unwrap();
        let chain = Chain::random(folder.path(), seed).unwrap();
        let (leaf, copy) = (chain.files.last().unwrap(), folder.path().join("copy.raw"));
        run(&mut sync(leaf, "*", &copy));
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
            against_qemu(leaf, &copy);
        }
    }
}

/// The same disk, read by qemu-img. It does not read 4096-byte sectors, and replays some logs
/// that Windows would not (entries that the head's tail has left behind), so what it refuses
/// or what has a dirty log is passed over.
fn against_qemu(disk: &Path, copy: &Path) {
    let theirs = copy.with_extension("qemu");
    let clean = vhdx_rct::Disk::open(disk).unwrap().files()[0].closed_cleanly();
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "-f", "vhdx", "-O", "raw"]).arg(disk).arg(&theirs);
    if clean && convert.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        assert_eq!(file_sha256(copy), file_sha256(&theirs), "{}", disk.display());
    }
}

/// A life whose leaf is tracked and sealed, with the copy made at that moment.
fn copied(folder: &Path, seed: u64) -> (TrackedDisk, PathBuf, RctId) {
    let mut life = TrackedDisk::always_tracked(seed);
    life.simulate(8);
    life.checkpoint();
    life.simulate(6);
    life.checkpoint();
    let id = life.create_id().unwrap();
    let history = life.write(folder).unwrap();
    let copy = folder.join("copy.raw");
    run(&mut sync(history.files.last().unwrap(), "*", &copy));
    (life, copy, id)
}

fn must_equal(copy: &Path, history: &History, what: &str) {
    let content = fs::read(copy).unwrap();
    assert!(content == history.stack.read(0, history.size as usize), "{what}: the copy differs");
}

#[test]
fn a_copy_follows_the_disk_through_its_life() {
    let seeds = seeds(8, 40);
    let (mut written, all) = (0, seeds.end);
    for seed in seeds {
        let folder = tempfile::tempdir().unwrap();
        let (mut life, copy, mut id) = copied(folder.path(), seed);
        for step in 0..4 {
            life.simulate(6);
            if step == 2 {
                life.checkpoint();
            }
            let before = id;
            id = life.create_id().unwrap();
            let history = life.write(folder.path()).unwrap();
            let leaf = history.files.last().unwrap();
            let output = run(&mut sync(leaf, &id_text(before.0, before.1), &copy));
            must_equal(&copy, &history, &format!("seed {seed}, step {step}"));
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(
                text.contains(&format!("next time: --since {}", id_text(id.0, id.1))),
                "{text}"
            );
            written += u64::from(!text.contains(" 0 B written"));
        }
    }
    assert!(written > all, "only {written} syncs had something to write");
}

/// Writes that came after the newest id, then the checkpoint below applied again: no list of
/// changes since the id names what was thrown away, and yet the copy had it.
#[test]
fn a_checkpoint_that_is_applied_again_does_not_fool_it() {
    let seeds = seeds(12, 30);
    let (mut differed, all) = (0, seeds.end);
    for seed in seeds {
        let folder = tempfile::tempdir().unwrap();
        let (mut life, copy, id) = copied(folder.path(), seed);
        life.checkpoint();
        life.simulate(2);
        // An id of the checkpoint below, which both futures know; the copy sees one of them.
        let history = life.write(folder.path()).unwrap();
        let leaf = history.files.last().unwrap().clone();
        let since = id_text(id.0, id.1);
        let text = String::from_utf8(run(&mut sync(&leaf, &since, &copy)).stdout).unwrap();
        let ahead = fs::read(&copy).unwrap();
        if !text.contains(&since) {
            continue; // a newer id was sealed: it is of the future that is thrown away
        }
        life.revert();
        let history = life.write(folder.path()).unwrap();
        run(&mut sync(history.files.last().unwrap(), &since, &copy));
        must_equal(&copy, &history, &format!("seed {seed}"));
        differed += u64::from(ahead != fs::read(&copy).unwrap());
    }
    assert!(10 * differed > all, "only {differed} copies were ahead");
}

#[test]
fn killed_at_any_moment_and_run_again_it_is_right() {
    let mut rng = Rng::new(5);
    let (mut killed, mut typical) = (0, Duration::from_millis(3));
    for seed in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let (mut life, copy, id) = copied(folder.path(), seed);
        for round in 0..4 {
            life.simulate(10);
            let history = life.write(folder.path()).unwrap();
            let (leaf, since) = (history.files.last().unwrap(), id_text(id.0, id.1));
            if !history.created.iter().any(|(known, _)| *known == id) {
                break;
            }
            // From nothing, too: then the state says that it is at nothing.
            let since = if round == 3 { "*".into() } else { since };
            let mut child = sync(leaf, &since, &copy).stdout(Stdio::null()).spawn().unwrap();
            // Before a whole run would be over, however fast this machine is.
            std::thread::sleep(Duration::from_micros(rng.below(typical.as_micros() as u64)));
            child.kill().unwrap();
            killed += u32::from(!child.wait().unwrap().success());
            if round == 3 && fs::read_to_string(state_file(&copy)).unwrap().contains("\"At\":[]") {
                assert!(
                    refused(&mut sync(leaf, &id_text(id.0, id.1), &copy)).contains("nothing yet")
                );
            }
            run(&mut sync(leaf, &since_or_full(&copy, &since), &copy));
            must_equal(&copy, &history, &format!("seed {seed}, round {round}"));
            // Back to a copy that is at the id again.
            fs::remove_file(&copy).unwrap();
            fs::remove_file(state_file(&copy)).unwrap();
            let start = Instant::now();
            run(&mut sync(leaf, "*", &copy));
            typical = start.elapsed();
            if !fs::read_to_string(state_file(&copy)).unwrap().contains(&id_text(id.0, id.1)) {
                break;
            }
        }
    }
    assert!(killed > 5, "only {killed} runs were killed in time");
}

/// The limit that an interrupted sync may be finished with: its own, while the state has it.
fn since_or_full(copy: &Path, since: &str) -> String {
    let state = fs::read_to_string(state_file(copy)).unwrap_or_default();
    if state.contains(since) { since.into() } else { "*".into() }
}

#[test]
fn what_would_spoil_a_copy_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (mut life, copy, id) = copied(folder.path(), 3);
    let history = life.write(folder.path()).unwrap();
    let (leaf, since) = (history.files.last().unwrap(), id_text(id.0, id.1));
    let before = fs::read(&copy).unwrap();

    let other = Tracked::new(8 * MB, 9).current_id();
    assert!(refused(&mut sync(leaf, &id_text(other.0, other.1), &copy)).contains("32775"));
    assert!(refused(&mut sync(leaf, "*", leaf)).contains("virtual disk file"));
    let alien = folder.path().join("alien.raw");
    fs::write(&alien, b"somebody's").unwrap();
    assert!(refused(&mut sync(leaf, "*", &alien)).contains("no state file"));
    assert_eq!(fs::read(&alien).unwrap(), b"somebody's");

    // Another length, another disk, no state at all, a damaged one.
    let file = fs::OpenOptions::new().write(true).open(&copy).unwrap();
    file.set_len(history.size + 512).unwrap();
    assert!(refused(&mut sync(leaf, &since, &copy)).contains("the disk has"));
    file.set_len(history.size - 512).unwrap();
    assert!(refused(&mut sync(leaf, &since, &copy)).contains("--grow"));
    file.set_len(history.size).unwrap();
    drop(file);
    let good = fs::read_to_string(state_file(&copy)).unwrap();
    let id_at = good.find("VirtualDiskId").unwrap() + 16;
    let foreign = good.replacen(&good[id_at..id_at + 8], "00000000", 1);
    fs::write(state_file(&copy), foreign).unwrap();
    assert!(refused(&mut sync(leaf, &since, &copy)).contains("copy of the disk 00000000"));
    fs::write(state_file(&copy), &good[..good.len() / 2]).unwrap();
    assert!(refused(&mut sync(leaf, &since, &copy)).contains("damaged"));
    fs::remove_file(state_file(&copy)).unwrap();
    assert!(refused(&mut sync(leaf, &since, &copy)).contains("no state file"));
    let mut now = fs::read(&copy).unwrap();
    now.truncate(before.len() - 512);
    assert!(now[..] == before[..before.len() - 512], "a refused sync writes nothing");
}

#[test]
fn an_up_to_date_copy_costs_no_write_and_a_dry_run_none_either() {
    let folder = tempfile::tempdir().unwrap();
    let (mut life, copy, id) = copied(folder.path(), 4);
    let history = life.write(folder.path()).unwrap();
    let (leaf, since) = (history.files.last().unwrap(), id_text(id.0, id.1));
    let stamp = || fs::metadata(&copy).unwrap().modified().unwrap();
    let before = stamp();
    let text = String::from_utf8(run(&mut sync(leaf, &since, &copy)).stdout).unwrap();
    assert!(text.contains(" 0 B written"), "{text}");
    life.simulate(20);
    life.write(folder.path()).unwrap();
    let text = String::from_utf8(run(sync(leaf, &since, &copy).arg("--dry-run")).stdout).unwrap();
    assert!(text.starts_with("would read"), "{text}");
    assert_eq!(stamp(), before);
}

#[test]
fn a_grown_disk_grows_its_copy_when_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, copy) = (folder.path().join("disk.vhdx"), folder.path().join("copy.raw"));
    let write = |size: u64| {
        let base = folder.path().join("base.vhdx");
        let place = VhdxBuilder::new(4 * MB).block(0, Block::Full(Fill(1))).write(&base).unwrap();
        let locator = ParentLocator::new(place.data_write_guid).relative(r".\base.vhdx");
        let child = VhdxBuilder::new(size).seed(2).disk_id(place.disk_id).parent(locator);
        child.block(size / MB - 1, Block::Full(Fill(2))).write(&disk).unwrap();
        base
    };
    let base = write(4 * MB);
    run(&mut sync(&base, "*", &copy));
    let since = format!("file:{}", base.display());
    write(6 * MB);
    assert!(refused(&mut sync(&disk, &since, &copy)).contains("--grow"));
    run(sync(&disk, &since, &copy).arg("--grow"));
    assert_eq!(fs::metadata(&copy).unwrap().len(), 6 * MB);
    run(&mut sync(&disk, "*", &copy));
    assert_eq!(fs::read(&copy).unwrap()[5 * MB as usize..], Fill(2).bytes(5 * MB, MB as usize));
}

/// Zeros over what was data become a hole, and the copy shrinks on its medium.
#[cfg(target_os = "linux")]
#[test]
fn zeros_become_holes() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let (disk, copy) = (folder.path().join("disk.vhdx"), folder.path().join("copy.raw"));
    let mut tracked = Tracked::new(8 * MB, 1);
    let id = tracked.create_id();
    let write = |block: Block, tracked: &Tracked| {
        VhdxBuilder::new(8 * MB)
            .block(0, Block::Full(Fill(1)))
            .block(3, block)
            .write(&disk)
            .unwrap();
        tracked.builder().write(folder.path().join("disk.vhdx.rct")).unwrap();
    };
    write(Block::Full(Fill(2)), &tracked);
    run(&mut sync(&disk, "*", &copy));
    let used = fs::metadata(&copy).unwrap().blocks() * 512;
    assert!((2 * MB..3 * MB).contains(&used), "{used} bytes of the copy are in use");
    tracked.write(3 * MB..4 * MB);
    write(Block::Zero { anchor: None }, &tracked);
    run(&mut sync(&disk, &id_text(id.0, id.1), &copy));
    assert!(
        fs::read(&copy).unwrap()[3 * MB as usize..4 * MB as usize].iter().all(|&byte| byte == 0)
    );
    let now = fs::metadata(&copy).unwrap().blocks() * 512;
    assert!(now <= used - MB, "{now} bytes of the copy are still in use");
}

#[test]
fn a_large_sparse_disk_syncs_in_no_time_and_little_memory() {
    const TB: u64 = 1 << 40;
    let folder = tempfile::tempdir().unwrap();
    let (disk, copy) = (folder.path().join("disk.vhdx"), folder.path().join("copy.raw"));
    let mut tracked = Tracked::new(TB, 1);
    let id = tracked.create_id();
    let write = |tracked: &Tracked, fill| {
        let blocks = [0, 500_000, 1_000_000].map(|block| (block, Block::Full(Fill(fill))));
        let builder = VhdxBuilder::new(TB);
        let builder = blocks.into_iter().fold(builder, |disk, (at, block)| disk.block(at, block));
        builder.write(&disk).unwrap();
        tracked.builder().write(folder.path().join("disk.vhdx.rct")).unwrap();
    };
    write(&tracked, 1);
    run(&mut sync(&disk, "*", &copy));
    tracked.write(500_000 * MB..500_001 * MB);
    write(&tracked, 2);
    let start = Instant::now();
    // A limit on the address space is a limit on memory, too; 50 MB in KB.
    let plain = sync(&disk, &id_text(id.0, id.1), &copy);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -v 51200; exec \"$@\"", "sh"])
        .arg(plain.get_program())
        .args(plain.get_args());
    let text = String::from_utf8(run(&mut limited).stdout).unwrap();
    assert!(text.contains("1 range, 1 MiB read, 1 MiB written"), "{text}");
    // Generous, since the machine may be busy: the promise is well under a second.
    assert!(start.elapsed() < Duration::from_secs(3), "took {:?}", start.elapsed());
}
