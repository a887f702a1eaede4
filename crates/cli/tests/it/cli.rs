//! The command line: its formats, its exit codes, and what goes where.

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use vhdx_rct_fixtures::rct::{Tracked, id_text};
use vhdx_rct_fixtures::sample::{SampleCase, write_manifest};
use vhdx_rct_fixtures::testdata;
use vhdx_rct_fixtures::vhdx::VhdxBuilder;

const TRACKED: &str = "rctX:e6fd24a8:8ef8:4a21:9394:f28867b17470:00000001";

fn file(name: &str) -> PathBuf {
    testdata::directory().join(name)
}

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vhdx-rct"));
    command.current_dir(testdata::directory()).args(args).output().unwrap()
}

/// Standard output of a call that succeeds and says nothing on standard error.
fn ok(args: &[&str]) -> String {
    let output = run(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{args:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&ok(args)).unwrap()
}

/// What the record says that the grandchild has changed since the base.
fn expected() -> Vec<(u64, u64)> {
    let folder = tempfile::tempdir().unwrap();
    let shipped = testdata::write(folder.path()).unwrap();
    let grandchild = shipped.iter().find(|file| file.name == "grandchild.avhdx").unwrap();
    grandchild
        .stack
        .changed_since(0)
        .iter()
        .map(|range| (range.start, range.end - range.start))
        .collect()
}

const QUESTION: [&str; 4] = ["changes", "grandchild.avhdx", "--since", "file:base.vhdx"];

fn question<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&QUESTION[..], more].concat()
}

#[test]
fn json_has_the_methods_names() {
    let answer = json(&question(&["--format", "json"]));
    let (offsets, lengths): (Vec<u64>, Vec<u64>) = expected().into_iter().unzip();
    let expected = serde_json::json!({
        "ReturnValue": 0,
        "ProcessedByteLength": 4 << 20,
        "ChangedByteOffsets": offsets,
        "ChangedByteLengths": lengths,
        "Job": null,
        "VirtualDisk": {
            "VirtualDiskId": "d15c0000-0000-0000-0000-000000000001",
            "VirtualSize": 4 << 20,
            "LogicalSectorSize": 512,
            "Granularity": 512,
        },
        "Warnings": [],
    });
    assert_eq!(answer, expected);
    let keys: Vec<_> = answer.as_object().unwrap().keys().collect();
    assert_eq!(keys[..2], ["ReturnValue", "ProcessedByteLength"], "in the method's order");
}

#[test]
fn streaming_formats_say_the_same() {
    let csv = ok(&question(&["--format", "csv"]));
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("ByteOffset,ByteLength"));
    let pair = |line: &str| {
        line.split_once(',').map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())).unwrap()
    };
    assert_eq!(lines.map(pair).collect::<Vec<(u64, u64)>>(), expected());

    let lines = ok(&question(&["--format", "jsonl"]));
    let pair = |line: &str| {
        let object: Value = serde_json::from_str(line).unwrap();
        (object["ByteOffset"].as_u64().unwrap(), object["ByteLength"].as_u64().unwrap())
    };
    assert_eq!(lines.lines().map(pair).collect::<Vec<_>>(), expected());
}

#[test]
fn qemu_format_is_that_of_qemu_img_map() {
    let answer = json(&question(&["--format", "qemu"]));
    let extents = answer.as_array().unwrap();
    let total = extents.iter().map(|extent| extent["length"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(total, expected().iter().map(|(_, length)| length).sum::<u64>());
    for extent in extents {
        let keys: Vec<_> = extent.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["start", "length", "depth", "present", "zero", "data"]);
        assert_eq!(extent["zero"], !extent["data"].as_bool().unwrap());
    }
    // The grandchild's own, its parent's, and zeros.
    let with =
        |depth: u64, data: bool| extents.iter().any(|e| e["depth"] == depth && e["data"] == data);
    assert!(with(0, true) && with(1, true) && with(0, false) && with(1, false), "{answer}");
    assert_eq!(
        json(&["changes", "base.vhdx", "--since", "*", "--length", "0", "--format", "qemu"]),
        serde_json::json!([])
    );
}

#[test]
fn the_table_is_for_people() {
    let table = ok(&["changes", "child.avhdx", "--since", TRACKED]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["1008", "KiB", "16", "KiB"]);
    assert_eq!(lines[3], "2 ranges, 2.02 MiB of 4 MiB: 50 %");
    assert!(!table.contains('\x1b'), "no colour in a pipe");
    let bytes = ok(&["changes", "child.avhdx", "--since", TRACKED, "--bytes"]);
    assert!(bytes.contains("1032192") && bytes.contains("2097152"), "{bytes}");
    let widest = ok(&question(&["--widest", "1", "--bytes"]));
    let largest = expected().into_iter().max_by_key(|(_, length)| *length).unwrap();
    assert_eq!(widest.lines().count(), 3, "{widest}");
    assert!(widest.lines().nth(1).unwrap().ends_with(&largest.1.to_string()), "{widest}");
}

#[test]
fn regions_and_limits() {
    let region = json(&question(&["--format", "json", "--offset", "1M", "--length", "512K"]));
    assert_eq!(region["ProcessedByteLength"], 512 << 10);
    let first = json(&question(&["--format", "json", "--max-ranges", "2"]));
    assert_eq!(first["ChangedByteOffsets"].as_array().unwrap().len(), 2);
    assert_eq!(first["ProcessedByteLength"], expected()[2].0);
    // The other formats say on standard error how to go on.
    let output = run(&question(&["--format", "csv", "--max-ranges", "2"]));
    let hint = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && hint.contains(&format!("--offset {}", expected()[2].0)),
        "{hint}"
    );
}

