//! How failures are reported, and with which exit status.

use crate::tool::{Run, TRACKED, disks, ok, run, run_in, testdata};
use serde_json::json;
use std::fs;
use std::process::{Command, Stdio};

const UNKNOWN: &str = "rctX:e6fd24a8:8ef8:4a21:9394:f28867b17470:00000009";

#[test]
fn reports_failure_as_json_object_or_line() {
    let args = ["changes", "child.avhdx", "--since", UNKNOWN];
    let failed = run(&[&args[..], &["--format", "json"]].concat());
    assert_eq!(failed.status, 1);
    let object = failed.object();
    let message = object["Message"].as_str().unwrap();
    assert!(message.contains("child.avhdx") && message.contains("resolves the id"), "{message}");
    let expected = json!({
        "ReturnValue": 32775,
        "Win32Error": "0xC03A0030",
        "Message": message,
        "NeedsFullBackup": true,
    });
    assert_eq!(object, expected);
    for format in ["table", "jsonl", "csv", "qemu"] {
        let failed = run(&[&args[..], &["--format", format]].concat());
        assert_eq!(failed.status, 1, "{format}");
        assert_eq!(failed.line(), format!("vhdx-rct: error 32775 (0xC03A0030): {message}"));
    }
    let lost = run(&["changes", "none.vhdx", "--since", "*", "--format", "json"]);
    let object = lost.object();
    assert_eq!((lost.status, &object["ReturnValue"]), (1, &32779.into()));
    assert_eq!((object.get("Win32Error"), &object["NeedsFullBackup"]), (None, &false.into()));
}

#[test]
fn reports_failure_as_object_in_every_json_command() {
    let directory = disks();
    fs::write(directory.path().join("broken.vhdx"), b"vhdxfile").unwrap();
    fs::write(directory.path().join("broken.rct"), b"nothing").unwrap();
    for (args, code, win32) in [
        (&["changes", "broken.vhdx", "--since", "*"][..], 32768, Some("0xC03A0013")),
        (&["info", "broken.vhdx"], 32768, Some("0xC03A0013")),
        (&["info", "broken.rct"], 32768, Some("0xC03A0013")),
        (&["info", "none.vhdx"], 32779, None),
        (&["info", "none.rct"], 32779, None),
        (&["info", "child.avhdx", "--snapshots", "none.json"], 32779, None),
        (&["info", "child.avhdx", "--snapshots", "broken.rct"], 32768, None),
        (&["inspect", "none.rct"], 32779, None),
        (&["inspect", "child.avhdx"], 32770, None),
    ] {
        let failed = run_in(directory.path(), &[args, &["--format", "json"]].concat());
        assert_eq!(failed.status, 1, "{args:?}");
        let object = failed.object();
        assert_eq!(object["ReturnValue"], code, "{args:?}: {object}");
        assert_eq!(object.get("Win32Error").and_then(|code| code.as_str()), win32, "{args:?}");
        // A damaged table does not prevent a full backup.
        assert_eq!(object["NeedsFullBackup"], args.contains(&"broken.rct") && win32.is_some());
        let line = run_in(directory.path(), args);
        let win32 = win32.map(|code| format!(" ({code})")).unwrap_or_default();
        let start = format!("vhdx-rct: error {code}{win32}: ");
        assert!(line.status == 1 && line.line().starts_with(&start), "{line:?}");
    }
}

#[test]
fn timeout_ends_the_query() {
    let late = run(&["changes", "child.avhdx", "--since", "*", "--timeout", "0"]);
    assert!(late.status == 1 && late.line().starts_with("vhdx-rct: error 32772: "), "{late:?}");
    ok(&["changes", "child.avhdx", "--since", TRACKED, "--timeout", "3.5"]);
    ok(&["changes", "child.avhdx", "--since", TRACKED, "--timeout", "1e18"]);
}

#[test]
fn closed_pipe_is_not_a_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vhdx-rct"))
        .args(["inspect"])
        .arg(testdata("child.avhdx.rct"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
}

#[test]
fn messages_name_the_next_step() {
    let directory = disks();
    let refused = |args: &[&str]| {
        let run = run_in(directory.path(), args);
        assert_eq!(run.status, 1, "{args:?}");
        run.line().to_owned()
    };
    let error = refused(&["inspect", "child.avhdx"]);
    assert!(error.contains("info --check"), "{error}");
    let error = refused(&["changes", "grandchild.avhdx", "--since", "file:nope.vhdx"]);
    assert!(error.contains("base.vhdx") && error.contains("cannot be found"), "{error}");
    let error = refused(&["changes", "child.avhdx", "--since", "*", "--offset", "5M"]);
    assert!(error.contains("5242880") && !error.contains("Included"), "{error}");
    fs::remove_file(directory.path().join("base.vhdx")).unwrap();
    let error = refused(&["changes", "child.avhdx", "--since", "file:base.vhdx"]);
    assert!(error.starts_with("vhdx-rct: error 32777 (0xC03A000D): "), "{error}");
    assert!(error.contains("search path"), "{error}");
}

/// What is about the disk, not about the text of the command line, has status 1.
#[test]
fn exits_with_1_if_question_does_not_fit_the_disk() {
    let guid = "9ac15b72-2a6d-44b2-ba7c-f5f06831c74a";
    for (args, code) in [
        (&["--since", guid][..], "32776"),
        (&["--since", "*", "--target", guid], "32773"),
        (&["--since", "*", "--offset", "5M"], "32773"),
        (&["--since", "*", "--offset", "1M", "--length", "4M"], "32773"),
        (&["--since", &format!("dwg:{guid}")], "32773"),
    ] {
        let Run { status, err, .. } = run(&[&["changes", "child.avhdx"], args].concat());
        assert_eq!(status, 1, "{args:?}: {err}");
        assert!(err.starts_with(&format!("vhdx-rct: error {code}: ")), "{args:?}: {err}");
    }
}
