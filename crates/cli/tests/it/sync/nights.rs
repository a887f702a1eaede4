//! A year of nights: a disk lives, and every night its copy is brought up to date, whatever
//! happened to the disk during the day and to the copier in the night.

use super::vm::Vm;
use super::{State, faults, sync};
use serde_json::Value;
use std::fs;
use std::path::Path;
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::testing::{seeds, skip};

const NIGHTS: u32 = 12;

/// Counts what the nights were like, so that a simulation which tests nothing fails.
#[derive(Default)]
struct Tally {
    nights: u64,
    /// Nights on which less than the whole disk was read.
    incremental: u64,
    interrupted: u64,
    /// Nights that end with an interrupted run.
    given_up: u64,
    /// Nights after the disk went back to an earlier state.
    gone_back: u64,
}

#[test]
fn the_copy_equals_the_disk_after_every_night() {
    if !faults::are_possible() {
        return skip("faults need strace");
    }
    let mut tally = Tally::default();
    for seed in seeds(8, 500) {
        live(seed, NIGHTS, &mut tally);
    }
    let Tally { nights, incremental, interrupted, given_up, gone_back } = tally;
    assert!(incremental * 3 > nights, "{incremental} of {nights} nights were incremental");
    assert!(interrupted * 10 > nights, "{interrupted} of {nights} nights were interrupted");
    assert!(given_up * 30 > nights, "{given_up} of {nights} nights ended with an interruption");
    assert!(gone_back * 20 > nights, "the disk went back before {gone_back} of {nights} nights");
}

fn live(seed: u64, nights: u32, tally: &mut Tally) {
    let (storage, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copy = copies.path().join("copy.raw");
    let mut rng = Rng::new(seed ^ 0x00D1_5EA5);
    let mut vm = Vm::new(seed);
    let mut snapshots: Vec<Vm> = Vec::new();
    for night in 0..nights {
        let gone_back = day(&mut vm, &mut snapshots, &State::load(&copy), &mut rng);
        let leaf = vm.store(storage.path());
        let interrupted = interrupt(&leaf, &copy, &mut rng);
        // Some nights, the copier is not run again.
        if interrupted && rng.one_in(3) {
            tally.given_up += 1;
            continue;
        }
        let output = sync(&leaf, &copy).args(["--format", "json"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "seed {seed}, night {night}: {text}");
        let report: Value = serde_json::from_str(&text).unwrap();
        let expected = vm.content();
        assert!(
            fs::read(&copy).unwrap() == expected,
            "seed {seed}, night {night}: the copy differs after {report}"
        );
        tally.nights += 1;
        tally.incremental += u64::from(report["Since"] != "*");
        tally.interrupted += u64::from(interrupted);
        tally.gone_back += u64::from(gone_back);
    }
}

/// What happens to the disk between two copies. Returns whether it went back to an earlier state.
fn day(vm: &mut Vm, snapshots: &mut Vec<Vm>, state: &State, rng: &mut Rng) -> bool {
    let mut gone_back = false;
    for _ in 0..rng.below(5) {
        match rng.below(16) {
            0..6 => vm.write(),
            6..8 => drop(vm.create_id()),
            8..10 => vm.checkpoint(),
            10 => gone_back |= vm.apply_checkpoint(),
            11 => drop(vm.merge()),
            12 => snapshots.push(vm.clone()),
            13 if !snapshots.is_empty() => {
                *vm = vm.rolled_back_to(&rng.pick(snapshots));
                gone_back = true;
                // Numbers that have caught up with those of the copy hide the rollback: that is
                // the one case that no file shows.
                if state.is_caught_up_by(vm) {
                    vm.restart_tracking();
                }
                break;
            }
            14 => vm.restart_tracking(),
            _ => vm.set_running(rng.one_in(2)),
        }
    }
    gone_back
}

/// Runs the copier with a fault, some nights more than once. Returns whether it was interrupted.
fn interrupt(leaf: &Path, copy: &Path, rng: &mut Rng) -> bool {
    let mut interrupted = false;
    while rng.one_in(2) {
        let mut command = sync(leaf, copy);
        if rng.one_in(4) {
            command.arg("--full");
        }
        let status = faults::at_random(&command, rng).output().unwrap().status;
        interrupted |= !status.success();
    }
    interrupted
}
