//! The metadata table, its items and the parent locator.
//!
//! Input: which skeleton, a hint, the table up to its last entry, and the items as they
//! follow one another.

use crate::ask::{open, reading, whole};
use crate::bytes::{Take, without_tail};
use crate::media::{Disks, Skeleton};
use std::sync::LazyLock;
use uuid::Uuid;
use vhdx_rct::{Baseline, DiskFile};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{Block, MB, ParentLocator, VhdxBuilder, ids};

const BASE: &str = "/disks/base.vhdx";
const CHILD: &str = "/disks/child.avhdx";
const ITEMS: usize = 64 << 10;

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

pub fn run(data: &[u8]) {
    let mut input = Take(data);
    let files = &*FILES;
    let skeleton = &files.children[usize::from(input.u8()) % files.children.len()];
    let (mut image, at) = (skeleton.image(), skeleton.at.metadata_offset);
    let hint = u64::from(input.u32());
    let entries = usize::from(input.u8());
    let mut table = vec![0; ITEMS];
    let bytes = input.some(32 + 32 * entries);
    table[..bytes.len()].copy_from_slice(bytes);
    image.put(at, table);
    // The input replaces the previous content.
    image.put(at + ITEMS as u64, vec![0; 4096]);
    image.put(at + ITEMS as u64, input.0);
    let base = files.base.image();
    let disks = Disks::default().with(BASE, base.clone()).with("/disks/sub/other.vhdx", base);
    let disks = disks.with(CHILD, image).shared();
    if let Ok(disk) = open(&reading(disks), CHILD) {
        sizes_hold(&disk.files()[0]);
        for since in [Baseline::Allocated, Baseline::Parent, Baseline::File(BASE.into())] {
            let _ = whole(&disk, &since, hint);
        }
    }
}

/// What a reader accepts of a disk is what the format allows.
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
    let seed = |(index, skeleton): (usize, &Skeleton)| {
        let region = &skeleton.bytes()[skeleton.at.metadata_offset as usize..];
        let (table, items) = (without_tail(&region[..ITEMS]), &region[ITEMS..][..4096]);
        let entries = (table.len() - 32).div_ceil(32);
        let mut out = vec![index as u8, 0, 0, 17, 0, entries as u8];
        out.extend(&region[..32 + 32 * entries]);
        out.extend(without_tail(items));
        out
    };
    FILES.children.iter().enumerate().map(seed).collect()
}