#[test]
fn a_failure_is_an_object_in_json_and_a_line_elsewhere() {
    let args =
        ["changes", "child.avhdx", "--since", "rctX:e6fd24a8:8ef8:4a21:9394:f28867b17470:00000009"];
    let output = run(&[&args[..], &["--format", "json"]].concat());
    assert_eq!((output.status.code(), output.stderr.len()), (Some(1), 0));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&object["ReturnValue"], &object["Win32Error"]),
        (&32775.into(), &"0xC03A0030".into())
    );
    assert!(object["Message"].as_str().unwrap().contains("resolves the id"));
    for format in ["table", "jsonl", "csv", "qemu"] {
        let output = run(&[&args[..], &["--format", format]].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.len(), error.lines().count()),
            (Some(1), 0, 1),
            "{format}"
        );
        assert!(error.starts_with("error 32775 (0xC03A0030): "), "{error}");
    }
    let output = run(&["changes", "none.vhdx", "--since", "*", "--format", "json"]);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((object["ReturnValue"].as_u64(), object.get("Win32Error")), (Some(32779), None));
}

#[test]
fn wrong_usage_is_status_2() {
    for args in [
        &["changes", "child.avhdx"][..],
        &["changes", "child.avhdx", "--since", "*", "--offset", "1X"],
        &["changes", "child.avhdx", "--since", "*", "--length", "99999999T"],
        &["changes", "child.avhdx", "--since", "*", "--format", "xml"],
        &["change"],
        &[],
    ] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
    // What only the library can judge is a failure of the question.
    let output = run(&["changes", "child.avhdx", "--since", "*", "--max-ranges", "0"]);
    assert_eq!(output.status.code(), Some(1));
    let output = run(&["changes", "child.avhdx", "--since", "*", "--timeout", "0"]);
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error 32772: "));
}

