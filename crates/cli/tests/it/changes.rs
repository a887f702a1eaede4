//! `changes`: the answer in every format.

use crate::tool::{Run, TRACKED, json, ok, run, run_in};
use serde_json::Value;
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::{Tracked, patch};
use vhdx_rct_fixtures::testdata;
use vhdx_rct_fixtures::vhdx::{Block, ParentLocator, VhdxBuilder};

/// Returns what changed in the grandchild since the base, from the record.
fn expected() -> Vec<(u64, u64)> {
    let directory = tempfile::tempdir().unwrap();
    let shipped = testdata::write(directory.path()).unwrap();
    let grandchild = shipped.iter().find(|file| file.name == "grandchild.avhdx").unwrap();
    let changed = grandchild.stack.changed_since(0);
    changed.iter().map(|range| (range.start, range.end - range.start)).collect()
}

fn question<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["changes", "grandchild.avhdx", "--since", "file:base.vhdx"], more].concat()
}

#[test]
fn json_has_the_members_of_the_method_in_order() {
    let answer = json(&question(&["--format", "json"]));
    let (offsets, lengths): (Vec<u64>, Vec<u64>) = expected().into_iter().unzip();
    let info = json(&["info", "grandchild.avhdx", "--format", "json"]);
    let guid = |depth: usize| info["Chain"][depth]["DataWriteGuid"].as_str().unwrap();
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
        "NextSince": [
            { "Since": format!("dwg:{}", guid(0)), "Exact": true },
            { "Since": format!("dwg:{}", guid(1)), "Exact": false },
        ],
        "Warnings": [],
    });
    assert_eq!(answer, expected);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&answer), keys(&expected), "in the method's order");
}

#[test]
fn answers_since_every_next_baseline() {
    let answer = json(&["changes", "child.avhdx", "--since", "*", "--format", "json"]);
    let next = answer["NextSince"].as_array().unwrap();
    assert_eq!(next[0]["Since"], TRACKED);
    assert_eq!(next[0]["Exact"], false, "the child was written to after the id was created");
    for next in next {
        let since = next["Since"].as_str().unwrap();
        let run = run(&["changes", "child.avhdx", "--since", since, "--format", "json"]);
        let is_itself = next["Exact"] == true;
        assert_eq!(run.status, i32::from(is_itself), "{run:?}");
        let changed =
            run.object()["ChangedByteOffsets"].as_array().is_some_and(|all| !all.is_empty());
        assert_eq!(changed, !is_itself, "{run:?}");
    }
}

#[test]
fn damaged_table_costs_only_its_own_baseline() {
    let directory = tempfile::tempdir().unwrap();
    let disk = VhdxBuilder::new(4 << 20).block(0, Block::Full(Fill(1)));
    disk.write(&directory.path().join("disk.vhdx")).unwrap();
    let table = directory.path().join("disk.vhdx.rct");
    let placement = Tracked::new(4 << 20, 1).builder().write(&table).unwrap();
    let ask = || {
        let args = ["changes", "disk.vhdx", "--since", "*", "--format", "json"];
        let run = run_in(directory.path(), &args);
        assert_eq!(run.status, 0, "{run:?}");
        run.object()
    };
    let good = ask();
    assert!(good["NextSince"][0]["Since"].as_str().unwrap().starts_with("rctX:"), "{good}");
    // The checksum of the page that a question since the newest id reads.
    let checksum = placement.offset_page(0) + 4;
    patch(&table, checksum, &[0xAB; 4]).unwrap();
    let bad = ask();
    assert_eq!(bad["ChangedByteOffsets"], good["ChangedByteOffsets"]);
    let others = &good["NextSince"].as_array().unwrap()[1..];
    assert!(others[0]["Since"].as_str().unwrap().starts_with("dwg:"), "{good}");
    assert_eq!(bad["NextSince"], serde_json::json!(others), "{bad}");
}

#[test]
fn answers_without_next_baselines_if_bat_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let parent = VhdxBuilder::new(4 << 20).write(&directory.path().join("parent.vhdx")).unwrap();
    let locator = ParentLocator::new(parent.data_write_guid).relative(r".\parent.vhdx");
    let disk = VhdxBuilder::new(4 << 20).seed(2).parent(locator);
    let placement = disk.write(&directory.path().join("disk.avhdx")).unwrap();
    // An entry of the last block, outside the region, with a state that the format does not have.
    patch(directory.path().join("disk.avhdx"), placement.bat_entry_offset(3), &[5]).unwrap();
    let region = ["--offset", "0", "--length", "1MiB"];
    let args = ["changes", "disk.avhdx", "--since", "parent", "--format", "json"];
    let answer = run_in(directory.path(), &[&args[..], &region].concat());
    assert_eq!(answer.status, 0, "{answer:?}");
    let answer = answer.object();
    assert_eq!(answer["NextSince"], serde_json::json!([]), "{answer}");
    let warning = answer["Warnings"].as_array().unwrap().last().unwrap();
    assert_eq!(warning["Path"], "disk.avhdx");
    assert!(warning["Message"].as_str().unwrap().contains("next time is unknown"), "{answer}");
    let info = run_in(directory.path(), &["info", "disk.avhdx"]).out;
    assert!(info.contains("what to ask since instead is unknown"), "{info}");
    assert!(!info.contains("not closed cleanly"), "{info}");
}

