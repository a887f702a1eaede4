//! What `info` prints about a set, and `changes` about its snapshots.

use crate::tool::{json, run};
use serde_json::Value;
use std::fs;
use std::path::Path;
use vhdx_rct::vhd_set::VhdSet;
use vhdx_rct_fixtures::testing::two_kept;
use vhdx_rct_fixtures::vhds::{JsonStyle, Snapshot, VhdsBuilder, catalog_json};

/// Exit status, text and JSON of `info`.
fn info(set: &Path, options: &[&str]) -> (i32, String, Value) {
    let info = |more: &[&str]| run(&[&["info", set.to_str().unwrap()], options, more].concat());
    let (text, json) = (info(&[]), info(&["--format", "json"]));
    assert_eq!(text.status, json.status);
    (text.status, text.out, serde_json::from_str(&json.out).unwrap())
}

#[test]
fn lists_snapshots_with_their_catalogs() {
    let (directory, set, ..) = two_kept();
    let (status, text, json) = info(&set.path, &["--check"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("none known") && text.contains("Get-VHDSnapshot"), "{text}");
    assert_eq!(json["Snapshots"], Value::Array(Vec::new()));

    let json_of = |snapshots: &[Snapshot]| catalog_json(snapshots, JsonStyle::default());
    let beside = directory.path().join("disk.vhds.snapshots.json");
    fs::write(&beside, json_of(&set.catalog)).unwrap();
    let given = directory.path().join("given.json");
    fs::write(&given, json_of(&set.catalog[..1])).unwrap();
    for options in [&["--check"][..], &["--snapshots", given.to_str().unwrap()]] {
        let (status, text, json) = info(&set.path, options);
        assert_eq!(status, 0, "{text}");
        let known = json["Snapshots"].as_array().unwrap();
        assert_eq!(known.len(), set.catalog.len());
        for (i, (known, written)) in known.iter().zip(&set.catalog).enumerate() {
            assert_eq!(known["SnapshotId"], written.id.to_string());
            let from = if options.len() > 1 && i == 0 { &given } else { &beside };
            assert_eq!(known["Catalog"], from.to_str().unwrap());
            let line = text.lines().find(|line| line.contains(&written.id.to_string())).unwrap();
            assert!(line.contains(from.file_name().unwrap().to_str().unwrap()), "{text}");
        }
    }
}

#[test]
fn missing_active_file_fails_only_the_check() {
    let (directory, set, ..) = two_kept();
    let active = VhdSet::open(&set.path).unwrap().active_name().to_owned();
    VhdsBuilder::new(&active).data_extra(100, b"records").write(&set.path).unwrap();
    assert_eq!(info(&set.path, &["--check"]).0, 0);
    fs::remove_file(directory.path().join(&active)).unwrap();
    fs::write(
        directory.path().join("disk.vhds.snapshots.json"),
        catalog_json(&set.catalog, JsonStyle::default()),
    )
    .unwrap();
    let (status, text, json) = info(&set.path, &[]);
    assert_eq!(status, 0, "{text}");
    assert_eq!(json["Snapshots"].as_array().unwrap().len(), set.catalog.len(), "{text}");
    let warning = &json["Warnings"][0];
    assert_eq!(warning["Path"], set.path.to_str().unwrap());
    assert!(
        warning["Message"].as_str().unwrap().contains("active state cannot be opened"),
        "{json}"
    );
    let (status, text, json) = info(&set.path, &["--check"]);
    assert_eq!(status, 1, "{text}");
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
    let (path, catalog) = (set.path.to_str().unwrap(), catalog.to_str().unwrap());
    let question = ["changes", path, "--since", &from_id, "--target", &to_id];
    let answer = json(&[&question[..], &["--format", "json", "--snapshots", catalog]].concat());
    let written = set.written(from, Some(to)).unwrap();
    let offsets: Vec<u64> = written.iter().map(|range| range.start).collect();
    assert_eq!(answer["ChangedByteOffsets"], serde_json::json!(offsets), "{answer}");
    // A snapshot's file is frozen, so a copy of it is exactly at it.
    let exact = answer["NextSince"].as_array().unwrap().iter().any(|next| next["Exact"] == true);
    assert!(exact, "{answer}");
}
