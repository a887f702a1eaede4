//! Rules that no compiler checks: the levels of the library's modules, `unsafe` and threads in the
//! files that may have them, and text that must not drift.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use vhdx_rct::rct::{self, Fact};
use vhdx_rct::vhd_set;

/// The library's modules by level. A module uses those of lower levels, and of its own level only
/// those listed before it.
const LEVELS: [&[&str]; 8] = [
    &["error", "facts", "range", "size", "warning"],
    &["layer", "limits", "wire"],
    &["source"],
    &["inspect", "rct", "vhdx"],
    &["baseline", "chain"],
    &["query", "vhd_set"],
    &["disk"],
    &["changes"],
];

/// The files that may have `unsafe` code: the memory map, the calls to the operating system, and
/// the C interface.
const UNSAFE: [&str; 4] =
    ["crates/capi/src/lib.rs", "src/source/file.rs", "src/source/map.rs", "src/source/os_unix.rs"];

/// The files that may start a thread.
const SPAWN: [&str; 1] = ["src/changes/job.rs"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The Rust files below a directory, by their paths from the root.
fn rust_files(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(directory)).into_iter().flatten() {
        let entry = entry.unwrap();
        let path = format!("{directory}/{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() && !path.ends_with("/target") {
            found.extend(rust_files(&path));
        } else if path.ends_with(".rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A file without comments and without the test module at its end.
fn code(path: &str) -> String {
    let text = read(path);
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text.lines().filter(is_code).flat_map(|line| [line, "\n"]).collect()
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// The modules that the library's root declares, and the module of each name that it exports.
fn declared() -> (BTreeSet<String>, BTreeMap<String, String>) {
    let (mut modules, mut exports) = (BTreeSet::new(), BTreeMap::new());
    let code = code("src/lib.rs");
    let items: String = code.lines().filter(|line| !line.starts_with('#')).collect();
    for item in items.split(';') {
        let mut words = words(item).filter(|word| !matches!(*word, "" | "pub"));
        match words.next() {
            Some("mod") => drop(modules.insert(words.next().unwrap().to_owned())),
            Some("use") => {
                let module = words.next().unwrap();
                exports.extend(words.map(|name| (name.to_owned(), module.to_owned())));
            }
            _ => {}
        }
    }
    (modules, exports)
}

/// Every use of one module by another, in the library's code.
fn uses() -> BTreeSet<(String, String)> {
    let (modules, exports) = declared();
    let mut uses = BTreeSet::new();
    for path in rust_files("src").into_iter().filter(|path| path != "src/lib.rs") {
        let module = path.split(['/', '.']).nth(1).unwrap();
        let code = code(&path);
        for rest in code.split("crate::").skip(1) {
            let name = words(rest).next().unwrap();
            let used = exports.get(name).map_or(name, String::as_str);
            assert!(
                modules.contains(used),
                "{path}: expected a module after crate::, found {name}"
            );
            uses.insert((module.to_owned(), used.to_owned()));
        }
        let depth = path.trim_end_matches("/mod.rs").matches('/').count();
        assert!(!code.contains(&"super::".repeat(depth)), "{path} leaves its module by super::");
    }
    uses
}

/// The files of the library and of the packages that contain a word.
fn files_with(word: &str) -> Vec<String> {
    let mut files = rust_files("src");
    for package in fs::read_dir(root().join("crates")).unwrap() {
        let name = package.unwrap().file_name();
        files.extend(rust_files(&format!("crates/{}/src", name.to_str().unwrap())));
    }
    files.sort();
    files.retain(|path| words(&code(path)).any(|found| found == word));
    files
}

#[test]
fn every_module_has_one_level() {
    let mut listed: Vec<&str> = LEVELS.concat();
    listed.sort_unstable();
    assert_eq!(listed, declared().0.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn modules_use_lower_levels_only() {
    let order = LEVELS.concat();
    let place = |module: &str| order.iter().position(|listed| *listed == module).unwrap();
    let uses = uses();
    for (module, used) in uses.iter().filter(|(module, used)| module != used) {
        assert!(place(used) < place(module), "{module} uses {used}, which is not below it");
    }
    assert!(uses.len() > 30, "only {} uses were found", uses.len());
}

#[test]
fn unsafe_code_is_in_few_files() {
    assert_eq!(files_with("unsafe"), UNSAFE);
}

#[test]
fn only_jobs_start_threads() {
    let spawn = files_with("spawn");
    let of_library: Vec<_> = spawn.iter().filter(|path| path.starts_with("src/")).collect();
    assert_eq!(of_library, SPAWN.iter().collect::<Vec<_>>());
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

/// The pages about `.rct` and `.vhds` list the facts of the layout modules, and the README links to
/// them.
#[test]
fn pages_of_facts_match_the_layouts() {
    for (module, facts) in [("rct", rct::FACTS), ("vhd_set", vhd_set::FACTS)] {
        let page = format!("src/{module}/facts.md");
        assert_eq!(read(&page), table(facts), "expected {page} to be this table");
    }
    assert!(
        read("README.md").contains("(src/rct/facts.md)"),
        "the README has no link to the facts"
    );
}

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

/// The project's files are about the project alone.
#[test]
fn files_contain_no_machine_names() {
    let directories = ["src", "tests", "crates", "benches", "fuzz", "examples"];
    let files: Vec<String> = directories.iter().flat_map(|dir| rust_files(dir)).collect();
    assert!(files.len() > 50, "only {} files were found", files.len());
    for path in files.iter().filter(|path| *path != "tests/it/architecture.rs") {
        for word in ["/work/", "/root/"] {
            assert!(!read(path).contains(word), "{path} contains {word}");
        }
    }
}
