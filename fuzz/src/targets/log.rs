//! The log: which entries are valid, which sequence is active, and its replay.

use super::{encode, pick};
use crate::ask::{CrossCheck, open, reading, whole};
use crate::media::{Disks, Image, Skeleton};
use crate::patch::{Area, MAX_PATCHES, Patch, Value};
use arbitrary::Arbitrary;
use dearbitrary::Dearbitrary;
use std::sync::LazyLock;
use uuid::Uuid;
use vhdx_rct::Baseline;
use vhdx_rct_fixtures::chain::dirty_log;
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::vhdx::log::{Descriptor, RawEntry, raw_entry};
use vhdx_rct_fixtures::vhdx::{
    Block, DirtyLog, HeaderPlan, LogPlan, MB, PAGE, Placement, Target, VhdxBuilder, put, store_crc,
};

const DISK: &str = "/disks/disk.vhdx";

/// The maximum numbers of entries that an input adds, and of pages in each.
const MAX_ENTRIES: usize = 64;
const MAX_PAGES: usize = 256;

#[derive(Arbitrary, Dearbitrary, Debug, PartialEq)]
pub struct Input {
    /// Whose log is dirty already.
    skeleton: u8,
    /// Starts with an empty ring.
    clear: bool,
    /// The file's length in KiB.
    length: Option<u16>,
    check: CrossCheck,
    entries: Vec<Entry>,
    /// Changes to any entry.
    patches: Vec<(u8, Patch)>,
}

/// An entry; fields that are `None` have the right value.
#[derive(Arbitrary, Dearbitrary, Debug, Default, PartialEq)]
pub struct Entry {
    /// Its page in the ring.
    page: u8,
    sequence: u64,
    /// The page in the ring of the sequence's first entry; none for its own.
    tail: Option<u8>,
    foreign: bool,
    length: Option<u32>,
    descriptor_count: Option<u32>,
    flushed_file_offset: Option<u64>,
    last_file_offset: Option<u64>,
    data_sequence: Option<u64>,
    updates: Vec<Update>,
}

#[derive(Arbitrary, Dearbitrary, Debug, PartialEq)]
pub enum Update {
    /// A page of the file, and how many become zero.
    Zero(u16, u16),
    /// A page of the file, the page whose content it gets, and words that change.
    Copy(u16, u16, Vec<(u16, u64)>),
    /// A page of the file, and a byte that fills it.
    Fill(u16, u8),
}

static SKELETONS: LazyLock<Vec<Skeleton>> = LazyLock::new(|| {
    let disk = |seed| {
        let disk = VhdxBuilder::new(4 * MB).seed(seed).headers(HeaderPlan::Identical);
        disk.block(0, Block::Full(Fill::ZEROS)).block(2, Block::Zero { anchor: Some(9) })
    };
    let tables = DirtyLog { targets: vec![Target::RegionTables], ..DirtyLog::default() };
    let logs =
        [LogPlan::Raw(Vec::new()), LogPlan::Dirty(DirtyLog::default()), LogPlan::Dirty(tables)];
    let random = (3..9).map(|seed| LogPlan::Dirty(dirty_log(&mut Rng::new(seed), &disk(seed))));
    let logs = (0..).zip(logs.into_iter().chain(random));
    logs.map(|(seed, log)| Skeleton::new(&disk(seed).log(log))).collect()
});

pub fn run(input: &Input) -> bool {
    let skeleton = pick(&SKELETONS, input.skeleton);
    let at = &skeleton.at;
    let mut image = skeleton.image();
    let mut places = vec![(0, PAGE)];
    if input.clear {
        image.put(at.log_offset, vec![0; at.log_length as usize]);
    } else {
        places.extend(&at.log_entries);
    }
    for entry in input.entries.iter().take(MAX_ENTRIES) {
        let place = u64::from(entry.page) * PAGE % at.log_length;
        let bytes = entry.bytes(at, &image);
        places.push((place, bytes.len() as u64));
        put_in_ring(&mut image, at, place, bytes);
    }
    for (index, patch) in input.patches.iter().take(MAX_PATCHES) {
        let &(place, length) =
            places.iter().rev().nth(usize::from(*index) % places.len()).expect("a place");
        let (start, length) = (at.log_offset + place, length.min(at.log_length - place));
        let covered = Some((start, length as usize));
        let area = Area { start, length: length.min(PAGE), covered };
        patch.apply(&mut image, area, store_crc);
    }
    if let Some(length) = input.length {
        image.set_length(u64::from(length) << 10);
    }
    let Ok(disk) = open(&reading(Disks::default().with(DISK, image)), DISK) else { return false };
    let replayed = disk.files()[0].replayed_log_entries();
    assert!(replayed.is_some_and(|count| count > 0), "{replayed:?} entries of a dirty log");
    whole(&disk, &Baseline::Allocated, &input.check).is_ok()
}

