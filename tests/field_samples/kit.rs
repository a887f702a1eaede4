//! The script that runs on hosts, held against this crate: it cannot be run here, but what it
//! writes must be what is read here.

use super::root;
use std::collections::BTreeMap;
use std::fs;
use vhdx_rct::field::SCHEMA;
use vhdx_rct::vhdx::Vhdx;
use vhdx_rct::{rct, vhd_set};

fn script() -> String {
    fs::read_to_string(root().join("testdata/hyper-v/collect.ps1")).unwrap()
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
    let disk = Vhdx::open(root().join("testdata/base.vhdx")).unwrap();
    let ids: Vec<String> = disk
        .regions()
        .iter()
        .filter(|region| !region.id.is_nil())
        .map(|r| r.id.to_string())
        .collect();
    assert_eq!(ids.len(), 2);
    for id in ids {
        assert!(script.contains(&format!("$regions['{id}']")), "the region {id}");
    }
    // 512-byte sectors and 1 MB blocks: the chunk ratio by the script's formula and by ours.
    assert!(script.contains("[long]$ratio = 8388608 * $sector / $blockSize"));
    let (sector, block) = (disk.metadata().logical_sector_size, disk.metadata().block_size);
    assert_eq!(disk.bat_shape().chunk_ratio, 8388608 * u64::from(sector) / u64::from(block));
}

/// What virtdisk.h declares, as Microsoft documents it, laid out by the compiler; pointers have
/// 64 bits on every host.
mod virtdisk {
    type Guid = [u32; 4];

    #[repr(C)]
    pub struct StorageType(u32, Guid);

    #[repr(C)]
    pub struct Open2 {
        pub version: i32,
        pub get_info_only: i32,
        pub read_only: i32,
        pub resiliency_guid: Guid,
        snapshot_id: Guid, // of version 3
    }

    #[repr(C)]
    pub struct Create4 {
        pub version: i32,
        pub body: Create4Body,
    }

    #[repr(C)]
    pub struct Create4Body {
        pub unique_id: Guid,
        pub maximum_size: u64,
        pub block_size: u32,
        pub sector_size: u32,
        pub physical_sector_size: u32,
        pub parent_path: u64,
        pub source_path: u64,
        pub open_flags: u32,
        pub parent_type: StorageType,
        pub source_type: StorageType,
        pub resiliency_guid: Guid,
        source_limit_path: u64,
        backing_type: StorageType,
        pmem_type: Guid,
        data_alignment: u64,
    }

    #[repr(C)]
    pub struct SetInfo {
        pub version: i32,
        pub body: SetInfoBody,
    }

    /// The largest member has a GUID and a pointer.
    #[repr(C)]
    pub union SetInfoBody {
        pub change_tracking_enabled: i32,
        parent_locator: (Guid, u64),
    }

    #[repr(C)]
    pub struct Merge2(pub i32, pub u32, u32);
}

#[test]
fn the_scripts_structures_are_laid_out_as_a_compiler_does() {
    use std::mem::{offset_of, size_of};
    use virtdisk::*;
    let body = offset_of!(Create4, body);
    let expected = [
        (
            "OpenParameters",
            size_of::<Open2>(),
            vec![
                ("Version", offset_of!(Open2, version)),
                ("First", offset_of!(Open2, get_info_only)),
                ("ReadOnly", offset_of!(Open2, read_only)),
                ("ResiliencyGuid", offset_of!(Open2, resiliency_guid)),
            ],
        ),
        (
            "CreateParameters",
            size_of::<Create4>(),
            vec![
                ("Version", offset_of!(Create4, version)),
                ("UniqueId", body + offset_of!(Create4Body, unique_id)),
                ("MaximumSize", body + offset_of!(Create4Body, maximum_size)),
                ("BlockSizeInBytes", body + offset_of!(Create4Body, block_size)),
                ("SectorSizeInBytes", body + offset_of!(Create4Body, sector_size)),
                ("PhysicalSectorSizeInBytes", body + offset_of!(Create4Body, physical_sector_size)),
                ("ParentPath", body + offset_of!(Create4Body, parent_path)),
                ("SourcePath", body + offset_of!(Create4Body, source_path)),
                ("OpenFlags", body + offset_of!(Create4Body, open_flags)),
                ("ParentType", body + offset_of!(Create4Body, parent_type)),
                ("SourceType", body + offset_of!(Create4Body, source_type)),
                ("ResiliencyGuid", body + offset_of!(Create4Body, resiliency_guid)),
            ],
        ),
        (
            "SetInfo",
            size_of::<SetInfo>(),
            vec![
                ("Version", offset_of!(SetInfo, version)),
                ("ChangeTrackingEnabled", offset_of!(SetInfo, body)),
            ],
        ),
        (
            "MergeParameters",
            size_of::<Merge2>(),
            vec![("Version", offset_of!(Merge2, 0)), ("MergeDepth", offset_of!(Merge2, 1))],
        ),
    ];
    let script = script();
    for (name, size, fields) in expected {
        let (before, after) = script.split_once(&format!("public struct {name}\n")).unwrap();
        let layout = before.trim_end().lines().last().unwrap();
        assert!(
            layout.contains(&format!("LayoutKind.Explicit, Size = {size})")),
            "{name}: {layout}"
        );
        let (inside, _) = after.split_once("    }\n").unwrap();
        let found: Vec<(&str, usize)> = inside
            .lines()
            .filter_map(|line| line.trim().strip_prefix("[FieldOffset(")?.split_once(")]"))
            .map(|(at, rest)| {
                (rest.trim_end_matches(';').rsplit(' ').next().unwrap(), at.parse().unwrap())
            })
            .collect();
        assert_eq!(found, fields, "{name}");
    }
}

#[test]
fn the_script_is_plain_and_cleans_up() {
    let script = script();
    assert!(script.is_ascii(), "Windows PowerShell 5.1 reads a file without a mark as ANSI");
    let dry = script.find("if ($DryRun)").unwrap();
    for touching in ["New-Item", "Add-Type", "New-VM ", "Remove-Item", "[RctSample]::"] {
        assert!(script.find(touching).unwrap() > dry, "{touching} comes behind the dry run");
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
fn the_page_on_the_formats_speaks_of_every_open_fact() {
    let page = fs::read_to_string(root().join("src/field/formats.md")).unwrap();
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
    let readme = fs::read_to_string(root().join("testdata/hyper-v/README.md")).unwrap();
    for name in names {
        assert!(page.contains(&format!("**{name}**")), "the page does not tell of {name}");
        assert!(readme.contains(&format!("`{name}`")), "the kit's README does not tell of {name}");
    }
}
