//! The log: which entries are valid, which sequence is active, and its replay.
//!
//! Input: which skeleton, whose log is dirty already; flags; and entries, each with what
//! should be restored in it, its place, its header, its descriptors and its data sectors.

use crate::ask::{open, reading, whole};
use crate::bytes::{Take, put_page};
use crate::media::{Disks, Image, Skeleton};
use std::sync::LazyLock;
use vhdx_rct::Baseline;
use vhdx_rct_fixtures::chain::dirty_log;
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::vhdx::{
    Block, DirtyLog, HeaderPlan, LogPlan, MB, Placement, Target, VhdxBuilder, put, store_crc,
};

const DISK: &str = "/disks/disk.vhdx";
const SECTOR: usize = 4096;

// What is restored in an entry.
const SEAL: u8 = 1;
const OUR_GUID: u8 = 2;
const ENTRY_LENGTH: u8 = 4;
const DESCRIPTORS: u8 = 8;
const DATA: u8 = 16;
const OWN_TAIL: u8 = 32;
const FILE_LENGTHS: u8 = 64;

/// The maximum number of entries written.
const MOST_ENTRIES: usize = 64;

fn builders() -> Vec<VhdxBuilder> {
    let disk = |seed| {
        let disk = VhdxBuilder::new(4 * MB).seed(seed).headers(HeaderPlan::Identical);
        disk.block(0, Block::Full(Fill::ZEROS)).block(2, Block::Zero { anchor: Some(9) })
    };
    let tables = DirtyLog { targets: vec![Target::RegionTables], ..DirtyLog::default() };
    let mut out = vec![
        disk(0).log(LogPlan::Raw(Vec::new())),
        disk(1).log(LogPlan::Dirty(DirtyLog::default())),
        disk(2).log(LogPlan::Dirty(tables)),
    ];
    out.extend((3..9).map(|seed| {
        let log = dirty_log(&mut Rng::new(seed), &disk(seed));
        disk(seed).log(LogPlan::Dirty(log))
    }));
    out
}

static SKELETONS: LazyLock<Vec<Skeleton>> =
    LazyLock::new(|| builders().iter().map(Skeleton::new).collect());

pub fn run(data: &[u8]) {
    let mut input = Take(data);
    let skeleton = &SKELETONS[usize::from(input.u8()) % SKELETONS.len()];
    let at = &skeleton.at;
    let mut image = skeleton.image();
    let flags = input.u8();
    if flags & 1 == 0 {
        image.put(at.log_offset, vec![0; at.log_length as usize]);
    }
    if flags & 2 != 0 {
        image.set_length(u64::from(input.u16()) << 10);
    }
    let hint = u64::from(input.u32());
    for _ in 0..MOST_ENTRIES {
        if input.is_empty() {
            break;
        }
        let place = u64::from(input.u8()) * SECTOR as u64;
        let entry = entry(at, place, &mut input);
        put_in_ring(&mut image, at, place, entry);
    }
    let disks = Disks::default().with(DISK, image).shared();
    if let Ok(disk) = open(&reading(disks), DISK) {
        let replayed = disk.files()[0].replayed_log_entries();
        assert!(replayed.is_some_and(|count| count > 0), "{replayed:?} entries of a dirty log");
        let _ = whole(&disk, &Baseline::Allocated, hint);
    }
}

/// An entry's bytes, put together from the input.
fn entry(at: &Placement, place: u64, input: &mut Take) -> Vec<u8> {
    let restore = input.u8();
    let mut bytes = vec![0; SECTOR];
    bytes[..64].copy_from_slice(&input.array::<64>());
    let descriptors = usize::from(input.u8());
    let area = (64 + 32 * descriptors).next_multiple_of(SECTOR);
    bytes.resize(area, 0);
    let raw = input.some(32 * descriptors);
    put(&mut bytes, 64, raw);
    let sequence: [u8; 8] = std::array::from_fn(|i| bytes[16 + i]);
    if restore & DESCRIPTORS != 0 {
        (0..descriptors).for_each(|i| put(&mut bytes, 64 + 32 * i + 24, sequence));
        put(&mut bytes, 24, (descriptors as u32).to_le_bytes());
    }
    for _ in 0..input.u8().min(32) {
        let mut sector = [0; SECTOR];
        input.page(&mut sector);
        if restore & DATA != 0 {
            put(&mut sector, 0, "data");
            put(&mut sector, 4, &sequence[4..]);
            put(&mut sector, SECTOR - 4, &sequence[..4]);
        }
        bytes.extend(sector);
    }
    restore_header(&mut bytes, at, place, restore);
    bytes
}

