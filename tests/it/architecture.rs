//! What holds the project together and no compiler checks: the levels of the library's modules,
//! and text that must not drift.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use vhdx_rct::rct::{self, Fact};
use vhdx_rct::vhd_set;

/// The library's modules by level. A module uses those of lower levels, and on its own level
/// none that uses it.
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

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(directory: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten() {
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

fn level(module: &str) -> Option<usize> {
    LEVELS.iter().position(|modules| modules.contains(&module))
}

/// The modules that the library's root declares.
fn declared() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let name = |line: &str| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned())
    };
    text.lines().filter_map(name).collect()
}

/// The modules that a file's code names after `crate::`, alone or in a group.
fn used(text: &str) -> BTreeSet<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code: Vec<&str> = text.lines().filter(is_code).collect();
    let code = code.join(" ");
    let mut used = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let word = |text: &str| {
            let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
            text[..end.unwrap_or(text.len())].to_owned()
        };
        let Some(group) = rest.strip_prefix('{') else {
            used.insert(word(rest));
            continue;
        };
        let (mut depth, mut at_name) = (1, true);
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => at_name = true,
                c if at_name && !c.is_whitespace() => {
                    used.insert(word(&group[i..]));
                    at_name = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    used
}

/// Every use of one module by another, in the library's code.
fn uses() -> BTreeSet<(String, String)> {
    let declared = declared();
    let mut uses = BTreeSet::new();
    for path in rust_files("src") {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = first.strip_suffix(".rs").unwrap_or(first);
        if declared.contains(module) {
            let others = used(&fs::read_to_string(&path).unwrap());
            let others = others.into_iter().filter(|other| declared.contains(other));
            uses.extend(others.map(|other| (module.to_owned(), other)));
        }
    }
    uses
}

#[test]
fn every_module_has_one_level() {
    let mut listed: Vec<&str> = LEVELS.concat();
    listed.sort_unstable();
    assert_eq!(listed, declared().iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn modules_use_lower_levels_only() {
    let uses = uses();
    for (module, other) in uses.iter().filter(|(module, other)| module != other) {
        let (own, lower) = (level(module).unwrap(), level(other).unwrap());
        assert!(lower <= own, "{module} (level {own}) uses {other} (level {lower})");
        let back = uses.contains(&(other.clone(), module.clone()));
        assert!(!back, "{module} and {other} use each other");
    }
    assert!(uses.len() > 30, "only {} uses were found: is the check looking?", uses.len());
}

#[test]
fn finds_uses_alone_and_in_groups() {
    let text = "use crate::error::Error;\n// use crate::comment::X;\nuse crate::{a::{B, c::D}, e};\n\
                use crate::{\n    f::G,\n    h,\n};\nfn f() -> crate::layer::X {}\n";
    assert_eq!(Vec::from_iter(used(text)), ["a", "e", "error", "f", "h", "layer"]);
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

/// The tables of what is known of `.rct` and `.vhds` in the documentation are the layout modules'
/// facts, and the README leads to them.
#[test]
fn tables_of_facts_are_those_of_the_layouts() {
    for (module, facts) in [("rct", rct::FACTS), ("vhd_set", vhd_set::FACTS)] {
        let page = fs::read_to_string(root().join("src").join(module).join("facts.md")).unwrap();
        assert_eq!(page, table(facts), "src/{module}/facts.md should be this table");
    }
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains("(src/rct/facts.md)"), "the README has no link to the facts");
}

/// The shipped test data is what its program makes.
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
    let files: Vec<PathBuf> = directories.iter().flat_map(|dir| rust_files(dir)).collect();
    assert!(files.len() > 50, "only {} files were found", files.len());
    let own = Path::new(file!()).file_name();
    for path in files.iter().filter(|path| path.file_name() != own) {
        let text = fs::read_to_string(path).unwrap();
        for word in ["/work/", "/root/"] {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
    }
}
