//! What `info` prints about a set, and `changes` about its snapshots.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use vhdx_rct::vhd_set::VhdSet;
use vhdx_rct_fixtures::testing::two_kept;
use vhdx_rct_fixtures::vhds::{JsonStyle, Snapshot as Told, VhdsBuilder, catalog_json};

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
fn lists_the_snapshots_and_the_catalog_of_each() {
    let (directory, set, ..) = two_kept();
    let (status, text, json) = info(&set.path, &["--check"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("none known") && text.contains("Get-VHDSnapshot"), "{text}");
    assert_eq!(json["Snapshots"], Value::Array(Vec::new()));

    let json_of = |told: &[Told]| catalog_json(told, JsonStyle::default());
    let beside = directory.path().join("disk.vhds.snapshots.json");
    fs::write(&beside, json_of(&set.catalog)).unwrap();
    let given = directory.path().join("given.json");
    fs::write(&given, json_of(&set.catalog[..1])).unwrap();
    for options in [&["--check"][..], &["--snapshots", given.to_str().unwrap()]] {
        let (status, text, json) = info(&set.path, options);
        assert_eq!(status, Some(0), "{text}");
        let known = json["Snapshots"].as_array().unwrap();
        assert_eq!(known.len(), set.catalog.len());
        for (i, (known, told)) in known.iter().zip(&set.catalog).enumerate() {
            assert_eq!(known["SnapshotId"], told.id.to_string());
            let from = if options.len() > 1 && i == 0 { &given } else { &beside };
            assert_eq!(known["Catalog"], from.to_str().unwrap());
            let line = text.lines().find(|line| line.contains(&told.id.to_string())).unwrap();
            assert!(line.contains(from.file_name().unwrap().to_str().unwrap()), "{text}");
        }
    }
}

#[test]
fn a_missing_active_file_fails_the_check_and_not_the_report() {
    let (directory, set, ..) = two_kept();
    let active = VhdSet::open(&set.path).unwrap().active_name().to_owned();
    VhdsBuilder::new(&active).data_extra(100, b"records").write(&set.path).unwrap();
    assert_eq!(info(&set.path, &["--check"]).0, Some(0));
    fs::remove_file(directory.path().join(&active)).unwrap();
    fs::write(
        directory.path().join("disk.vhds.snapshots.json"),
        catalog_json(&set.catalog, JsonStyle::default()),
    )
    .unwrap();
    let (status, text, json) = info(&set.path, &[]);
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(json["Snapshots"].as_array().unwrap().len(), set.catalog.len(), "{text}");
    let warning = &json["Warnings"][0];
    assert_eq!(warning["Path"], set.path.to_str().unwrap());
    assert!(
        warning["Message"].as_str().unwrap().contains("active state cannot be opened"),
        "{json}"
    );
    let (status, text, json) = info(&set.path, &["--check"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("1 finding") && !text.contains("nothing wrong"), "{text}");
    assert!(text.contains(&active), "{text}");
    assert_eq!(json["Check"]["Total"], 1);
    let finding = json["Check"]["Findings"][0].as_str().unwrap();
    assert!(finding.contains(&active) && finding.contains("cannot be found"), "{finding}");
    // What could not be read is listed all the same.
    assert!(text.contains("not read"), "{text}");
    assert_eq!(json["UnreadRecords"].as_array().unwrap().len(), 1);
}

#[test]
fn answers_between_snapshots() {
    let (directory, set, from, to) = two_kept();
    let catalog = directory.path().join("catalog.json");
    fs::write(&catalog, catalog_json(&set.catalog, JsonStyle::default())).unwrap();
    let [from_id, to_id] = [from, to].map(|index| set.snapshots[index].id.to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_vhdx-rct"));
    command.arg("changes").arg(&set.path).args(["--since", &from_id, "--target", &to_id]);
    let output = command.args(["--format", "json", "--snapshots"]).arg(&catalog).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let written = set.written(from, Some(to)).unwrap();
    let offsets: Vec<u64> = written.iter().map(|range| range.start).collect();
    assert_eq!(answer["ChangedByteOffsets"], serde_json::json!(offsets), "{answer}");
    // A snapshot's file is frozen, so a copy of it is exactly at it.
    let exact = answer["NextSince"].as_array().unwrap().iter().any(|next| next["Exact"] == true);
    assert!(exact, "{answer}");
}
