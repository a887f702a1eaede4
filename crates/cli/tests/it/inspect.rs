//! What `inspect` shows and refuses.

use crate::tool::{disks, json, ok, run_in};
use std::fs;
use std::io::Write;

#[test]
fn shows_structures_of_malformed_table() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.rct");
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
fn rejects_files_that_are_neither_table_nor_set() {
    let directory = disks();
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
        fs::write(directory.path().join(name), bytes).unwrap();
        let run = run_in(directory.path(), &["inspect", name]);
        assert_eq!((run.status, run.out.as_str()), (1, ""), "{name}");
        for part in [name, "(.rct)", "(.vhds)", found] {
            assert!(run.line().contains(part), "{name}: {part} in {run:?}");
        }
    }
}