fn restore_header(bytes: &mut Vec<u8>, at: &Placement, place: u64, restore: u8) {
    if restore & ENTRY_LENGTH != 0 {
        let length = bytes.len() as u32;
        put(bytes, 8, length.to_le_bytes());
    }
    if restore & OWN_TAIL != 0 {
        put(bytes, 12, (place as u32).to_le_bytes());
    }
    if restore & OUR_GUID != 0 {
        put(bytes, 32, at.log_guid.to_bytes_le());
    }
    if restore & FILE_LENGTHS != 0 {
        put(bytes, 48, (at.file_length / MB * MB).to_le_bytes());
        put(bytes, 56, at.last_file_offset.to_le_bytes());
    }
    if restore & SEAL != 0 {
        let said = u32::from_le_bytes([8, 9, 10, 11].map(|i| bytes[i]));
        let said = (said as usize).min(at.log_length as usize);
        bytes.resize(bytes.len().max(said), 0);
        store_crc(&mut bytes[..said.max(64)]);
    }
}

fn put_in_ring(image: &mut Image, at: &Placement, place: u64, mut entry: Vec<u8>) {
    entry.truncate(at.log_length as usize);
    let place = place % at.log_length;
    let before_end = (at.log_length - place).min(entry.len() as u64) as usize;
    let rest = entry.split_off(before_end);
    image.put(at.log_offset + place, entry);
    image.put(at.log_offset, rest);
}

/// The entries of a written log, whatever they are good for.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut out: Vec<Vec<u8>> = SKELETONS.iter().enumerate().map(seed).collect();
    let restore_all = SEAL | OUR_GUID | ENTRY_LENGTH | DESCRIPTORS | DATA | FILE_LENGTHS;
    // One entry that zeroes the last block of the file, for the fuzzer to go on from.
    let mut small = vec![0, 0, 0, 0, 0, 0, 3, restore_all | OWN_TAIL];
    let mut header = [0; 64];
    put(&mut header, 0, "loge");
    header[16] = 7;
    small.extend(header);
    small.push(1);
    let mut zero = [0; 32];
    put(&mut zero, 0, "zero");
    put(&mut zero, 8, 4096_u64.to_le_bytes());
    put(&mut zero, 16, (4 * MB).to_le_bytes());
    small.extend(zero);
    small.push(0);
    out.push(small);
    out
}

fn seed((index, skeleton): (usize, &Skeleton)) -> Vec<u8> {
    let at = &skeleton.at;
    let ring = &skeleton.bytes()[at.log_offset as usize..][..at.log_length as usize];
    let ring = [ring, ring].concat();
    let mut out = vec![index as u8, 0, 0, 0, 0, 0];
    for sector in 0..ring.len() / 2 / SECTOR {
        let entry = &ring[sector * SECTOR..];
        let field = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| entry[at + i])) as usize;
        if !entry.starts_with(b"loge") || field(24) > 255 || field(8) > ring.len() / 2 {
            continue;
        }
        let descriptors = field(24);
        let area = (64 + 32 * descriptors).next_multiple_of(SECTOR);
        out.extend([sector as u8, SEAL]);
        out.extend(&entry[..64]);
        out.push(descriptors as u8);
        out.extend(&entry[64..64 + 32 * descriptors]);
        let data: Vec<&[u8]> = entry[area..field(8).max(area)].chunks_exact(SECTOR).collect();
        out.push(data.len().min(32) as u8);
        data.iter().take(32).for_each(|sector| put_page(&mut out, sector));
    }
    out
}
