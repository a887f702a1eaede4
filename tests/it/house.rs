//! The rules of the house that a machine can hold: sizes, layers, and text that must not drift.

use std::fs;
use std::path::{Path, PathBuf};
use vhdx_rct::rct::{self, Fact};
use vhdx_rct::vhd_set;

const MAX_FILE: usize = 400;
const MAX_FUNCTION: usize = 60;

/// Rooms from the cellar up; a room uses those before it and no other.
const ROOMS: [&str; 16] = [
    "bytes", "fact", "error", "range", "warning", "mask", "extent", "source", "inspect", "vhdx",
    "chain", "rct", "vhd_set", "query", "changes", "field",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn all_files() -> Vec<PathBuf> {
    let folders = ["src", "tests", "crates", "benches", "fuzz", "examples"];
    let files: Vec<PathBuf> = folders.iter().flat_map(|folder| rust_files(folder)).collect();
    assert!(files.len() > 50, "only {} files were found", files.len());
    files
}

/// The library, the tool and the C interface.
fn shipped_files() -> Vec<PathBuf> {
    ["src", "crates/cli/src", "crates/capi/src"]
        .iter()
        .flat_map(|folder| rust_files(folder))
        .collect()
}

/// The names of functions with more lines than allowed. Formatted code closes a function
/// where it began.
fn long_functions(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut long = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        let starts = [
            "fn ",
            "pub fn ",
            "pub(crate) fn ",
            "pub(super) fn ",
            "const fn ",
            "pub const fn ",
            "unsafe fn ",
        ];
        let Some(rest) = starts.iter().find_map(|start| code.strip_prefix(start)) else { continue };
        if code.ends_with(';') {
            continue;
        }
        let name = rest.split(['(', '<']).next().unwrap_or_default();
        let closes = |line: &&str| line.len() == indent + 1 && line.trim_start() == "}";
        let length = lines[start..].iter().position(closes).unwrap_or_default();
        if length >= MAX_FUNCTION {
            long.push(format!("{name} ({} lines)", length + 1));
        }
    }
    long
}

#[test]
fn files_and_functions_hold_one_idea() {
    for path in all_files() {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        assert!(lines <= MAX_FILE, "{} has {lines} lines: does it hold two ideas?", path.display());
        let long = long_functions(&text);
        assert!(long.is_empty(), "{}: do these hold two ideas? {long:?}", path.display());
    }
}

#[test]
fn the_measure_of_functions_measures() {
    let body = "    x();\n".repeat(70);
    let text = format!(
        "impl A {{\n    pub(crate) fn long<T>(a: T) -> u8 {{\n{body}    }}\n}}\nfn short() {{\n}}\n"
    );
    assert_eq!(long_functions(&text), ["long (72 lines)"]);
}

#[test]
fn no_room_uses_one_above_it() {
    let mut uses = 0;
    for path in rust_files("src") {
        let inside = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().to_owned();
        let room = inside.split(['/', '.']).next().unwrap().to_owned();
        if room == "lib" {
            continue;
        }
        let own = ROOMS
            .iter()
            .position(|name| *name == room)
            .unwrap_or_else(|| panic!("{room} is no room"));
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for other in line.split("crate::").skip(1) {
                let other = other.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
                if let Some(used) = ROOMS.iter().position(|name| *name == other) {
                    assert!(used <= own, "{inside} uses {other}, a room above it: {line}");
                    uses += 1;
                }
            }
        }
    }
    assert!(uses > 50, "only {uses} uses were seen: is the check looking?");
}

/// What is unsafe lies in the memory map, in the option that asks for it, and in the calls that
/// the standard library lacks.
#[test]
fn unsafe_code_stays_where_it_is_explained() {
    for path in shipped_files() {
        let text = fs::read_to_string(&path).unwrap();
        let inside = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let allowed = inside.ends_with("source/map.rs")
            || inside.ends_with("source/file.rs")
            || inside.ends_with("source/os_unix.rs")
            || inside == "crates/capi/src/lib.rs";
        let found = text
            .lines()
            .any(|line| !line.trim_start().starts_with("//") && line.contains("unsafe {"));
        assert!(allowed || !found, "{inside} has unsafe code");
        assert!(!found || text.contains("SAFETY:"), "{inside} gives no reason for its unsafe code");
    }
}

/// Code for one operating system stands where it can be read, since not every system's compiler
/// is at hand: reading files, paths, what a failure to open means, and the tool's raw copies.
/// Nothing depends on the byte order of the machine.
#[test]
fn code_for_one_machine_stays_in_few_places() {
    const PLACES: [&str; 5] =
        ["source/", "chain/winpath.rs", "error.rs", "capi/src/lib.rs", "sync/raw.rs"];
    let mut found = 0;
    for path in shipped_files() {
        let inside = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let for_one = ["(unix", "(windows", "target_os", "target_arch", "std::os::"];
            if for_one.iter().any(|word| line.contains(word)) {
                found += 1;
                assert!(PLACES.iter().any(|place| inside.contains(place)), "{inside}: {line}");
            }
            let order = ["_ne_bytes", "NativeEndian", "target_endian", "transmute", "align_to"];
            assert!(!order.iter().any(|word| line.contains(word)), "{inside}: {line}");
        }
    }
    assert!(found > 5, "only {found} lines were seen: is the check looking?");
}

/// Facts as a table.
fn table(facts: &[Fact]) -> String {
    let rows: String = facts
        .iter()
        .map(|fact| {
            let confidence = format!("{:?}", fact.confidence).to_lowercase();
            format!("| {} | {confidence} | {} |\n", fact.name, fact.statement)
        })
        .collect();
    format!("| fact | confidence | |\n| --- | --- | --- |\n{rows}")
}

/// The tables of what is known of `.rct` and `.vhds`, in the README and in the documentation,
/// are the layout modules' facts.
#[test]
fn the_tables_of_facts_are_the_layouts() {
    for (room, facts) in [("rct", rct::FACTS), ("vhd_set", vhd_set::FACTS)] {
        let page = fs::read_to_string(root().join("src").join(room).join("facts.md")).unwrap();
        assert_eq!(page, table(facts), "src/{room}/facts.md should be this table");
    }
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("<!-- facts -->\n").unwrap();
    let (shown, _) = rest.split_once("<!-- end of facts -->").unwrap();
    assert_eq!(shown, table(rct::FACTS), "the README's table should be this one");
}

/// The shipped fixtures are what their program makes.
#[test]
fn testdata_is_reproducible() {
    let folder = tempfile::tempdir().unwrap();
    vhdx_rct_fixtures::testdata::write(folder.path()).unwrap();
    let mut count = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let made = entry.unwrap().path();
        let shipped = root().join("testdata").join(made.file_name().unwrap());
        assert!(fs::read(&made).unwrap() == fs::read(&shipped).unwrap(), "{}", shipped.display());
        count += 1;
    }
    assert_eq!(count, 6);
}

/// The project's files speak of the project alone.
#[test]
fn files_name_no_machine() {
    let own = Path::new(file!()).file_name();
    for path in all_files().iter().filter(|path| path.file_name() != own) {
        let text = fs::read_to_string(path).unwrap();
        for word in ["/work/", "/root/"] {
            assert!(!text.contains(word), "{} says {word}", path.display());
        }
    }
}
