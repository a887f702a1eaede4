//! The script that runs on hosts, compared with this crate: it cannot be run here, but what it
//! writes must be what is read here.

use super::{root, testdata};
use std::collections::BTreeMap;
use std::fs;
use vhdx_rct::Disk;
use vhdx_rct::{rct, vhd_set};
use vhdx_rct_fieldkit::SCHEMA;

pub fn script() -> String {
    fs::read_to_string(root().join("collect.ps1")).unwrap()
}

/// The members that the script writes of each object: the lines `name = …` between a comment
/// `# object: KIND` and the line that closes the table.
fn objects(script: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    let mut lines = script.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("# object: ") else { continue };
        let opens = lines.next().unwrap();
        assert!(opens.ends_with("[ordered]@{"), "{kind}: {opens}");
        let members = lines.by_ref().take_while(|line| !line.starts_with('}'));
        let members = members.map(|line| line.split_once(" = ").unwrap().0.to_owned()).collect();
        assert!(found.insert(kind.to_owned(), members).is_none(), "{kind} is written twice");
    }
    found
}

#[test]
fn the_script_writes_the_members_that_are_read() {
    let script = script();
    let written = objects(&script);
    let read: BTreeMap<String, Vec<String>> = SCHEMA
        .iter()
        .map(|(kind, names)| {
            (kind.to_string(), names.iter().map(|name| name.to_string()).collect())
        })
        .collect();
    assert_eq!(written, read);
    assert_eq!(script.matches("[ordered]@{").count(), SCHEMA.len(), "every table is named");
    for constant in ["'vhdx-rct field sample'", "version = 1", "'hyper-v'"] {
        assert!(script.contains(constant), "{constant}");
    }
}

#[test]
fn the_script_packs_by_the_crates_constants() {
    let script = script();
    let disk = Disk::open(testdata().join("base.vhdx")).unwrap();
    let regions = disk.files()[0].regions().iter();
    let ids: Vec<String> =
        regions.filter(|region| !region.id.is_nil()).map(|region| region.id.to_string()).collect();
    assert_eq!(ids.len(), 2);
    for id in ids {
        assert!(script.contains(&format!("$regions['{id}']")), "the region {id}");
    }
    // A chunk has 2^23 sectors.
    assert!(script.contains("[long]$ratio = 8388608 * $sector / $blockSize"));
}

#[test]
fn the_script_is_plain_and_cleans_up() {
    let script = script();
    assert!(script.is_ascii(), "Windows PowerShell 5.1 reads a file without a mark as ANSI");
    let dry = script.find("if ($DryRun)").unwrap();
    for touching in ["New-Item", "Add-Type", "New-VM ", "Remove-Item", "[RctSample]::"] {
        assert!(script.find(touching).unwrap() > dry, "{touching} comes after the dry run");
    }
    let removals: Vec<&str> = script.lines().filter(|line| line.contains("Remove-Item")).collect();
    assert!(
        removals.iter().all(|line| line.contains("$work") || line.contains("$child")),
        "{removals:?}"
    );
    // Where an attached disk's path hides in a caller's name, dynamic scope would swap them.
    assert!(script.contains("$device = [RctSample]::Attach($h)"));
}

/// The page on the formats names an experiment for each fact that is not sure, and scenarios
/// that the script has.
#[test]
fn format_page_covers_every_open_fact() {
    let page = fs::read_to_string(root().join("src/formats.md")).unwrap();
    let unsure = |fact: &&rct::Fact| {
        !matches!(fact.confidence, rct::Confidence::Published | rct::Confidence::Verified)
    };
    for fact in rct::FACTS.iter().chain(vhd_set::FACTS).filter(unsure) {
        assert!(page.contains(&format!("`{}`", fact.name)), "{} has no experiment", fact.name);
    }
    let script = script();
    let names = script.lines().filter_map(|line| line.trim().strip_prefix("@{ Name = '"));
    let names: Vec<&str> = names.map(|rest| rest.split('\'').next().unwrap()).collect();
    assert!(names.len() >= 8, "{names:?}");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for name in names {
        assert!(page.contains(&format!("**{name}**")), "the page lacks {name}");
        assert!(readme.contains(&format!("`{name}`")), "README.md lacks {name}");
    }
}
