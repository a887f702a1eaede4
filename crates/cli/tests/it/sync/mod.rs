//! `sync`: a raw copy is brought up to date.

mod faults;
mod full_copy;
mod interruptions;
mod nights;
mod options;
mod refusals;
mod storage;
mod vm;

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use vm::Vm;

/// A run of `sync` without options.
fn sync(disk: &Path, to: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vhdx-rct"));
    command.arg("sync").arg(disk).arg("--to").arg(to);
    command
}

/// Runs a command that succeeds.
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    output
}

/// Runs a command that succeeds, and returns its report.
fn report(command: &mut Command) -> Value {
    let output = run(command.args(["--format", "json"]));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs a command that fails with exit status 1, and returns the message.
fn refused(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{command:?} should be refused");
    assert!(output.stdout.is_empty(), "{command:?} should print nothing");
    String::from_utf8(output.stderr).unwrap()
}

fn state_path(copy: &Path) -> PathBuf {
    format!("{}.vhdx-rct.json", copy.display()).into()
}

/// A state file, read without the tool's code.
struct State(Value);

impl State {
    fn load(copy: &Path) -> Self {
        let text = fs::read(state_path(copy)).unwrap_or_else(|_| b"{}".to_vec());
        State(serde_json::from_slice(&text).unwrap())
    }

    /// Returns the names of the copy's points.
    fn points(&self) -> Vec<String> {
        let points = self.0["Points"].as_array().cloned().unwrap_or_default();
        let name = |point: &Value| match &point["Id"]["Id"] {
            Value::String(id) => id.clone(),
            _ => format!("dwg:{}", point["File"]["DataWriteGuid"].as_str().unwrap()),
        };
        points.iter().map(name).collect()
    }

    /// Returns whether the numbers of the disk's leaf are no lower than those of a point.
    fn is_caught_up_by(&self, vm: &Vm) -> bool {
        let (sequence, id) = vm.numbers();
        let Some((_, number)) = id else { return false };
        let points = self.0["Points"].as_array().cloned().unwrap_or_default();
        points.iter().any(|point| {
            let recorded = |name: &str| point["Id"][name].as_u64();
            recorded("SequenceNumber").is_some_and(|recorded| sequence >= recorded)
                && recorded("CurrentNumber").is_some_and(|recorded| u64::from(number) >= recorded)
        })
    }
}
