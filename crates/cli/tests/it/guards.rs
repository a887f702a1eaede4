//! What the tool does for its user beyond the library: it spares his files and his terminal,
//! and what it calls good is good.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const DISKS: [&str; 5] =
    ["base.vhdx", "base.vhdx.rct", "child.avhdx", "child.avhdx.rct", "grandchild.avhdx"];

/// A copy of the small disks.
fn disks() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in DISKS {
        fs::copy(testdata(name), folder.path().join(name)).unwrap();
    }
    folder
}

fn testdata(name: &str) -> PathBuf {
    vhdx_rct_fixtures::testdata::directory().join(name)
}

/// Runs the tool in a folder: its status, standard output and standard error.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_vhdx-rct"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn a_picture_is_written_over_a_picture_only() {
    let folder = disks();
    let map = |to: &str| run(folder.path(), &["map", "child.avhdx", "--since", "*", "-o", to]);
    for name in DISKS {
        let (status, _, error) = map(name);
        assert_eq!(status, 1, "{name}");
        assert!(error.contains("is no picture"), "{error}");
    }
    for name in DISKS {
        let kept = fs::read(folder.path().join(name)).unwrap() == fs::read(testdata(name)).unwrap();
        assert!(kept, "{name} was written to");
    }
    // The folder itself, and one that is not there.
    assert_eq!((map(".").0, map("nowhere/map.svg").0), (1, 1));
    fs::write(folder.path().join("empty.svg"), "").unwrap();
    for name in ["new.svg", "new.svg", "empty.svg"] {
        assert_eq!(map(name).0, 0, "{name}");
        assert!(fs::read_to_string(folder.path().join(name)).unwrap().starts_with("<svg"));
    }
}

#[test]
fn check_finds_a_damaged_table_wherever_it_lies_in_the_chain() {
    let folder = disks();
    let table = folder.path().join("child.avhdx.rct");
    let good = fs::read(&table).unwrap();
    let check = |name: &str| run(folder.path(), &["info", name, "--check"]);
    for name in DISKS {
        let (status, text, _) = check(name);
        assert_eq!(status, 0, "{name}: {text}");
        assert!(text.contains("nothing wrong"), "{text}");
    }
    assert!(check("grandchild.avhdx").1.contains("3 files"));
    assert!(check("grandchild.avhdx").1.contains("2 tracking tables are good"));
    // The offset page's checksum and an entry; the sequence page's header and a number.
    for at in [0x9004, 0x9010, 0xA004, 0xA040] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&table, bad).unwrap();
        for name in ["child.avhdx", "grandchild.avhdx", "child.avhdx.rct"] {
            let (status, text, _) = check(name);
            assert_eq!(status, 1, "{at:#x} in {name}: {text}");
            assert!(text.contains("1 finding") && text.contains("child.avhdx.rct"), "{text}");
        }
    }
    fs::write(&table, &good[..0x9800]).unwrap();
    assert_eq!(check("grandchild.avhdx").0, 1);
}

#[test]
fn check_looks_at_parents_too() {
    let folder = disks();
    let base = folder.path().join("base.vhdx");
    let mut bytes = fs::read(&base).unwrap();
    bytes[(192 << 10) + 100] ^= 1; // one copy of the region table; the other holds
    fs::write(&base, bytes).unwrap();
    let (status, text, _) = run(folder.path(), &["info", "grandchild.avhdx", "--check"]);
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("base.vhdx: ") && text.contains("region table"), "{text}");
}

/// The child's locator names a parent that is not there, with an escape sequence in its name.
#[test]
fn names_in_images_do_not_reach_the_terminal_as_they_are() {
    let folder = disks();
    let child = folder.path().join("child.avhdx");
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let mut bytes = fs::read(&child).unwrap();
    let (from, to) = (utf16("base.vhdx"), utf16("\u{1b}[31m.vhd"));
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(&from)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + from.len()].copy_from_slice(&to);
    }
    fs::write(&child, bytes).unwrap();
    for arguments in [&["changes", "child.avhdx", "--since", "*"][..], &["info", "child.avhdx"]] {
        let (_, text, error) = run(folder.path(), arguments);
        let all = text + &error;
        assert!(all.contains("\\u{1b}[31m"), "{all}");
        assert!(!all.contains('\u{1b}'), "{all:?}");
    }
}

#[test]
fn info_says_which_id_to_keep() {
    let folder = disks();
    let row = |name: &str| {
        let (_, text, _) = run(folder.path(), &["info", name]);
        text.lines().find(|line| line.starts_with("next backup")).map(str::to_owned).unwrap()
    };
    assert!(row("child.avhdx").contains("since rctX:e6fd24a8"), "{}", row("child.avhdx"));
    assert!(row("grandchild.avhdx").contains("not tracked"), "{}", row("grandchild.avhdx"));
    let (_, text, _) = run(folder.path(), &["info", "child.avhdx", "--format", "json"]);
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(object["NewestId"], "rctX:e6fd24a8:8ef8:4a21:9394:f28867b17470:00000001");
}

/// Nobody ever writes to it.
#[cfg(unix)]
#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let folder = disks();
    let made = Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap();
    assert!(made.success());
    assert_eq!(run(folder.path(), &["inspect", "pipe"]).0, 1);
    assert_eq!(run(folder.path(), &["map", "child.avhdx", "--since", "*", "-o", "pipe"]).0, 1);
}

#[test]
fn inspect_rejects_what_is_neither_a_table_nor_a_set() {
    let folder = disks();
    let mut qcow2 = b"QFI\xfb".to_vec();
    qcow2.resize(0x3_0000, 1);
    let files = [
        ("disk.qcow2", &qcow2[..], "51 46 49 fb"),
        ("disk.vhd", b"conectix", "63 6f 6e 65"),
        ("short", b"vh", "76 68"),
        ("empty.vhds", b"", "empty"),
        ("empty.rct", b"", "empty"),
    ];
    for (name, bytes, found) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
        let (status, text, error) = run(folder.path(), &["inspect", name]);
        assert_eq!((status, text.as_str()), (1, ""), "{name}");
        for part in [name, "(.rct)", "(.vhds)", found] {
            assert!(error.contains(part), "{name}: {part} in {error}");
        }
    }
}

#[test]
fn refusals_say_what_to_do() {
    let folder = disks();
    let refused = |arguments: &[&str]| {
        let (status, text, error) = run(folder.path(), arguments);
        assert_eq!((status, text.as_str()), (1, ""), "{arguments:?}");
        error
    };
    let error = refused(&["inspect", "child.avhdx"]);
    assert!(error.contains("info --check"), "{error}");
    let error = refused(&["changes", "grandchild.avhdx", "--since", "file:nope.vhdx"]);
    assert!(error.contains("base.vhdx") && error.contains("cannot be found"), "{error}");
    let error = refused(&["changes", "child.avhdx", "--since", "*", "--offset", "5M"]);
    assert!(error.contains("5242880") && !error.contains("Included"), "{error}");
    fs::remove_file(folder.path().join("base.vhdx")).unwrap();
    let error = refused(&["changes", "child.avhdx", "--since", "file:base.vhdx"]);
    assert!(error.starts_with("error 32777"), "{error}");
}
