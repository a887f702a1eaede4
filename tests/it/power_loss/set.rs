//! VHD Sets: the active file changes. A new name is written to an unused place, then the header that
//! is not current; that order is an assumption.

use super::source;
use crate::common::prelude::*;
use vhdx_rct_fixtures::power::{Call, Persisted, Recording};
use vhdx_rct_fixtures::rct::{Checksum, HeaderPlan};
use vhdx_rct_fixtures::vhds::{HEADERS, NAME, VhdsBuilder};

const SET: &str = "/disks/set.vhds";

fn name(state: u64) -> String {
    format!("set_{state}.avhdx")
}

/// The header, and the place and bytes of the name, of a state.
fn parts(state: u64) -> (Vec<u8>, u64, Vec<u8>) {
    let set = VhdsBuilder::new(&name(state)).sequence(state + 1).headers(HeaderPlan::Identical);
    let bytes = set.bytes();
    let mut header = bytes[HEADERS[0] as usize..][..0x1000].to_vec();
    let place = NAME + state % 2 * 0x1000;
    put(&mut header, 0x1C, (place as u32).to_le_bytes());
    Checksum::At0x14Zeroed.store(&mut header);
    (header, place, bytes[NAME as usize..].to_vec())
}

#[test]
fn reads_the_old_or_new_active_file() {
    const STATES: u64 = 4;
    let mut start = VhdsBuilder::new(&name(0)).headers(HeaderPlan::Identical).bytes();
    start.resize(start.len() + 0x1000, 0);
    let mut recording = Recording::new(start);
    let mut files = MemoryStorage::new();
    let mut deciding = Vec::new();
    for state in 0..STATES {
        let disk = VhdxBuilder::new(STATES * MB).block(state, Block::Full(Fill(state)));
        files = files.with(format!("/disks/{}", name(state)), Image::new(&disk).bytes);
        if state > 0 {
            let (header, place, text) = parts(state);
            recording.write(place, text);
            recording.calls.push(Call::Flush);
            deciding.push(recording.write(HEADERS[state as usize % 2], header));
            recording.calls.push(Call::Flush);
        }
    }
    let mut seen = [0; STATES as usize];
    recording.cuts(6, |cut| {
        let made =
            deciding.iter().take_while(|call| cut.persisted[**call] == Persisted::Whole).count();
        let mut files = files.clone();
        files.insert(SET, Arc::new(source(cut)));
        let disk = OpenOptions::new().storage(Arc::new(files)).open(SET);
        let answer = disk.and_then(|disk| disk.changes(Baseline::Allocated).collect());
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", cut.name));
        let active = made as u64 * MB..(made as u64 + 1) * MB;
        assert_eq!(answer.ranges, ranges(&[active]), "{}", cut.name);
        seen[made] += 1;
    });
    assert!(seen.iter().all(|&count| count > 10), "{seen:?}");
}