#[test]
fn csv_and_jsonl_list_the_ranges() {
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
fn table_shows_sizes_totals_and_widest_ranges() {
    let table = ok(&["changes", "child.avhdx", "--since", TRACKED]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["1008", "KiB", "16", "KiB"]);
    assert_eq!(lines[3], "2 ranges, 2.02 MiB of 4 MiB: 50 %");
    assert!(!table.contains('\x1b'), "no color in a pipe");
    let bytes = ok(&["changes", "child.avhdx", "--since", TRACKED, "--bytes"]);
    assert!(bytes.contains("1032192") && bytes.contains("2097152"), "{bytes}");
    let widest = ok(&question(&["--widest", "1", "--bytes"]));
    let largest = expected().into_iter().max_by_key(|(_, length)| *length).unwrap();
    assert_eq!(widest.lines().count(), 3, "{widest}");
    assert!(widest.lines().nth(1).unwrap().ends_with(&largest.1.to_string()), "{widest}");
}

#[test]
fn region_accepts_units_and_hexadecimal() {
    let csv = |offset: &str, length: &str| {
        run(&question(&["--format", "csv", "--offset", offset, "--length", length]))
    };
    let plain = csv("1044480", "524288").out;
    assert!(plain.lines().count() > 1, "{plain}");
    for (offset, length) in [("1020K", "512KiB"), ("0xFF000", "0x80000"), ("0x3FCk", "512K")] {
        assert_eq!(csv(offset, length).out, plain, "{offset} {length}");
    }
    assert_eq!(csv("0", "0.5M").status, 2, "fractions are not numbers of bytes");
    let region = json(&question(&["--format", "json", "--offset", "1M", "--length", "512K"]));
    assert_eq!(region["ProcessedByteLength"], 512 << 10);
}

/// An answer that was cut short is not a success unless it shows that.
#[test]
fn max_ranges_shows_where_to_continue_or_fails() {
    let third = expected()[2].0;
    let limited = |format| run(&question(&["--format", format, "--max-ranges", "2"]));
    let how = format!("continue with --offset {third} --length {}", (4 << 20) - third);

    let Run { status, out, err } = limited("json");
    assert_eq!((status, err.as_str()), (0, ""));
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(object["ChangedByteOffsets"].as_array().unwrap().len(), 2);
    assert_eq!(object["ProcessedByteLength"], third);

    let Run { status, out, err } = limited("table");
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.lines().last().unwrap().contains(&how), "{out}");

    for format in ["csv", "jsonl", "qemu"] {
        let Run { status, out, err } = limited(format);
        assert_eq!(status, 1, "{format}");
        assert!(!out.is_empty() && err.starts_with("vhdx-rct: error 32768: "), "{format}: {err}");
        assert!(err.lines().count() == 1 && err.contains(&how), "{format}: {err}");
        let all = run(&question(&["--format", format, "--max-ranges", "1K"]));
        assert_eq!((all.status, all.err.as_str()), (0, ""), "{format}: nothing was left out");
    }
}

#[test]
fn prints_warnings_in_every_format() {
    let directory = crate::tool::disks();
    let table = directory.path().join("child.avhdx.rct");
    std::fs::write(&table, b"not a table").unwrap();
    let ask = |format| {
        let args = ["changes", "child.avhdx", "--since", "file:base.vhdx", "--format", format];
        run_in(directory.path(), &args)
    };
    for format in ["table", "csv", "jsonl", "qemu"] {
        let Run { status, err, .. } = ask(format);
        assert_eq!((status, err.lines().count()), (0, 1), "{format}: {err}");
        assert!(err.starts_with("vhdx-rct: warning: "), "{err}");
        assert!(err.contains("child.avhdx.rct: "), "{err}");
    }
    let object = ask("json").object();
    let warning = &object["Warnings"][0];
    assert!(warning["Path"].as_str().unwrap().ends_with("child.avhdx.rct"), "{object}");
    assert!(warning["Message"].as_str().unwrap().contains("cannot be used"), "{object}");
}

#[test]
fn confine_to_rejects_files_outside() {
    let (directory, elsewhere) = (crate::tool::disks(), tempfile::tempdir().unwrap());
    let parent = elsewhere.path().join("base.vhdx");
    std::fs::rename(directory.path().join("base.vhdx"), &parent).unwrap();
    let elsewhere = elsewhere.path().to_str().unwrap();
    let ask = |more: &[&str]| {
        let args = [&["changes", "child.avhdx", "--since", "*", "--search-path", elsewhere], more];
        run_in(directory.path(), &args.concat())
    };
    assert_eq!(ask(&[]).status, 0);
    let confined = ask(&["--confine-to", "."]);
    assert!(confined.status == 1 && confined.line().contains("error 32777"), "{confined:?}");
    assert_eq!(ask(&["--confine-to", ".", "--confine-to", elsewhere]).status, 0);
}
