//! The `.vhds` file of a set, beside its members and, for some inputs, a catalog.

use super::{encode, pick};
use crate::ask::{CrossCheck, open, reading, whole};
use crate::media::{Disks, Image, Skeleton, inspect};
use crate::patch::{Area, Copies, MAX_PATCHES, Patch, Value};
use arbitrary::Arbitrary;
use dearbitrary::Dearbitrary;
use std::sync::LazyLock;
use uuid::Uuid;
use vhdx_rct::{Baseline, OpenOptions, SnapshotId};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::{Checksum, HeaderPlan};
use vhdx_rct_fixtures::vhds::{
    CreationTime, Encoding, HEADERS, JsonStyle, NAME, Snapshot, VhdsBuilder, catalog_json,
};
use vhdx_rct_fixtures::vhdx::{Block, MB, ParentLocator, VhdxBuilder};

pub const SET: &str = "/sets/disk.vhds";
/// The set's only snapshot that has a file.
pub const FROZEN: SnapshotId =
    SnapshotId(Uuid::from_u128(0x9ac1_5b72_2a6d_44b2_ba7c_f5f0_6831_c74a));
const ACTIVE: &str = "disk_11111111-2222-4333-8444-555555555555.avhdx";

#[derive(Arbitrary, Dearbitrary, Debug, PartialEq)]
pub struct Input {
    set: u8,
    /// A snapshot to ask for.
    id: [u8; 16],
    catalog: bool,
    inspect: bool,
    check: CrossCheck,
    /// The file ends here.
    length: Option<u32>,
    patches: Vec<(Part, Patch)>,
}

#[derive(Arbitrary, Dearbitrary, Clone, Debug, PartialEq)]
pub enum Part {
    Signature,
    Header(Copies),
    Name,
}

struct Files {
    frozen: Skeleton,
    active: Skeleton,
    catalog: Vec<u8>,
    sets: Vec<Vec<u8>>,
}

fn frozen_name() -> String {
    format!("disk_{FROZEN}.avhdx")
}

static FILES: LazyLock<Files> = LazyLock::new(|| {
    let disk = |seed| VhdxBuilder::new(3 * MB).seed(seed).disk_id(Uuid::from_u128(9));
    let frozen = Skeleton::new(&disk(1).block(0, Block::Full(Fill::ZEROS)));
    let locator = ParentLocator::new(frozen.at.data_write_guid);
    let partial = Block::Partial { sectors: vec![1..9, 20..21], fill: Fill::ZEROS };
    let active = disk(2).parent(locator.relative(&format!(r".\{}", frozen_name())));
    let active = Skeleton::new(&active.block(1, partial));
    let snapshot = Snapshot {
        id: FROZEN.0,
        path: Some(format!(r"C:\sets\{}", frozen_name())),
        rct_id: None,
        creation: CreationTime::SlashDate(1_500_000_000_000),
        parents: Vec::new(),
    };
    let style = JsonStyle { encoding: Encoding::Utf8, ..JsonStyle::default() };
    let set = || VhdsBuilder::new(ACTIVE);
    let sets = [
        set(),
        set().headers(HeaderPlan::Identical),
        set().headers(HeaderPlan::FirstStale),
        set().headers(HeaderPlan::SecondBroken),
        set().header_extra(0x24, &[1, 2, 3]),
        set().data_extra(10, b"records"),
        set().headers(HeaderPlan::BothBroken),
        VhdsBuilder::new(r"..\x.avhdx"),
    ];
    let sets = sets.map(|set| set.bytes()).into();
    Files { frozen, active, catalog: catalog_json(&[snapshot], style), sets }
});

/// The members of the set, without the set itself and its catalog.
pub fn members() -> Disks {
    let path = |name: &str| format!("/sets/{name}");
    let disks = Disks::default().with(path(&frozen_name()), FILES.frozen.image());
    disks.with(path(ACTIVE), FILES.active.image())
}

pub fn well_formed_set() -> Vec<u8> {
    FILES.sets[0].clone()
}

pub fn run(input: &Input) -> bool {
    let mut set = Image::from_bytes(pick(&FILES.sets, input.set).clone());
    for (part, patch) in input.patches.iter().take(MAX_PATCHES) {
        let areas = match part {
            Part::Signature => vec![Area::plain(0, 24)],
            Part::Header(copies) => copies.areas(&HEADERS, 0, 64, 4096),
            Part::Name => vec![Area::plain(NAME, 256)],
        };
        for area in areas {
            patch.apply(&mut set, area, |bytes| Checksum::At0x14Zeroed.store(bytes));
        }
    }
    if let Some(length) = input.length {
        set.set_length(u64::from(length) % (set.length() + 1));
    }
    if input.inspect {
        let signed = set.length() >= 8 && set.get(0, 8) == b"vhdsetv1";
        let shown = inspect(&set, |path| vhdx_rct::vhd_set::inspect(path));
        assert_eq!(shown, signed, "anything else that does not fit is a note");
    }
    let mut disks = members().with(SET, set);
    if input.catalog {
        disks = disks.with_bytes(format!("{SET}.snapshots.json"), FILES.catalog.clone());
    }
    let ids = [SnapshotId(Uuid::from_bytes(input.id)), FROZEN];
    ask_all(&reading(disks), &ids, &input.check)
}

/// Asks since each of the ids, with each of them as a target, and for everything else. Returns
/// whether a question was answered.
pub fn ask_all(options: &OpenOptions, ids: &[SnapshotId], check: &CrossCheck) -> bool {
    let mut answered = false;
    if let Ok(disk) = open(options, SET) {
        answered |= whole(&disk, &Baseline::Allocated, check).is_ok();
        for &id in ids {
            answered |= whole(&disk, &Baseline::Snapshot(id), check).is_ok();
        }
        let mut ids: Vec<Uuid> = disk.snapshots().iter().map(|snapshot| snapshot.id.0).collect();
        ids.sort_unstable();
        assert!(ids.is_sorted_by(|a, b| a < b), "a snapshot is listed twice");
    }
    for &target in ids {
        let Ok(disk) = open(options.clone().target(target), SET) else { continue };
        for &id in ids {
            let answer = whole(&disk, &Baseline::Snapshot(id), check);
            answered |= answer.is_ok();
            let differs = answer.is_ok_and(|answer| id == target && !answer.ranges.is_empty());
            assert!(!differs, "changes from a snapshot to itself");
        }
    }
    answered
}

pub fn seeds() -> Vec<Vec<u8>> {
    // A newer first header.
    let patch = Patch { at: 8, value: Value::Long(1000), restore: true };
    let newer = (Part::Header(Copies::First), patch);
    let seed = |set: u8| {
        let (catalog, inspect) = (set.is_multiple_of(2), set.is_multiple_of(3));
        let id = *Uuid::from_u128(7).as_bytes();
        [vec![], vec![newer.clone()]].map(|patches| {
            encode(&Input {
                set,
                id,
                catalog,
                inspect,
                check: CrossCheck::Extents,
                length: None,
                patches,
            })
        })
    };
    (0..FILES.sets.len() as u8).flat_map(seed).collect()
}
