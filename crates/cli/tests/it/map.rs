//! The picture that `map` draws.

use crate::tool::{DISKS, disks, ok, run_in, testdata};
use std::fs;

#[test]
fn draws_changes_as_svg() {
    let directory = tempfile::tempdir().unwrap();
    let svg = directory.path().join("map.svg");
    ok(&["map", "grandchild.avhdx", "--since", "file:base.vhdx", "-o", svg.to_str().unwrap()]);
    let picture = fs::read_to_string(&svg).unwrap();
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
    assert!(picture.contains("prefers-color-scheme") && picture.contains("MiB</text>"));
}

#[test]
fn overwrites_only_pictures() {
    let directory = disks();
    let map =
        |to: &str| run_in(directory.path(), &["map", "child.avhdx", "--since", "*", "-o", to]);
    for name in DISKS {
        let refused = map(name);
        assert_eq!(refused.status, 1, "{name}");
        assert!(refused.line().contains("expected an SVG picture"), "{refused:?}");
    }
    for name in DISKS {
        let found = fs::read(directory.path().join(name)).unwrap();
        assert!(found == fs::read(testdata(name)).unwrap(), "{name} was written to");
    }
    // The directory itself, and a directory that does not exist.
    assert_eq!((map(".").status, map("nowhere/map.svg").status), (1, 1));
    fs::write(directory.path().join("empty.svg"), "").unwrap();
    for name in ["new.svg", "new.svg", "empty.svg"] {
        assert_eq!(map(name).status, 0, "{name}");
        assert!(fs::read_to_string(directory.path().join(name)).unwrap().starts_with("<svg"));
    }
}