impl Entry {
    fn bytes(&self, at: &Placement, image: &Image) -> Vec<u8> {
        let raw = RawEntry {
            entry_length: self.length,
            tail: u32::from(self.tail.unwrap_or(self.page)) * PAGE as u32,
            sequence: self.sequence,
            descriptor_count: self.descriptor_count,
            log_guid: if self.foreign { Uuid::from_u128(1) } else { at.log_guid },
            flushed_file_offset: self.flushed_file_offset.unwrap_or(at.file_length / MB * MB),
            last_file_offset: self.last_file_offset.unwrap_or(at.last_file_offset),
            descriptors: self.updates.iter().take(MAX_PAGES).map(|u| u.descriptor(image)).collect(),
            data_sequence: self.data_sequence,
        };
        let mut bytes = raw_entry(&raw);
        // The checksum covers the length that the entry states.
        if let Some(length) = self.length {
            let stated = (length as usize).clamp(64, at.log_length as usize);
            bytes.resize(bytes.len().max(stated), 0);
            store_crc(&mut bytes[..stated]);
        }
        bytes
    }
}

impl Update {
    fn descriptor(&self, image: &Image) -> Descriptor {
        let place = |page: u16| u64::from(page) * PAGE;
        match self {
            Update::Zero(page, count) => Descriptor::zero(place(*page), place(*count)),
            Update::Fill(page, byte) => Descriptor::data(place(*page), vec![*byte; PAGE as usize]),
            Update::Copy(page, from, words) => {
                let mut content = image.get(place(*from), PAGE as usize);
                for (at, word) in words {
                    put(&mut content, usize::from(at % 512) * 8, word.to_le_bytes());
                }
                Descriptor::data(place(*page), content)
            }
        }
    }
}

fn put_in_ring(image: &mut Image, at: &Placement, place: u64, mut entry: Vec<u8>) {
    entry.truncate(at.log_length as usize);
    let before_end = (at.log_length - place).min(entry.len() as u64) as usize;
    let rest = entry.split_off(before_end);
    image.put(at.log_offset + place, entry);
    image.put(at.log_offset, rest);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let restored = (0, Patch { at: 40, value: Value::Xor(0), restore: true });
    let entry = |page, sequence, updates| Entry {
        page,
        sequence,
        tail: Some(0),
        updates,
        ..Entry::default()
    };
    // A block becomes zero; both region tables and the first header are replaced by themselves.
    let tables = vec![Update::Copy(48, 64, vec![]), Update::Copy(64, 48, vec![(9, 0)])];
    let entries = vec![
        entry(0, 7, vec![Update::Zero(1024, 1)]),
        entry(1, 8, tables),
        entry(4, 9, vec![Update::Fill(1200, 5)]),
    ];
    let input = |skeleton, clear, entries, patches| {
        encode(&Input {
            skeleton,
            clear,
            length: None,
            check: CrossCheck::Extents,
            entries,
            patches,
        })
    };
    let small = || vec![entry(0, 7, vec![Update::Zero(1024, 1)])];
    let written = (1..SKELETONS.len() as u8).flat_map(|skeleton| {
        [Vec::new(), vec![restored.clone()]].map(|patches| input(skeleton, false, vec![], patches))
    });
    written
        .chain([input(0, true, small(), vec![]), input(0, true, entries, vec![restored.clone()])])
        .collect()
}
