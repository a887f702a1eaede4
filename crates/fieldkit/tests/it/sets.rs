//! What a VHD Set's file confirms and contradicts.

use super::verdicts::{SIZE, check, names, put};
use vhdx_rct_fieldkit::{SampleReport, Verdict};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::sample::SampleCase;
use vhdx_rct_fixtures::vhds::{CreationTime, JsonStyle, Snapshot, VhdsBuilder, catalog_json};
use vhdx_rct_fixtures::vhdx::{Block, VhdxBuilder};

/// A set with its active file, as the host has it; `edit` spoils its bytes.
fn set(snapshots: usize, edit: impl FnOnce(&mut Vec<u8>)) -> SampleReport {
    let directory = tempfile::tempdir().unwrap();
    let mut case = SampleCase::new(directory.path(), "set", "set.vhds", SIZE).unwrap();
    case.pack_disk("active.avhdx", &VhdxBuilder::new(SIZE)).unwrap();
    let mut builder = VhdsBuilder::new("active.avhdx");
    for i in 0..snapshots {
        case.saw("snapshot", &uuid::Uuid::from_u128(i as u128 + 1).to_string());
        builder = builder.data_extra(64 + i * 64, b"snapshot");
    }
    let mut bytes = builder.bytes();
    edit(&mut bytes);
    case.pack_whole("set.vhds", &bytes).unwrap();
    check(directory.path(), &[case])
}

#[test]
fn a_set_confirms_or_contradicts_its_facts() {
    for snapshots in [0, 2] {
        let report = set(snapshots, |_| {});
        assert_eq!(names(&report, "vhds", Verdict::Open), ["changes"], "{snapshots}");
        assert_eq!(names(&report, "vhds", Verdict::Contradicted), [""; 0], "{snapshots}");
    }
    type Spoil = (usize, &'static [&'static str], fn(&mut Vec<u8>));
    let spoilt: [Spoil; 5] = [
        (0, &["records"], |bytes| put(bytes, 0x40F00, b"record")),
        (1, &["records"], |bytes| bytes[0x40020..].fill(0)),
        (0, &["active-name"], |bytes| put(bytes, 0x40000, b"x")),
        (0, &["headers", "active-name"], |bytes| bytes[0x10000..0x21000].fill(0)),
        (0, &["header-checksum", "active-name"], |bytes| {
            put(bytes, 0x10014, &[1; 4]);
            put(bytes, 0x20014, &[1; 4]);
        }),
    ];
    for (i, (snapshots, facts, edit)) in spoilt.into_iter().enumerate() {
        let report = set(snapshots, edit);
        assert_eq!(
            names(&report, "vhds", Verdict::Contradicted),
            facts,
            "{i}: {:#?}",
            report.facts
        );
    }
}

/// A set with a frozen file and an active one over it; the host says that this changed since.
fn since_a_snapshot(host: std::ops::Range<u64>) -> Verdict {
    let directory = tempfile::tempdir().unwrap();
    let snapshot = uuid::Uuid::from_u128(0x51AB);
    let mut case = SampleCase::new(directory.path(), "set", "set.vhds", SIZE).unwrap();
    let disk = |seed| VhdxBuilder::new(SIZE).seed(seed).disk_id(uuid::Uuid::from_u128(1));
    let frozen = "frozen.avhdx";
    let place = case.pack_disk(frozen, &disk(1)).unwrap();
    let written = Block::Partial { sectors: vec![8..16], fill: Fill(1) };
    case.pack_disk("active.avhdx", &disk(2).parent(place.locator(frozen)).block(1, written))
        .unwrap();
    case.saw("snapshot", &snapshot.to_string());
    case.wrote((1 << 20) + 4096..(1 << 20) + 8192);
    let set = VhdsBuilder::new("active.avhdx").data_extra(64, b"snapshot");
    case.pack_whole("set.vhds", &set.bytes()).unwrap();
    let listed = Snapshot {
        id: snapshot,
        path: Some(format!(r"D:\sample\{frozen}")),
        rct_id: None,
        creation: CreationTime::SlashDate(1_520_000_000_000),
        parents: Vec::new(),
    };
    let catalog = catalog_json(&[listed], JsonStyle::default());
    case.pack_whole("set.vhds.snapshots.json", &catalog).unwrap();
    case.answered(&snapshot.to_string(), &[host]);
    let report = check(directory.path(), &[case]);
    report.facts.iter().find(|fact| fact.fact.name == "changes").unwrap().verdict
}

#[test]
fn compares_changes_since_a_snapshot_with_the_host() {
    let start = (1 << 20) + 4096;
    assert_eq!(since_a_snapshot(start..start + 4096), Verdict::Confirmed);
    assert_eq!(since_a_snapshot(start..start + 8192), Verdict::Contradicted, "less here");
    assert_eq!(since_a_snapshot(start..start + 512), Verdict::Contradicted, "more here");
}
