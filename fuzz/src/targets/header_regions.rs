//! The file identifier, the header pair and the region tables.

use super::{encode, pick};
use crate::ask::{CrossCheck, open, reading, whole};
use crate::media::{Disks, Skeleton};
use crate::patch::{Area, Copies, MAX_PATCHES, Patch, Value};
use arbitrary::Arbitrary;
use dearbitrary::Dearbitrary;
use std::sync::LazyLock;
use uuid::Uuid;
use vhdx_rct::{Baseline, DiskFile};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{
    Block, DirtyLog, HeaderPlan, LogPlan, MB, RegionOrder, VhdxBuilder, store_crc,
};

const DISK: &str = "/disks/disk.vhdx";
/// The length of a region table.
const TABLE: usize = 64 << 10;

#[derive(Arbitrary, Dearbitrary, Debug, PartialEq)]
pub struct Input {
    skeleton: u8,
    check: CrossCheck,
    length: Option<u32>,
    patches: Vec<(Part, Patch)>,
}

#[derive(Arbitrary, Dearbitrary, Debug, PartialEq)]
pub enum Part {
    Identifier,
    Header(Copies),
    RegionTable(Copies),
    /// One entry of the region tables.
    Region(Copies, u8),
}

static SKELETONS: LazyLock<Vec<Skeleton>> = LazyLock::new(|| {
    let disk = || {
        let disk = VhdxBuilder::new(3 * MB).seed(1).block(0, Block::Full(Fill::ZEROS));
        disk.block(1, Block::Zero { anchor: Some(4) })
    };
    let dirty = LogPlan::Dirty(DirtyLog { entries: 2, ..DirtyLog::default() });
    let builders = [
        disk(),
        disk().order(RegionOrder::BatLast).headers(HeaderPlan::SecondCurrent),
        disk().order(RegionOrder::PayloadFirst).headers(HeaderPlan::Identical),
        disk().order(RegionOrder::Shuffled(3)).headers(HeaderPlan::FirstOnly).trailing(5),
        disk().extra_region(Uuid::from_u128(7), false).headers(HeaderPlan::SecondOnly),
        disk().extra_region(Uuid::from_u128(7), true).required_flags(false),
        disk().log(dirty),
    ];
    builders.iter().map(Skeleton::new).collect()
});

pub fn run(input: &Input) -> bool {
    let skeleton = pick(&SKELETONS, input.skeleton);
    let (mut image, at) = (skeleton.image(), &skeleton.at);
    for (part, patch) in input.patches.iter().take(MAX_PATCHES) {
        let areas = match *part {
            Part::Identifier => vec![Area::plain(0, 16)],
            Part::Header(copies) => copies.areas(&at.header_offsets, 0, 80, 4096),
            Part::RegionTable(copies) => copies.areas(&at.region_table_offsets, 0, 16, TABLE),
            Part::Region(copies, index) => {
                let entry = 16 + 32 * u64::from(index);
                copies.areas(&at.region_table_offsets, entry, 32, TABLE)
            }
        };
        areas.into_iter().for_each(|area| patch.apply(&mut image, area, store_crc));
    }
    if let Some(length) = input.length {
        image.set_length(u64::from(length) % (16 * MB));
    }
    let Ok(disk) = open(&reading(Disks::default().with(DISK, image)), DISK) else { return false };
    regions_hold(&disk.files()[0]);
    whole(&disk, &Baseline::Allocated, &input.check).is_ok()
}

/// Checks that accepted regions lie after the headers and do not overlap.
fn regions_hold(file: &DiskFile) {
    let regions = file.regions();
    assert!(regions.iter().all(|region| region.offset >= MB && region.length > 0));
    assert!(regions.is_sorted_by(|a, b| a.offset + a.length <= b.offset));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let patch = |part, at, value| (part, Patch { at, value, restore: true });
    let seed = |skeleton| {
        // Another FileWriteGuid, and an unknown region.
        let guid = patch(Part::Header(Copies::Both), 16, Value::Byte(9));
        let mut entry = [0; 32];
        (entry[0], entry[18], entry[26]) = (8, 0xC0, 0x10);
        let region = patch(Part::Region(Copies::Both, 2), 0, Value::Bytes(31, entry));
        let count = patch(Part::RegionTable(Copies::Both), 8, Value::Word(3));
        let restored = patch(Part::Header(Copies::Both), 0, Value::Xor(0));
        [
            (CrossCheck::Again, vec![]),
            (CrossCheck::Resumed(1), vec![guid]),
            (CrossCheck::Extents, vec![region, count, restored]),
        ]
        .map(|(check, patches)| encode(&Input { skeleton, check, length: None, patches }))
    };
    (0..SKELETONS.len() as u8).flat_map(seed).collect()
}
