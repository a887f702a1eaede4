//! The `.vhds` file of a set, beside its files and, for some inputs, a catalog.
//!
//! Input: flags, two ids, the start of each header, the length of the name, the name, and
//! what follows it.

use crate::ask::{checked, open, reading, whole};
use crate::bytes::{Take, without_tail};
use crate::media::{Disks, Scratch, Skeleton};
use std::sync::LazyLock;
use uuid::Uuid;
use vhdx_rct::{Baseline, OpenOptions, SnapshotId};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::{Checksum, HeaderPlan};
use vhdx_rct_fixtures::vhds::{
    CreationTime, Encoding, HEADERS, JsonStyle, NAME, Snapshot, VhdsBuilder, catalog_json,
};
use vhdx_rct_fixtures::vhdx::{Block, MB, ParentLocator, VhdxBuilder, put};

pub const SET: &str = "/sets/disk.vhds";
/// The set's only snapshot that has a file.
pub const FROZEN: SnapshotId =
    SnapshotId(Uuid::from_u128(0x9ac1_5b72_2a6d_44b2_ba7c_f5f0_6831_c74a));
const ACTIVE: &str = "disk_11111111-2222-4333-8444-555555555555.avhdx";
const HEADER: usize = 64;

// Flags.
const SEAL: [u8; 2] = [1, 2];
const SECOND_ALIKE: u8 = 4;
const CATALOG: u8 = 8;
const INSPECT: u8 = 16;
const SIGNATURE: u8 = 32;
const CUT: u8 = 64;

struct Files {
    frozen: Skeleton,
    active: Skeleton,
    catalog: Vec<u8>,
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
    Files { frozen, active, catalog: catalog_json(&[snapshot], style) }
});

/// The set's files, without the set and its catalog.
pub fn members() -> Disks {
    let folder = |name: &str| format!("/sets/{name}");
    let disks = Disks::default().with(folder(&frozen_name()), FILES.frozen.image());
    disks.with(folder(ACTIVE), FILES.active.image())
}

/// A set that is as it should be.
pub fn right_set() -> Vec<u8> {
    VhdsBuilder::new(ACTIVE).bytes()
}

pub fn run(data: &[u8]) {
    let mut input = Take(data);
    let flags = input.u8();
    let ids = [SnapshotId(Uuid::from_bytes(input.array())), FROZEN];
    let hint = u64::from(input.u32());
    let set = set(flags, &mut input);
    if flags & INSPECT != 0 {
        inspect(&set);
    }
    let mut disks = members().with_bytes(SET, set);
    if flags & CATALOG != 0 {
        disks = disks.with_bytes(format!("{SET}.snapshots.json"), FILES.catalog.clone());
    }
    ask_all(&reading(disks.shared()), &ids, hint);
}

/// Asks since each of the ids, with each of them as a target, and for everything else.
pub fn ask_all(options: &OpenOptions, ids: &[SnapshotId], hint: u64) {
    if let Ok(disk) = open(options, SET) {
        let _ = whole(&disk, &Baseline::Allocated, hint);
        for &id in ids {
            let _ = whole(&disk, &Baseline::Snapshot(id), hint);
        }
        let mut ids: Vec<Uuid> = disk.snapshots().iter().map(|snapshot| snapshot.id.0).collect();
        ids.sort_unstable();
        assert!(ids.is_sorted_by(|a, b| a < b), "a snapshot is listed twice");
    }
    for &target in ids {
        let Ok(disk) = open(options.clone().target(target), SET) else { continue };
        for &id in ids {
            let answer = whole(&disk, &Baseline::Snapshot(id), hint);
            let differs = answer.is_ok_and(|answer| id == target && !answer.ranges.is_empty());
            assert!(!differs, "changes from a snapshot to itself");
        }
    }
}

fn set(flags: u8, input: &mut Take) -> Vec<u8> {
    let mut set = vec![0; NAME as usize];
    put(&mut set, 0, "vhdsetv1");
    let mut header = vec![0; 4096];
    for copy in 0..2 {
        if copy == 0 || flags & SECOND_ALIKE == 0 {
            put(&mut header, 0, input.array::<HEADER>());
        }
        if flags & SEAL[copy] != 0 {
            Checksum::At0x14Zeroed.store(&mut header);
        }
        put(&mut set, HEADERS[copy] as usize, &header);
    }
    if flags & SIGNATURE != 0 {
        put(&mut set, 0, input.array::<24>());
    }
    let length = input.u32() as usize;
    set.extend(input.0);
    set.resize(set.len().next_multiple_of(4096), 0);
    if flags & CUT != 0 {
        let most = set.len() + 1;
        set.truncate(length % most);
    }
    set
}

fn inspect(bytes: &[u8]) {
    static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);
    std::fs::write(SCRATCH.path(), bytes).expect("a file in memory");
    let shown = checked(vhdx_rct::vhd_set::inspect(SCRATCH.path()));
    assert_eq!(shown.is_some(), bytes.starts_with(b"vhdsetv1"), "what else does not fit is a note");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let plans = [
        HeaderPlan::Both,
        HeaderPlan::Identical,
        HeaderPlan::FirstStale,
        HeaderPlan::SecondBroken,
        HeaderPlan::BothBroken,
    ];
    let set = || VhdsBuilder::new(ACTIVE);
    let mut sets: Vec<_> = plans.map(|plan| (0, set().headers(plan))).into();
    sets.push((INSPECT, set().header_extra(0x24, &[1, 2, 3])));
    sets.push((CATALOG | INSPECT, set().data_extra(10, b"records")));
    sets.push((0, VhdsBuilder::new(r"..\x.avhdx")));
    sets.push((SEAL[0] | SEAL[1], set()));
    sets.push((SEAL[0] | SEAL[1] | SECOND_ALIKE | CATALOG, set()));
    let seed = |(flags, set): (u8, VhdsBuilder)| {
        let bytes = set.bytes();
        let mut out = vec![flags];
        out.extend(FROZEN.0.to_bytes_le());
        out.extend([0, 0, 7, 0]);
        for offset in &HEADERS[..if flags & SECOND_ALIKE == 0 { 2 } else { 1 }] {
            out.extend(&bytes[*offset as usize..][..HEADER]);
        }
        out.extend([0; 4]);
        out.extend(without_tail(&bytes[NAME as usize..]));
        out
    };
    sets.into_iter().map(seed).collect()
}
