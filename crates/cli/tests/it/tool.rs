//! Runs the tool.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A file of the chain in `testdata`, and the id that its table knows.
pub const TRACKED: &str = "rctX:e6fd24a8:8ef8:4a21:9394:f28867b17470:00000001";

/// The disks of the chain in `testdata`, with their tables.
pub const DISKS: [&str; 5] =
    ["base.vhdx", "base.vhdx.rct", "child.avhdx", "child.avhdx.rct", "grandchild.avhdx"];

/// What a run left behind.
#[derive(Debug)]
pub struct Run {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    /// The object on standard output; nothing may be on standard error.
    pub fn object(&self) -> Value {
        assert!(self.err.is_empty(), "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The only line on standard error; nothing may be on standard output.
    pub fn line(&self) -> &str {
        assert!(self.out.is_empty() && self.err.lines().count() == 1, "{self:?}");
        self.err.trim_end()
    }
}

pub fn run_in(directory: &Path, args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vhdx-rct"));
    let output = command.args(args).current_dir(directory).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run {
        status: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// Runs the tool beside the disks in `testdata`.
pub fn run(args: &[&str]) -> Run {
    run_in(&vhdx_rct_fixtures::testdata::directory(), args)
}

/// Standard output of a run that succeeds and writes nothing to standard error.
pub fn ok(args: &[&str]) -> String {
    let run = run(args);
    assert!(run.status == 0 && run.err.is_empty(), "{args:?}: {run:?}");
    run.out
}

pub fn json(args: &[&str]) -> Value {
    serde_json::from_str(&ok(args)).unwrap()
}

pub fn testdata(name: &str) -> PathBuf {
    vhdx_rct_fixtures::testdata::directory().join(name)
}

/// A copy of the disks in `testdata`.
pub fn disks() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in DISKS {
        fs::copy(testdata(name), directory.path().join(name)).unwrap();
    }
    directory
}
