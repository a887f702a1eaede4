//! What `info` prints about a disk and about a table.

use crate::tool::{DISKS, TRACKED, disks, json, ok, run, run_in, testdata};
use serde_json::Value;
use std::fs;
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{Block, VhdxBuilder, patch::patch};

#[test]
fn shows_identity_chain_and_tracking() {
    let text = ok(&["info", "grandchild.avhdx", "--check"]);
    for part in
        ["differencing", "4 MiB (4194304 bytes)", "2  ", "base.vhdx", TRACKED, "nothing wrong"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    let object = json(&["info", "grandchild.avhdx", "--format", "json"]);
    assert_eq!(object["Chain"].as_array().unwrap().len(), 3);
    assert_eq!(object["ChainComplete"], true);
    assert_eq!(object["KnownIds"][0]["Newest"], TRACKED);
    assert!(ok(&["info", "dirty.vhdx"]).contains("3 entries to replay"));
    assert!(ok(&["info", "child.avhdx.rct"]).contains(TRACKED));
}

#[test]
fn warns_of_missing_parent() {
    let directory = tempfile::tempdir().unwrap();
    let lone = directory.path().join("child.avhdx");
    fs::copy(testdata("child.avhdx"), &lone).unwrap();
    let lone = lone.to_str().unwrap();
    assert!(ok(&["info", lone]).contains("the chain is not complete"));
    let object = json(&["info", lone, "--format", "json"]);
    assert_eq!(object["ChainComplete"], false);
    assert_eq!(object["Warnings"][0]["Path"], lone);
    let found = ok(&["info", lone, "--search-path", "."]);
    assert!(found.contains("base.vhdx") && !found.contains("warning"), "{found}");
    let confined =
        ["info", lone, "--search-path", ".", "--confine-to", directory.path().to_str().unwrap()];
    assert!(ok(&confined).contains("the chain is not complete"));
}

#[test]
fn lists_baselines_for_the_next_backup() {
    let rows = |name: &str| -> Vec<String> {
        let text = ok(&["info", name]);
        let rows = text.lines().skip_while(|line| !line.starts_with("next backup"));
        let mut rows: Vec<_> = rows.map(|row| row["next backup    ".len()..].to_owned()).collect();
        rows.retain(|row| row.starts_with("--since ") || row.starts_with("a full one"));
        let object = json(&["info", name, "--format", "json"]);
        let next = object["NextSince"].as_array().unwrap();
        assert_eq!(rows.len(), next.len().max(1), "{text}");
        for (row, next) in rows.iter().zip(next) {
            assert!(row.contains(next["Since"].as_str().unwrap()), "{row} {next}");
            assert_eq!(row.ends_with("  exact"), next["Exact"].as_bool().unwrap(), "{row} {next}");
        }
        rows
    };
    let child = rows("child.avhdx");
    assert!(child[0].starts_with(&format!("--since {TRACKED}  not exact")), "{child:?}");
    assert!(child[1].starts_with("--since dwg:") && child[1].ends_with("  exact"), "{child:?}");
    // The grandchild is not tracked.
    assert!(rows("grandchild.avhdx").iter().all(|row| row.starts_with("--since dwg:")));
    assert!(rows("dirty.vhdx")[0].contains("a full one (--since '*')"), "{:?}", rows("dirty.vhdx"));
    let object = json(&["info", "child.avhdx", "--format", "json"]);
    assert_eq!(object["NewestId"], TRACKED);
}

#[test]
fn check_compares_tables_with_blocks() {
    let text = ok(&["info", "grandchild.avhdx", "--check"]);
    let row = text.lines().find(|line| line.starts_with("evidence")).unwrap();
    assert!(row.contains("1  ") && row.ends_with("all in changed units of its table"), "{row}");
    let object = json(&["info", "grandchild.avhdx", "--check", "--format", "json"]);
    let evidence = object["Check"]["Evidence"].as_array().unwrap();
    assert_eq!((evidence.len(), &evidence[0]["Depth"]), (1, &1.into()));
    assert!(evidence[0]["Sectors"].as_u64().unwrap() > 0, "{object}");
    assert_eq!(object["Check"]["Total"], 0);
    assert_eq!(object["Check"]["TrackingTables"], 2);
}

/// Runs `info --check` in both formats, and returns the findings.
fn findings(directory: &std::path::Path, name: &str) -> Vec<String> {
    let text = run_in(directory, &["info", name, "--check"]);
    let json = run_in(directory, &["info", name, "--check", "--format", "json"]);
    let object: Value = json.object();
    let found: Vec<String> = serde_json::from_value(object["Check"]["Findings"].clone()).unwrap();
    let status = i32::from(!found.is_empty());
    assert_eq!((text.status, json.status), (status, status), "{name}: {text:?}");
    assert!(text.err.is_empty(), "{text:?}");
    assert_eq!(object["Check"]["Total"], found.len());
    let verdict = match found.len() {
        0 => "nothing wrong".to_owned(),
        1 => "1 finding".to_owned(),
        more => format!("{more} findings"),
    };
    assert!(text.out.contains(&format!("check          {verdict}: ")), "{text:?}");
    found
}

#[test]
fn check_finds_damaged_table_of_any_file_in_the_chain() {
    let directory = disks();
    let table = directory.path().join("child.avhdx.rct");
    let good = fs::read(&table).unwrap();
    for name in DISKS {
        assert_eq!(findings(directory.path(), name), [""; 0], "{name}");
    }
    let text = ok(&["info", "grandchild.avhdx", "--check"]);
    assert!(text.contains("3 files") && text.contains("2 tracking tables are good"), "{text}");
    // The offset page's checksum and an entry; the sequence page's header and a number.
    for at in [0x9004, 0x9010, 0xA004, 0xA040] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&table, bad).unwrap();
        for name in ["child.avhdx", "grandchild.avhdx", "child.avhdx.rct"] {
            let found = findings(directory.path(), name);
            assert!(found.len() == 1 && found[0].contains("child.avhdx.rct"), "{at:#x}: {found:?}");
        }
    }
    fs::write(&table, &good[..0x9800]).unwrap();
    assert_eq!(findings(directory.path(), "grandchild.avhdx").len(), 1);
}

