//! Random damage with valid checksums, so that it passes the first checks: every question ends
//! without a panic.

use super::bounds::{MEMORY, Question, bounded};
use crate::common::prelude::*;
use crate::common::tables::{current_id, table_bytes};
use vhdx_rct_fixtures::chain::dirty_log;
use vhdx_rct_fixtures::rct::{Checksum, HEADERS, OFFSET_TABLE, RctBuilder, fix_checksum, patch};

const CHILD: &str = "/disks/child.avhdx";
const BASE: &str = "/disks/base.vhdx";

fn disk(rng: &mut Rng) -> VhdxBuilder {
    let partial = Block::Partial { sectors: vec![3..9, 800..1200], fill: Fill(2) };
    let disk = VhdxBuilder::new(5 * MB).seed(rng.next_u64()).headers(HeaderPlan::Identical);
    let disk = disk.disk_id(uuid::Uuid::from_u128(1)).block(1, Block::Full(Fill(1)));
    if rng.one_in(2) {
        disk.block(3, Block::Zero { anchor: Some(9) })
    } else {
        disk.block(2, partial)
    }
}

/// Values that break arithmetic more often than others do.
fn value(rng: &mut Rng) -> [u8; 8] {
    let power = 1_u64 << rng.below(64);
    let known =
        [0, 1, power, power - 1, u64::MAX, u64::MAX << 20, rng.below(64) * MB, rng.next_u64()];
    let known = rng.pick(&known) | if rng.one_in(4) { rng.below(8) } else { 0 };
    known.to_le_bytes()
}

/// Overwrites 1, 2, 4 or 8 bytes of a place.
fn damage(rng: &mut Rng, image: &mut Image, from: u64, length: u64) {
    let width = rng.pick(&[1, 2, 4, 8]);
    let at = from + rng.below(length / width) * width;
    let value = value(rng);
    image.put(at, &value[..width as usize]);
}

fn damage_somewhere(rng: &mut Rng, image: &mut Image) {
    let at = image.at.clone();
    match rng.below(6) {
        0 => damage(rng, image, at.header_offsets[0], 80),
        1 => damage(rng, image, at.region_table_offsets[0], 128),
        2 => damage(rng, image, at.metadata_offset, 256),
        3 => {
            let items: Vec<_> = at.metadata_items.values().copied().collect();
            let (offset, length) = rng.pick(&items);
            damage(rng, image, offset, length.max(8));
        }
        4 => {
            let entry = at.bat_entry_offset(rng.below(5));
            let entry = rng.pick(&[entry, at.bitmap_entry_offset(0)]);
            damage(rng, image, entry, 8);
        }
        _ => {
            let start = at.log_entries.first().map_or(0, |&(start, _)| start);
            damage(rng, image, at.log_offset + start, 256);
        }
    }
}

/// Restores every checksum, and makes both copies identical.
fn restore(image: &mut Image) {
    for (offsets, length) in
        [(image.at.header_offsets, 4 * KB), (image.at.region_table_offsets, 64 * KB)]
    {
        let first = &mut image.bytes[offsets[0] as usize..][..length as usize];
        store_crc(first);
        let copy = first.to_vec();
        image.put(offsets[1], copy);
    }
    for (start, length) in image.at.log_entries.clone() {
        let from = (image.at.log_offset + start) as usize;
        if start + length <= image.at.log_length {
            store_crc(&mut image.bytes[from..from + length as usize]);
        }
    }
}

fn table(rng: &mut Rng) -> (Vec<u8>, RctId) {
    let table = RctBuilder::new(5 * MB).seed(7).with(3..90, 4).detailed_all();
    let bytes = table_bytes(&table, |path, placement| {
        let places = [HEADERS[0], HEADERS[0] + 0x1000, OFFSET_TABLE, placement.sequence_pages[&0]];
        for _ in 0..rng.below(3) {
            let value = value(rng);
            let width = rng.pick(&[1, 2, 4, 8]);
            patch(path, rng.pick(&places) + rng.below(9) * 8, &value[..width]).unwrap();
        }
        for page in [HEADERS[0], OFFSET_TABLE, placement.sequence_pages[&0]] {
            fix_checksum(path, page, Checksum::At4From8).unwrap();
        }
    });
    (bytes, current_id(&table))
}

/// A base, and children of it with clean and dirty logs.
fn images() -> (Image, Vec<Image>) {
    let rng = &mut Rng::new(0);
    let base = Image::new(&disk(rng).block(2, Block::NotPresent { anchor: None }));
    let locator = ParentLocator::new(base.at.data_write_guid).relative(r".\base.vhdx");
    let children = (0..12).map(|i| {
        let child = disk(rng).parent(locator.clone());
        let log = if i % 2 == 0 { LogPlan::Clean } else { LogPlan::Dirty(dirty_log(rng, &child)) };
        Image::new(&child.log(log))
    });
    let children = children.collect();
    (base, children)
}

fn ask_about_damage(seed: u64, base: &Arc<Vec<u8>>, children: &[Image]) {
    let rng = &mut Rng::new(seed);
    let mut child = rng.pick(children);
    for _ in 0..rng.range(1..4) {
        damage_somewhere(rng, &mut child);
    }
    restore(&mut child);
    if rng.one_in(8) {
        child.bytes.truncate(rng.below(child.bytes.len() as u64) as usize);
    }
    let (table, id) = table(rng);
    let child = Patched::new(&Arc::new(child.bytes));
    let mut files = MemoryStorage::new()
        .with(format!("{CHILD}.rct"), table.clone())
        .with(format!("{BASE}.rct"), table);
    files.insert(BASE, Arc::new(Patched::new(base)));
    files.insert(CHILD, Arc::new(child.clone()));
    let name = format!("the damage of seed {seed}");
    for since in [Baseline::Allocated, Baseline::File(BASE.into()), Baseline::Rct(id)] {
        let question = Question::within(files.clone(), CHILD, since);
        let unclean = question.clone().with(|options| options.allow_unclean(true));
        drop(unclean.bounded(&name, MEMORY));
        drop(bounded(&name, MEMORY, move || question.ask_extents()));
    }
    let question = Question::within(files, CHILD, Baseline::Allocated);
    let Ok(disk) = bounded(&name, MEMORY, move || question.open()) else { return };
    let rest = move || (disk.known_ids(), disk.next_baselines(), disk.check(), disk.check_tables());
    drop(bounded(&name, MEMORY, rest));
}

#[test]
fn random_damage_does_not_panic() {
    let (base, children) = images();
    let base = Arc::new(base.bytes);
    for seed in 0..500 {
        ask_about_damage(seed, &base, &children);
    }
}
