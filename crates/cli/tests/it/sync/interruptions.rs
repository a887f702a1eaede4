//! Runs that end at any system call, and what is durable when.

use super::vm::Vm;
use super::{State, faults, run, state_path, sync};
use std::fs;
use std::ops::Range;
use std::path::Path;
use vhdx_rct_fixtures::testing::skip;

/// Creates a disk and an outdated copy of it.
fn copied(directory: &Path, seed: u64) -> (Vm, std::path::PathBuf) {
    let (storage, copy) = (directory.join("storage"), directory.join("copy.raw"));
    fs::create_dir(&storage).unwrap();
    let mut vm = Vm::new(seed);
    (0..5).for_each(|_| vm.write());
    vm.create_id();
    run(&mut sync(&vm.store(&storage), &copy));
    (0..5).for_each(|_| vm.write());
    (vm, copy)
}

/// Kills a run at each of its calls in turn: the run after it always makes the copy right.
#[test]
fn a_run_after_one_that_was_killed_at_any_call_makes_the_copy_right() {
    if !faults::are_possible() {
        return skip("faults need strace");
    }
    let mut killed = 0;
    for full in [false, true] {
        for call in ["pwrite64", "fallocate", "ftruncate", "fsync", "rename", "openat"] {
            for nth in 1..60 {
                let directory = tempfile::tempdir().unwrap();
                let (vm, copy) = copied(directory.path(), nth);
                let leaf = vm.store(&directory.path().join("storage"));
                let mut command = sync(&leaf, &copy);
                if full {
                    command.arg("--full");
                }
                let killed_run = faults::inject(&command, call, "signal=KILL", nth);
                let is_over = { killed_run }.output().unwrap().status.success();
                run(&mut sync(&leaf, &copy));
                let place = format!("{call} {nth}, full: {full}");
                assert!(fs::read(&copy).unwrap() == vm.content(), "{place}: the copy differs");
                assert_eq!(State::load(&copy).0["Unfinished"], false, "{place}");
                if is_over {
                    break;
                }
                killed += 1;
            }
        }
    }
    assert!(killed > 20, "only {killed} runs were killed");
}

/// The copy has what the killed run wrote, and the disk forgets it when the checkpoint is applied.
#[test]
fn what_a_killed_run_wrote_is_read_again_after_a_checkpoint_is_applied() {
    if !faults::are_possible() {
        return skip("faults need strace");
    }
    let mut forgotten = 0;
    for seed in 0..8 {
        let directory = tempfile::tempdir().unwrap();
        let (storage, copy) = (directory.path().join("storage"), directory.path().join("copy.raw"));
        fs::create_dir(&storage).unwrap();
        let mut vm = Vm::new(seed);
        (0..4).for_each(|_| vm.write());
        vm.checkpoint();
        vm.write();
        run(&mut sync(&vm.store(&storage), &copy));
        (0..3).for_each(|_| vm.write());
        // The second rename would have ended the run.
        let command = sync(&vm.store(&storage), &copy);
        let output = faults::inject(&command, "rename", "signal=KILL", 2).output().unwrap();
        assert!(!output.status.success());
        let written = fs::read(&copy).unwrap();
        assert!(vm.apply_checkpoint());
        run(&mut sync(&vm.store(&storage), &copy));
        assert!(fs::read(&copy).unwrap() == vm.content(), "seed {seed}: the copy differs");
        forgotten += u64::from(written != vm.content());
    }
    assert!(forgotten > 4, "only {forgotten} disks forgot something");
}

/// After a failed fsync, the system may report content that never reached the medium. The next run
/// must write all of it again, whatever it reads.
#[test]
fn a_run_after_a_failed_fsync_writes_everything_again() {
    if !faults::are_possible() {
        return skip("faults need strace");
    }
    for seed in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let (vm, copy) = copied(directory.path(), seed);
        let leaf = vm.store(&directory.path().join("storage"));
        let before = fs::read(&copy).unwrap();
        let after = vm.content();
        // The first two are of the state file and its directory.
        let mut failing = faults::inject(&sync(&leaf, &copy), "fsync", "error=EIO", 3);
        let output = failing.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(fs::read(&copy).unwrap() == after, "the copy was written before it failed");
        let log = directory.path().join("calls");
        run(&mut faults::log(&sync(&leaf, &copy), "pwrite64,fallocate", &log));
        let written = written_ranges(&fs::read_to_string(&log).unwrap(), &copy);
        let changed = (0..after.len()).step_by(512).filter(|&at| {
            let end = after.len().min(at + 512);
            before[at..end] != after[at..end]
        });
        for at in changed {
            let is_written = written.iter().any(|range| range.contains(&(at as u64)));
            assert!(is_written, "seed {seed}: byte {at} was not written again");
        }
    }
}

/// Returns the ranges of the copy that a log of calls shows as written or zeroed.
fn written_ranges(log: &str, copy: &Path) -> Vec<Range<u64>> {
    let name = format!("<{}>", copy.display());
    let calls = log.lines().filter(|line| line.contains(&name));
    let ranges = calls.filter_map(|line| {
        // Both calls end with length and offset, in opposite order: `…, length, offset) = count` and
        // `…, offset, length) = 0`.
        let arguments = line.rsplit_once(") = ")?.0;
        let mut numbers = arguments.rsplit(", ");
        let last: u64 = numbers.next()?.parse().ok()?;
        let other: u64 = numbers.next()?.parse().ok()?;
        let (length, offset) =
            if line.contains("pwrite64(") { (other, last) } else { (last, other) };
        Some(offset..offset + length)
    });
    ranges.collect()
}

/// The state durably records a run before the copy changes, and its end after the copy is durable.
#[test]
fn every_step_is_durable_before_the_next_one_begins() {
    if !faults::are_possible() {
        return skip("the order of calls needs strace");
    }
    let directory = tempfile::tempdir().unwrap();
    let (vm, copy) = copied(directory.path(), 7);
    let leaf = vm.store(&directory.path().join("storage"));
    let log = directory.path().join("calls");
    let calls = "pwrite64,fallocate,ftruncate,fsync,rename";
    run(&mut faults::log(&sync(&leaf, &copy), calls, &log));
    let text = fs::read_to_string(&log).unwrap();
    let (copy, state) = (copy.display().to_string(), state_path(&copy).display().to_string());
    let step = |line: &str| match line {
        _ if line.contains(&format!("<{state}.new>")) && line.contains("fsync") => Some("state"),
        _ if line.contains("rename(") => Some("rename"),
        _ if line.contains(&format!("<{copy}>")) && line.contains("fsync") => Some("copy"),
        _ if line.contains(&format!("<{copy}>")) => Some("write"),
        _ if line.contains("fsync") => Some("directory"),
        _ => None,
    };
    let mut steps: Vec<_> = text.lines().filter_map(step).collect();
    steps.dedup();
    let expected =
        ["state", "rename", "directory", "write", "copy", "state", "rename", "directory"];
    assert_eq!(steps, expected, "{text}");
}
