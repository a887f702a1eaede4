//! The file identifier, the header pair and the region tables.
//!
//! Input: which skeleton, flags, the first 80 bytes of each header, and region tables up to
//! their last entry.

use crate::ask::{open, reading, whole};
use crate::bytes::{Take, without_tail};
use crate::media::{Disks, Image, Skeleton};
use std::sync::LazyLock;
use uuid::Uuid;
use vhdx_rct::{Baseline, DiskFile};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{
    Block, DirtyLog, HeaderPlan, LogPlan, MB, Placement, RegionOrder, VhdxBuilder, store_crc,
};

const DISK: &str = "/disks/disk.vhdx";

// Flags.
const SEAL_HEADER: [u16; 2] = [1, 2];
const SECOND_HEADER_ALIKE: u16 = 4;
const SEAL_TABLE: u16 = 8;
const SECOND_TABLE: u16 = 16;
const SEAL_SECOND_TABLE: u16 = 32;
const IDENTIFIER: u16 = 64;
const LENGTH: u16 = 128;

const HEADER: usize = 80;
const TABLE_BYTES: usize = 64 << 10;

fn builders() -> Vec<VhdxBuilder> {
    let disk = || {
        let disk = VhdxBuilder::new(3 * MB).seed(1).block(0, Block::Full(Fill::ZEROS));
        disk.block(1, Block::Zero { anchor: Some(4) })
    };
    let dirty = LogPlan::Dirty(DirtyLog { entries: 2, ..DirtyLog::default() });
    vec![
        disk(),
        disk().order(RegionOrder::BatLast).headers(HeaderPlan::SecondCurrent),
        disk().order(RegionOrder::PayloadFirst).headers(HeaderPlan::Identical),
        disk().order(RegionOrder::Shuffled(3)).headers(HeaderPlan::FirstOnly).trailing(5),
        disk().extra_region(Uuid::from_u128(7), false).headers(HeaderPlan::SecondOnly),
        disk().extra_region(Uuid::from_u128(7), true).required_flags(false),
        disk().log(dirty),
    ]
}

static SKELETONS: LazyLock<Vec<Skeleton>> =
    LazyLock::new(|| builders().iter().map(Skeleton::new).collect());

pub fn run(data: &[u8]) {
    let mut input = Take(data);
    let skeleton = &SKELETONS[usize::from(input.u8()) % SKELETONS.len()];
    let image = image(skeleton, &mut input);
    let hint = input.u64();
    let disks = Disks::default().with(DISK, image).shared();
    if let Ok(disk) = open(&reading(disks), DISK) {
        regions_hold(&disk.files()[0]);
        let _ = whole(&disk, &Baseline::Allocated, hint);
    }
}

fn image(skeleton: &Skeleton, input: &mut Take) -> Image {
    let (mut image, at) = (skeleton.image(), &skeleton.at);
    let flags = input.u16();
    put_headers(&mut image, at, input, flags);
    put_tables(&mut image, at, input, flags);
    if flags & IDENTIFIER != 0 {
        image.put(0, input.some(16));
    }
    if flags & LENGTH != 0 {
        image.set_length(u64::from(input.u32()) % (16 * MB));
    }
    image
}

fn put_headers(image: &mut Image, at: &Placement, input: &mut Take, flags: u16) {
    let mut header = vec![0; 4096];
    for (copy, seals) in SEAL_HEADER.into_iter().enumerate() {
        if copy == 0 || flags & SECOND_HEADER_ALIKE == 0 {
            header[..HEADER].copy_from_slice(&input.array::<HEADER>());
        }
        if flags & seals != 0 {
            store_crc(&mut header);
        }
        image.put(at.header_offsets[copy], header.clone());
    }
}

fn put_tables(image: &mut Image, at: &Placement, input: &mut Take, flags: u16) {
    let mut table = vec![0; TABLE_BYTES];
    for copy in [0, 1] {
        if copy == 0 || flags & SECOND_TABLE != 0 {
            let bytes = input.some(16 + 32 * usize::from(input.0.first().copied().unwrap_or(0)));
            // The first byte, which is the signature's in no table, says how many entries come.
            table.fill(0);
            let bytes = bytes.get(1..).unwrap_or_default();
            table[..bytes.len()].copy_from_slice(bytes);
        }
        if flags & [SEAL_TABLE, SEAL_SECOND_TABLE][copy] != 0 {
            store_crc(&mut table);
        }
        image.put(at.region_table_offsets[copy], table.clone());
    }
}

/// The regions that a reader accepts lie after the headers and do not overlap.
fn regions_hold(file: &DiskFile) {
    let regions = file.regions();
    assert!(regions.iter().all(|region| region.offset >= MB && region.length > 0));
    assert!(regions.is_sorted_by(|a, b| a.offset + a.length <= b.offset));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let seed = |(index, skeleton): (usize, &Skeleton)| {
        let (bytes, at) = (skeleton.bytes(), &skeleton.at);
        let flags = SEAL_TABLE | SEAL_SECOND_TABLE;
        let mut out = vec![index as u8];
        out.extend(flags.to_le_bytes());
        for offset in at.header_offsets {
            out.extend(&bytes[offset as usize..][..HEADER]);
        }
        let table = &bytes[at.region_table_offsets[0] as usize..][..TABLE_BYTES];
        let used = without_tail(table);
        out.push((used.len() - 16).div_ceil(32) as u8 + 1);
        out.extend(used);
        out
    };
    let as_written: Vec<Vec<u8>> = SKELETONS.iter().enumerate().map(seed).collect();
    // The same with every checksum restored, so that what changes is looked at.
    let restored = as_written.iter().map(|seed| {
        let flags = SEAL_HEADER[0] | SEAL_HEADER[1] | SEAL_TABLE | SEAL_SECOND_TABLE;
        [&seed[..1], &flags.to_le_bytes(), &seed[3..]].concat()
    });
    as_written.iter().cloned().chain(restored).collect()
}
