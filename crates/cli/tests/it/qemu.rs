//! `changes --format qemu`.

use crate::tool::{json, run_in, testdata};
use serde_json::Value;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use vhdx_rct_fixtures::bulk;
use vhdx_rct_fixtures::chain::Chain;
use vhdx_rct_fixtures::testing::{seeds, skip};

fn extents(disk: &str, since: &str) -> Vec<Value> {
    let answer = json(&["changes", disk, "--since", since, "--format", "qemu"]);
    answer.as_array().unwrap().clone()
}

fn number(extent: &Value, member: &str) -> u64 {
    extent[member].as_u64().unwrap()
}

#[test]
fn has_the_members_of_qemu_img_map() {
    let extents = extents("grandchild.avhdx", "file:base.vhdx");
    for extent in &extents {
        let keys: Vec<_> = extent.as_object().unwrap().keys().collect();
        let common = ["start", "length", "depth", "present", "zero", "data", "compressed"];
        assert_eq!(keys[..7], common);
        assert!(keys.len() == 7 || keys[7..] == ["offset", "filename"], "{keys:?}");
        assert_eq!(extent["zero"], !extent["data"].as_bool().unwrap());
        assert_eq!(extent["compressed"], false);
        assert_eq!(keys.len() > 7, extent["data"].as_bool().unwrap(), "{extent}");
    }
    // The grandchild's own, its parent's, and zeros.
    let with =
        |depth: u64, data: bool| extents.iter().any(|e| e["depth"] == depth && e["data"] == data);
    assert!(with(0, true) && with(1, true) && with(0, false) && with(1, false), "{extents:?}");
    let none = ["changes", "base.vhdx", "--since", "*", "--length", "0", "--format", "qemu"];
    assert_eq!(json(&none), serde_json::json!([]));
}

/// The named file has the disk's content at the offset, whatever the chain.
#[test]
fn host_offsets_lead_to_the_content() {
    let mut placed = 0;
    for seed in seeds(20, 200) {
        let directory = tempfile::tempdir().unwrap();
        let chain = Chain::random(directory.path(), seed).unwrap();
        let leaf = chain.files.last().unwrap().to_str().unwrap();
        for extent in extents(leaf, "*") {
            let Some(offset) = extent.get("offset") else { continue };
            let length = number(&extent, "length").min(1 << 20) as usize;
            let mut file = fs::File::open(extent["filename"].as_str().unwrap()).unwrap();
            let mut found = vec![0; length];
            file.seek(SeekFrom::Start(offset.as_u64().unwrap())).unwrap();
            file.read_exact(&mut found).unwrap();
            let expected = chain.read(number(&extent, "start"), length);
            assert!(found == expected, "seed {seed}: {extent}");
            placed += 1;
        }
    }
    assert!(placed > 20, "only {placed} extents have an offset");
}

/// qemu-img does not know where a VHDX has data, but it prints the same members.
#[test]
fn member_names_match_qemu_img() {
    let mut map = std::process::Command::new("qemu-img");
    map.args(["map", "--output=json", "-f", "vhdx"]).arg(testdata("base.vhdx"));
    let Ok(output) = map.output() else {
        return skip("member_names_match_qemu_img: qemu-img is not installed");
    };
    let theirs: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let ours = extents("base.vhdx", "*");
    let theirs = theirs[0].as_object().unwrap().keys();
    assert!(ours[0].as_object().unwrap().keys().take(theirs.len()).eq(theirs), "{ours:?}");
}

#[test]
fn streams_200_000_blocks() {
    const BLOCKS: u64 = 200_000;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bulk.vhdx");
    let disk = bulk::Disk { size: (2 * BLOCKS) << 20, block: 1 << 20, seed: 1, longest_run: 1 };
    let state = |block: u64| match block % 2 {
        0 => bulk::State::Full,
        _ => bulk::State::NotPresent,
    };
    disk.write(&path, &disk.builder(), state).unwrap();
    let start = std::time::Instant::now();
    let args = ["changes", "bulk.vhdx", "--since", "*", "--format", "qemu"];
    let run = run_in(directory.path(), &args);
    let taken = start.elapsed();
    assert_eq!((run.status, run.err.as_str()), (0, ""));
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(lines.len() as u64, BLOCKS);
    let last: Value = serde_json::from_str(lines[lines.len() - 1].trim_end_matches(']')).unwrap();
    assert_eq!(number(&last, "start"), (2 * BLOCKS - 2) << 20);
    assert_eq!(last["filename"], "bulk.vhdx");
    // Generous, since the machine may be busy and this build is not optimized.
    assert!(taken.as_secs() < 10, "took {taken:?}");
}