#[test]
fn a_reader_who_has_enough_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vhdx-rct"))
        .args(["inspect"])
        .arg(file("child.avhdx.rct"))
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
fn info_tells_what_a_file_is() {
    let text = ok(&["info", "grandchild.avhdx", "--check"]);
    for part in
        ["differencing", "4 MiB (4194304 bytes)", "2  ", "base.vhdx", TRACKED, "nothing wrong"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    let object = json(&["info", "grandchild.avhdx", "--format", "json"]);
    assert_eq!(
        (object["Chain"].as_array().unwrap().len(), &object["ChainComplete"]),
        (3, &true.into())
    );
    assert_eq!(object["KnownIds"][0]["Newest"], TRACKED);
    assert!(ok(&["info", "dirty.vhdx"]).contains("3 entries to replay"));
    assert!(ok(&["info", "child.avhdx.rct"]).contains(TRACKED));
    // A parent that is gone is a warning, not a failure.
    let folder = tempfile::tempdir().unwrap();
    let lone = folder.path().join("child.avhdx");
    fs::copy(file("child.avhdx"), &lone).unwrap();
    assert!(ok(&["info", lone.to_str().unwrap()]).contains("the chain is not complete"));
    let found = ok(&["info", lone.to_str().unwrap(), "--search-path", "."]);
    assert!(found.contains("base.vhdx") && !found.contains("warning"), "{found}");
}

/// Two entries on one block: harmless to a query, found by the walk.
#[test]
fn info_check_finds_shared_blocks() {
    use vhdx_rct_fixtures::{pattern::Fill, vhdx};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.vhdx");
    let disk = vhdx::VhdxBuilder::new(4 << 20).block(0, vhdx::Block::Full(Fill(1)));
    let placement = disk.block(1, vhdx::Block::Full(Fill(2))).write(&path).unwrap();
    let first = fs::read(&path).unwrap()[placement.bat_entry_offset(0) as usize..][..8].to_vec();
    vhdx::patch::patch(&path, placement.bat_entry_offset(1), &first).unwrap();
    let path = path.to_str().unwrap();
    ok(&["changes", path, "--since", "*"]);
    let output = run(&["info", path, "--check"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("shares bytes") && text.contains("1 finding"), "{text}");
}

#[test]
fn inspect_shows_what_the_decoder_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.rct");
    for length in [1, 100, 0x5000, 0x9000, 0xA000] {
        fs::File::create(&path).unwrap().write_all(&vec![0xAB; length]).unwrap();
        let object = json(&["inspect", path.to_str().unwrap(), "--format", "json"]);
        assert_eq!(object["FileLength"], length);
        assert!(!object["Notes"].as_array().unwrap().is_empty(), "{length} bytes");
    }
    let text = ok(&["inspect", "child.avhdx.rct"]);
    for part in [
        "header 2 units",
        "header 1 branch 0",
        "offset page 0",
        "sequence page of chunk 0",
        "unknown",
        "header checksum: CRC-32C at 0x04 over 0x08..0x1000 holds on both headers; tried were CRC-32C",
        "CRC-32C at 0x14 over 0x00..0x1000, itself zero; and 278 more",
        "sequence page checksum: CRC-32C at 0x04 over 0x08..0x1000 holds on 1 of 1 pages; tried were",
        "and 7 more",
        "the first word of 0 of 1 sequence pages is its chunk's index",
    ] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn map_completions_and_manual() {
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("map.svg");
    ok(&["map", "grandchild.avhdx", "--since", "file:base.vhdx", "-o", svg.to_str().unwrap()]);
    let picture = fs::read_to_string(&svg).unwrap();
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
    assert!(picture.contains("prefers-color-scheme") && picture.contains("MB</text>"));
    for shell in ["bash", "zsh", "fish", "powershell"] {
        assert!(ok(&["completions", shell]).contains("vhdx-rct"), "{shell}");
    }
    let manual = ok(&["man"]);
    assert!(manual.contains("\\-\\-since") && manual.contains("COMMAND SYNC"), "{manual}");
}

/// A disk of no bytes is one, too: nothing divides by its size.
#[test]
fn every_command_takes_a_disk_of_no_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (disk, svg, raw) = (path("empty.vhdx"), path("map.svg"), path("empty.raw"));
    VhdxBuilder::new(0).write(disk.as_ref()).unwrap();
    ok(&["info", &disk, "--check"]);
    for format in ["table", "json", "jsonl", "csv", "qemu"] {
        ok(&["changes", &disk, "--since", "*", "--format", format]);
    }
    ok(&["map", &disk, "--since", "*", "-o", &svg]);
    assert!(fs::read_to_string(&svg).unwrap().starts_with("<svg"));
    let output = run(&["sync", &disk, "--since", "*", "--to", &raw]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::metadata(&raw).unwrap().len(), 0);
}

/// A host's sample of one case, whose host answers so.
fn sample(folder: &Path, answer: std::ops::Range<u64>) {
    const SIZE: u64 = 4 << 20;
    let mut case = SampleCase::new(folder, "case", "disk.vhdx", SIZE).unwrap();
    case.pack_disk("disk.vhdx", &VhdxBuilder::new(SIZE)).unwrap();
    let mut tracked = Tracked::new(SIZE, 1);
    let (branch, number) = tracked.current_id();
    tracked.write(65536..69632);
    let table = folder.join("table.tmp");
    tracked.builder().write(&table).unwrap();
    case.pack_whole("disk.vhdx.rct", &fs::read(table).unwrap()).unwrap();
    case.answered(&id_text(branch, number), &[answer]);
    write_manifest(folder, &[case]).unwrap();
}

#[test]
fn inspect_tells_what_a_sample_says_of_each_fact() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    sample(folder.path(), 65536..81920);
    let text = ok(&["inspect", "--sample", path]);
    assert!(text.contains("HAND-MADE"), "{text}");
    assert!(text.contains("rct unit-size: confirmed (a unit is 16 KiB"), "{text}");
    assert!(text.contains("+ case/disk.vhdx.rct: 256 units of 16384 bytes; a disk"), "{text}");
    assert!(text.contains("failed on the host: none, a step: that failed"), "{text}");
    assert!(text.contains("rct lazy: open") && text.contains(" 0 contradicted, "), "{text}");
    let reports = json(&["inspect", "--sample", path, "--format", "json"]);
    assert_eq!(reports[0]["Origin"], "hand-made");
    let facts = reports[0]["Facts"].as_array().unwrap();
    let changed = facts.iter().find(|fact| fact["Name"] == "changed").unwrap();
    assert_eq!((&changed["Format"], &changed["Verdict"]), (&"rct".into(), &"confirmed".into()));
    assert_eq!(changed["Evidence"][0]["Grave"], false);

    // A host that has more, and one that has less.
    for (answer, expected) in
        [(49152..81920, "CONTRADICTED, a backup"), (65536..69632, "changed: contradicted")]
    {
        sample(folder.path(), answer);
        let output = run(&["inspect", "--sample", path]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stderr.is_empty(), "all is told on standard output");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(expected), "{text}");
        let output = run(&["inspect", "--sample", path, "--format", "json"]);
        assert_eq!(output.status.code(), Some(1));
        let reports: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(reports.as_array().unwrap().len(), 1);
    }

    fs::write(folder.path().join("manifest.json"), "{}").unwrap();
    let output = run(&["inspect", "--sample", path]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("manifest.json: the manifest lacks its member"), "{error}");
    for wrong in [&["inspect"][..], &["inspect", "child.avhdx.rct", "--sample", path]] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}
