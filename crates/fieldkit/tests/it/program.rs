//! The program: what it prints, and its exit status.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use vhdx_rct_fixtures::rct::{Tracked, id_text};
use vhdx_rct_fixtures::sample::{SampleCase, write_manifest};
use vhdx_rct_fixtures::vhdx::VhdxBuilder;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fieldkit")).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A host's sample of one case, whose host answers so.
fn sample(directory: &Path, answer: std::ops::Range<u64>) {
    const SIZE: u64 = 4 << 20;
    let mut case = SampleCase::new(directory, "case", "disk.vhdx", SIZE).unwrap();
    case.pack_disk("disk.vhdx", &VhdxBuilder::new(SIZE)).unwrap();
    let mut tracked = Tracked::new(SIZE, 1);
    let (branch, number) = tracked.current_id();
    tracked.write(65536..69632);
    case.pack_table("disk.vhdx.rct", &tracked.builder()).unwrap();
    case.answered(&id_text(branch, number), &[answer]);
    write_manifest(directory, &[case]).unwrap();
}

#[test]
fn prints_what_a_sample_shows_of_each_fact() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    sample(directory.path(), 65536..81920);
    let output = run(&["check", path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown = text(&output);
    assert!(shown.contains("HAND-MADE"), "{shown}");
    assert!(shown.contains("rct unit-size: confirmed (a unit is 16 KiB"), "{shown}");
    assert!(shown.contains("+ case/disk.vhdx.rct: 256 units of 16384 bytes; a disk"), "{shown}");
    assert!(shown.contains("failed on the host: none, a step: that failed"), "{shown}");
    assert!(shown.contains("rct lazy: open") && shown.contains(" 0 contradicted, "), "{shown}");
    let reports: Value =
        serde_json::from_slice(&run(&["check", path, "--format", "json"]).stdout).unwrap();
    assert_eq!(reports[0]["Origin"], "hand-made");
    let facts = reports[0]["Facts"].as_array().unwrap();
    let changed = facts.iter().find(|fact| fact["Name"] == "changed").unwrap();
    assert_eq!((&changed["Format"], &changed["Verdict"]), (&"rct".into(), &"confirmed".into()));
    assert_eq!(changed["Evidence"][0]["Grave"], false);
}

/// A host that has more, and one that has less.
#[test]
fn fails_if_a_fact_is_contradicted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    for (answer, expected) in
        [(49152..81920, "CONTRADICTED, a backup"), (65536..69632, "changed: contradicted")]
    {
        sample(directory.path(), answer);
        let output = run(&["check", path]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stderr.is_empty(), "everything is printed to standard output");
        assert!(text(&output).contains(expected), "{output:?}");
        let output = run(&["check", path, "--format", "json"]);
        assert_eq!(output.status.code(), Some(1));
        let reports: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(reports.as_array().unwrap().len(), 1);
    }
}

#[test]
fn rejects_invalid_requests() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let output = run(&["check", path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("collect.ps1"), "{output:?}");
    for arguments in [&[][..], &["check"], &["show", path], &["check", path, "--format", "xml"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("usage: "), "{output:?}");
    }
}
