//! What `info` says of a set.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use vhdx_rct::vhd_set::VhdSet;
use vhdx_rct_fixtures::testing::two_kept;
use vhdx_rct_fixtures::vhds::{JsonStyle, Snapshot as Told, VhdsBuilder, catalogue_json};

/// Exit status, text and JSON of `info`.
fn info(set: &Path, options: &[&str]) -> (Option<i32>, String, Value) {
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vhdx-rct"));
        command.arg("info").arg(set).args(options).args(more).output().unwrap()
    };
    let (text, json) = (run(&[]), run(&["--format", "json"]));
    assert_eq!(text.status.code(), json.status.code());
    let json = serde_json::from_slice(&json.stdout).unwrap();
    (text.status.code(), String::from_utf8(text.stdout).unwrap(), json)
}

#[test]
fn says_which_snapshots_are_known_and_from_where() {
    let (directory, set, ..) = two_kept();
    let (status, text, json) = info(&set.path, &["--check"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("none known") && text.contains("Get-VHDSnapshot"), "{text}");
    assert_eq!(json["Snapshots"], Value::Array(Vec::new()));

    let json_of = |told: &[Told]| catalogue_json(told, JsonStyle::default());
    let beside = directory.path().join("disk.vhds.snapshots.json");
    fs::write(&beside, json_of(&set.catalogue)).unwrap();
    let given = directory.path().join("given.json");
    fs::write(&given, json_of(&set.catalogue[..1])).unwrap();
    for options in [&["--check"][..], &["--snapshots", given.to_str().unwrap()]] {
        let (status, text, json) = info(&set.path, options);
        assert_eq!(status, Some(0), "{text}");
        let known = json["Snapshots"].as_array().unwrap();
        assert_eq!(known.len(), set.catalogue.len());
        for (i, (known, told)) in known.iter().zip(&set.catalogue).enumerate() {
            assert_eq!(known["SnapshotId"], told.id.to_string());
            let from = if options.len() > 1 && i == 0 { &given } else { &beside };
            assert_eq!(known["Catalog"], from.to_str().unwrap());
            let line = text.lines().find(|line| line.contains(&told.id.to_string())).unwrap();
            assert!(line.contains(from.file_name().unwrap().to_str().unwrap()), "{text}");
        }
    }
}

#[test]
fn check_fails_without_the_active_file() {
    let (directory, set, ..) = two_kept();
    let active = VhdSet::open(&set.path).unwrap().active_name().to_owned();
    VhdsBuilder::new(&active).data_extra(100, b"records").write(&set.path).unwrap();
    assert_eq!(info(&set.path, &["--check"]).0, Some(0));
    fs::remove_file(directory.path().join(&active)).unwrap();
    assert_eq!(info(&set.path, &[]).0, Some(0));
    let (status, text, json) = info(&set.path, &["--check"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("1 finding") && !text.contains("nothing wrong"), "{text}");
    assert!(text.contains(&active), "{text}");
    assert_eq!(json["Check"]["Total"], 1);
    let finding = json["Check"]["Findings"][0].as_str().unwrap();
    assert!(finding.contains(&active) && finding.contains("cannot be found"), "{finding}");
    // What could not be read is said all the same.
    assert!(text.contains("not read"), "{text}");
    assert_eq!(json["UnreadRecords"].as_array().unwrap().len(), 1);
}
