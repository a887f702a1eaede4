//! The metadata table, its items and the parent locator.

use super::{encode, pick};
use crate::ask::{CrossCheck, open, reading, whole};
use crate::media::{Disks, Skeleton};
use crate::patch::{Area, MAX_PATCHES, Patch, Patched, Value};
use arbitrary::Arbitrary;
use dearbitrary::Dearbitrary;
use std::sync::LazyLock;
use uuid::Uuid;
use vhdx_rct::{Baseline, DiskFile};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{Block, MB, ParentLocator, VhdxBuilder, ids};

const BASE: &str = "/disks/base.vhdx";
const CHILD: &str = "/disks/child.avhdx";

pub type Input = Patched<Part>;

#[derive(Arbitrary, Dearbitrary, Debug, PartialEq)]
pub enum Part {
    TableHeader,
    /// All entries.
    Entries,
    Entry(u8),
    Item(u8),
    /// All items.
    Items,
}

struct Files {
    base: Skeleton,
    children: Vec<Skeleton>,
}

fn disk(seed: u64) -> VhdxBuilder {
    VhdxBuilder::new(5 * MB).seed(seed).disk_id(Uuid::from_u128(9))
}

fn children(linkage: Uuid) -> Vec<VhdxBuilder> {
    let partial = Block::Partial { sectors: vec![3..9, 800..1200], fill: Fill::ZEROS };
    let child = |locator| disk(2).parent(locator).block(1, partial.clone());
    let locator = || ParentLocator::new(linkage);
    let big = disk(3).parent(locator().relative(r"..\disks\base.vhdx"));
    vec![
        child(locator().relative(r".\base.vhdx")),
        child(
            ParentLocator::new(Uuid::from_u128(3))
                .linkage2(linkage)
                .relative(r".\gone.vhdx")
                .volume(r"\\?\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\x\base.vhdx")
                .absolute(r"C:\Hyper-V\BASE.vhdx"),
        ),
        child(locator().linkage2(Uuid::nil()).entry("unknown", "thing").relative("base.vhdx"))
            .extra_metadata(ids::PMEM_LABEL_AREA, &[7; 40], 0)
            .extra_metadata(Uuid::from_u128(4), b"user's", 1),
        big.block_size(32 * MB).logical_sector_size(4096).block(0, Block::Full(Fill::ZEROS)),
        disk(4).fixed(true).physical_sector_size(512).block(4, Block::Full(Fill::ZEROS)),
        disk(5).extra_metadata(ids::INCOMPLETE_FILE, &[1; 8], 4),
    ]
}

static FILES: LazyLock<Files> = LazyLock::new(|| {
    let base = Skeleton::new(&disk(1).block(2, Block::Full(Fill::ZEROS)));
    let children = children(base.at.data_write_guid).iter().map(Skeleton::new).collect();
    Files { base, children }
});

pub fn run(input: &Input) -> bool {
    let skeleton = pick(&FILES.children, input.file);
    let mut image = skeleton.image();
    let table = skeleton.at.metadata_offset;
    let items: Vec<(u64, u64)> = skeleton.at.metadata_items.values().copied().collect();
    for (part, patch) in input.patches.iter().take(MAX_PATCHES) {
        let (start, length) = match part {
            Part::TableHeader => (table, 32),
            Part::Entries => (table + 32, 512),
            Part::Entry(index) => (table + 32 + 32 * u64::from(*index), 32),
            Part::Item(index) => *pick(&items, *index),
            Part::Items => (table + (64 << 10), 4096),
        };
        patch.apply(&mut image, Area::plain(start, length), |_| {});
    }
    let base = FILES.base.image();
    let disks = Disks::default().with(BASE, base.clone()).with("/disks/sub/other.vhdx", base);
    let Ok(disk) = open(&reading(disks.with(CHILD, image)), CHILD) else { return false };
    sizes_hold(&disk.files()[0]);
    let baselines = [Baseline::Allocated, Baseline::Parent, Baseline::File(BASE.into())];
    baselines.map(|since| whole(&disk, &since, &input.check).is_ok()).contains(&true)
}

/// Checks that the sizes of an accepted disk are within the format's bounds.
fn sizes_hold(file: &DiskFile) {
    let metadata = file.metadata();
    let block = u64::from(metadata.block_size);
    assert!(block.is_power_of_two() && (MB..=256 * MB).contains(&block), "blocks of {block}");
    let sector = u64::from(metadata.logical_sector_size);
    assert!(sector == 512 || sector == 4096, "sectors of {sector}");
    let size = metadata.virtual_size;
    assert!(size.is_multiple_of(sector) && size <= 64 << 40, "a disk of {size}");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let patch = |at, value| Patch { at, value, restore: false };
    let seed = |(file, child): (u8, &Skeleton)| {
        // A user item that is not required, of which readers need to know nothing.
        let count = child.at.metadata_items.len() as u8;
        let (mut entry, mut entries) = ([0; 32], [0; 32]);
        (entry[0], entry[17], entry[18], entry[20], entry[24]) = (77, 0x80, 1, 8, 1);
        entries[0] = count + 1;
        let added = vec![
            (Part::Entry(count), patch(0, Value::Bytes(31, entry))),
            (Part::TableHeader, patch(10, Value::Bytes(1, entries))),
        ];
        let checks = [CrossCheck::Split(3 * MB), CrossCheck::Content(MB + 512)];
        [Vec::new(), added]
            .into_iter()
            .zip(checks)
            .map(move |(patches, check)| encode(&Input { file, check, patches }))
    };
    (0..).zip(&FILES.children).flat_map(seed).collect()
}