#[test]
fn check_finds_damage_in_parents() {
    let directory = disks();
    let base = directory.path().join("base.vhdx");
    let mut bytes = fs::read(&base).unwrap();
    bytes[(192 << 10) + 100] ^= 1; // one copy of the region table; the other holds
    fs::write(&base, bytes).unwrap();
    let found = findings(directory.path(), "grandchild.avhdx");
    assert!(found[0].contains("base.vhdx: ") && found[0].contains("region table"), "{found:?}");
    fs::remove_file(base).unwrap();
    let found = findings(directory.path(), "grandchild.avhdx");
    assert!(found.len() == 1 && found[0].contains("parent cannot be found"), "{found:?}");
}

/// A damaged BAT entry prevents comparing a table with its file; the check goes on.
#[test]
fn check_reports_bad_bat_entry_of_tracked_file() {
    let directory = disks();
    let path = directory.path().join("child.avhdx");
    assert_eq!(findings(directory.path(), "child.avhdx"), [""; 0]);
    patch(&path, bat_offset(&fs::read(&path).unwrap()), &0xFFF7_u64.to_le_bytes()).unwrap();
    for name in ["child.avhdx", "grandchild.avhdx"] {
        let found = findings(directory.path(), name);
        assert!(!found.is_empty() && found[0].contains("BAT"), "{found:?}");
    }
}

/// Returns the BAT's offset, from the first copy of the region table.
fn bat_offset(file: &[u8]) -> u64 {
    const BAT: [u8; 4] = [0x66, 0x77, 0xC2, 0x2D];
    let table = &file[192 << 10..][..64 << 10];
    let entry = (16..).step_by(32).find(|&at| table[at..].starts_with(&BAT)).unwrap();
    u64::from_le_bytes(table[entry + 16..][..8].try_into().unwrap())
}

/// Two BAT entries with one block do not affect an answer, but are a finding.
#[test]
fn check_finds_shared_blocks() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shared.vhdx");
    let disk = VhdxBuilder::new(4 << 20).block(0, Block::Full(Fill(1)));
    let placement = disk.block(1, Block::Full(Fill(2))).write(&path).unwrap();
    let first = fs::read(&path).unwrap()[placement.bat_entry_offset(0) as usize..][..8].to_vec();
    patch(&path, placement.bat_entry_offset(1), &first).unwrap();
    ok(&["changes", path.to_str().unwrap(), "--since", "*"]);
    let found = findings(directory.path(), "shared.vhdx");
    assert!(found.len() == 1 && found[0].contains("shares bytes"), "{found:?}");
}

/// Nothing divides by the size of the disk.
#[test]
fn every_command_accepts_empty_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (disk, svg, raw) = (path("empty.vhdx"), path("map.svg"), path("empty.raw"));
    VhdxBuilder::new(0).write(disk.as_ref()).unwrap();
    ok(&["info", &disk, "--check"]);
    for format in ["table", "json", "jsonl", "csv", "qemu"] {
        ok(&["changes", &disk, "--since", "*", "--format", format]);
    }
    ok(&["map", &disk, "--since", "*", "-o", &svg]);
    assert!(fs::read_to_string(&svg).unwrap().starts_with("<svg"));
    let sync = run(&["sync", &disk, "--since", "*", "--to", &raw]);
    assert_eq!(sync.status, 0, "{sync:?}");
    assert_eq!(fs::metadata(&raw).unwrap().len(), 0);
}
