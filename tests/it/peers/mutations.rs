//! Dirty logs with one field changed and a valid checksum: an image is refused, or everything that
//! qemu replays is read.

use super::qemu::*;
use super::ring::{Found, Ring, number};
use crate::common::{RealImages, changes, seeds};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use vhdx_rct::{Baseline, ByteRange, Disk, ErrorKind};
use vhdx_rct_fixtures::chain::dirty_log;
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::vhdx::{Block, LogPlan, LogStart, MB, VhdxBuilder, put, store_crc};

#[derive(Debug, Default)]
struct Seen {
    refused: u64,
    /// Both read the same from it.
    same: u64,
    /// Both read the same once the log holds the active sequence alone.
    same_alone: u64,
    /// qemu cannot open it either way.
    qemu_refused: u64,
    /// The field has no meaning, so the log has to be replayed.
    meaningless: u64,
}

#[test]
fn logs_with_any_field_changed_are_refused_or_hold_what_qemu_replays() {
    if !qemu_is_here("qemu on changed logs") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disks = disks(folder.path());
    let (mut seen, mut tried) = (Seen::default(), 0);
    for seed in seeds(40, 1000) {
        let rng = &mut Rng::new(seed);
        // The large real image takes long.
        let (name, bytes) = match rng.one_in(60) {
            true => &disks[0],
            false => &disks[1.min(disks.len() - 1)..][rng.below(disks.len() as u64 - 1) as usize],
        };
        let mut ring = Ring::of(bytes);
        let entry = rng.pick(&ring.entries());
        let (field, meaningless) = change(&mut ring, &entry, rng);
        let mut file = bytes.clone();
        put(&mut file, ring.offset, &ring.bytes);
        let what = format!("seed {seed}: {name}, {field} of {entry:x?}");
        let case = Case { folder: folder.path(), file: &file, ring: &ring, what: &what };
        case.judge(&mut seen, meaningless);
        tried += 1;
    }
    eprintln!("changed logs: {seen:?}");
    assert!(seen.refused >= tried / 10, "{seen:?}");
    assert!(seen.same >= tried / 10, "{seen:?}");
    assert!(seen.same_alone >= tried / 40, "{seen:?}");
    assert!(seen.meaningless >= tried / 20, "{seen:?}");
}

/// Real images first, if they are here.
fn disks(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut disks = Vec::new();
    if let Some(images) = RealImages::unpack("changed real logs", |name| name.contains("dirty")) {
        for name in images.index.keys() {
            disks.push((name.clone(), fs::read(images.path(name)).unwrap()));
        }
    }
    for seed in 0..4 {
        let path = folder.join("made by qemu");
        let rng = &mut Rng::new(seed);
        let size = rng.range(3..9) * MB;
        create(&path, "block_size=1M,log_size=1M", size);
        write_with_qemu(&path, fail_writes_to(&bat_pages(&path)), rng, size);
        disks.push((format!("qemu's {seed}"), fs::read(&path).unwrap()));
    }
    for seed in 0..24 {
        let path = folder.join("made by the builder");
        let rng = &mut Rng::new(seed);
        let builder = VhdxBuilder::new(8 * MB).seed(seed).block(1, Block::Full(Fill(seed)));
        let builder = builder.block(3, Block::Zero { anchor: None }).block(6, Block::Full(Fill(9)));
        let mut log = dirty_log(rng, &builder);
        // Half of them are logs that qemu reads correctly.
        if seed % 2 == 0 {
            (log.start, log.retired, log.early_flushed) = (LogStart::At(0), 0, false);
            log.after_torn = false;
            log.older &= log.torn;
        }
        log.entries += 1;
        builder.log(LogPlan::Dirty(log)).write(&path).unwrap();
        disks.push((format!("the builder's {seed}"), fs::read(&path).unwrap()));
    }
    disks
}

/// Changes one field of an entry. Returns its name, and whether it has no meaning.
fn change(ring: &mut Ring, entry: &Found, rng: &mut Rng) -> (String, bool) {
    const HEADER: [(&str, usize, usize); 9] = [
        ("EntryLength", 8, 4),
        ("Tail", 12, 4),
        ("SequenceNumber", 16, 8),
        ("DescriptorCount", 24, 4),
        ("reserved", 28, 4),
        ("LogGuid", 32, 16),
        ("FlushedFileOffset", 48, 8),
        ("LastFileOffset", 56, 8),
        ("Signature", 0, 4),
    ];
    const DESCRIPTOR: [(&str, usize, usize); 5] = [
        ("descriptor's signature", 0, 4),
        ("descriptor's trailing bytes", 4, 4),
        ("descriptor's leading bytes or length", 8, 8),
        ("descriptor's offset", 16, 8),
        ("descriptor's SequenceNumber", 24, 8),
    ];
    const DATA: [(&str, usize, usize); 4] = [
        ("data's signature", 0, 4),
        ("data's SequenceHigh", 4, 4),
        ("data's bytes", 16, 8),
        ("data's SequenceLow", 4092, 4),
    ];
    let count = (entry.length / 4096 - 1).min(8) as u64;
    let (part, (name, at, width)) = match rng.below(4) {
        2 if count > 0 => (64 + 32 * rng.below(count) as usize, rng.pick(&DESCRIPTOR)),
        3 if count > 0 => (4096 * rng.range(1..count + 1) as usize, rng.pick(&DATA)),
        _ => (0, rng.pick(&HEADER)),
    };
    let place = entry.at + part + at;
    let old = ring.get(place, width);
    let mut value = old.clone();
    value[..width.min(8)].copy_from_slice(&other(&old, ring, rng).to_le_bytes()[..width.min(8)]);
    if name == "FlushedFileOffset" && rng.one_in(2) {
        value.copy_from_slice(&rng.below(MB).to_le_bytes());
    }
    let shorter = number(&value) <= number(&old);
    ring.put(place, &value);
    let length = number(&ring.get(entry.at + 8, 4)) as usize;
    if (64..=ring.bytes.len()).contains(&length) {
        let mut bytes = ring.get(entry.at, length);
        store_crc(&mut bytes);
        ring.put(entry.at, &bytes[..8]);
    }
    let meaningless = name == "reserved" || (name == "FlushedFileOffset" && shorter);
    (format!("{name} {old:x?} -> {value:x?}"), meaningless)
}

/// Another value for a field: near the old one, aligned or not, of another entry, or anything.
fn other(old: &[u8], ring: &Ring, rng: &mut Rng) -> u64 {
    let old = number(old);
    let entry = rng.pick(&ring.entries());
    let step = rng.pick(&[1, 1, 2, 512, 4096, 4096, 8192, MB, 1 << 32]);
    match rng.below(8) {
        0..2 => old.wrapping_add(step),
        2..4 => old.wrapping_sub(step),
        4 => rng.pick(&[0, 1, 4096, MB, u64::MAX, 1 << 63]),
        5 => rng.pick(&[entry.at as u64, entry.sequence, entry.sequence + 1]),
        6 => rng.below(256) * 4096,
        _ => rng.next_u64(),
    }
}

struct Case<'a> {
    folder: &'a Path,
    file: &'a [u8],
    ring: &'a Ring,
    what: &'a str,
}

impl Case<'_> {
    fn judge(&self, seen: &mut Seen, meaningless: bool) {
        let what = self.what;
        let path = self.save("changed.vhdx", self.file);
        let ours = Disk::open(&path).and_then(|disk| Ok((allocated(&path)?, disk)));
        let (ranges, disk) = match ours {
            Ok(ours) => ours,
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::Changed, "{what}: {error}");
                assert!(!meaningless, "{what}: {error}");
                seen.refused += 1;
                return;
            }
        };
        seen.meaningless += u64::from(meaningless);
        let active = self.ring.active();
        let replayed = disk.files()[0].replayed_log_entries();
        assert_eq!(replayed, Some(active.len()), "{what}: {active:x?}");
        let head = active.last().unwrap();
        let end = (head.at + head.length) % self.ring.bytes.len();
        let next = |entry: &Found| entry.at == end && entry.sequence > head.sequence;
        assert!(!self.ring.entries().iter().any(next), "{what}: the next entry was dropped");
        let copy = self.save("copy.vhdx", self.file);
        self.lengthen(&copy, &active);
        let problem = match repaired(&copy).map(|raw| holds(&disk, &ranges, &copy, &raw)) {
            Some(Ok(())) => {
                seen.same += 1;
                return;
            }
            Some(Err(problem)) => Some(problem),
            None => None,
        };
        // If qemu replays other entries than the specification requires, it reads wrong content or
        // refuses the image. Given the right entries alone, it reads what we read.
        if let Some(problem) = &problem {
            assert_ne!(self.ring.by_qemu().as_ref(), Some(&active), "{what}: {problem}");
        }
        let copy = self.save("alone.vhdx", &self.alone(&active));
        self.lengthen(&copy, &active);
        match repaired(&copy).map(|raw| holds(&disk, &ranges, &copy, &raw)) {
            Some(Ok(())) => seen.same_alone += 1,
            Some(Err(problem)) => panic!("{what}: {problem}, of {active:x?} alone"),
            None if problem.is_none() => seen.qemu_refused += 1,
            None => panic!("{what}: {problem:?}, and qemu refuses {active:x?} alone"),
        }
    }

    /// Writes a file with holes for zeros.
    fn save(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.join(name);
        let mut file = File::create(&path).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        for (i, part) in bytes.chunks(64 << 10).enumerate() {
            if part.iter().any(|byte| *byte != 0) {
                file.seek(SeekFrom::Start((i as u64) << 16)).unwrap();
                file.write_all(part).unwrap();
            }
        }
        path
    }

    /// Makes a file as long as the log says, which qemu 10 does not do itself (it rounds an
    /// unaligned LastFileOffset up and extends the file, and forgets to do so for an aligned one).
    fn lengthen(&self, path: &Path, active: &[Found]) {
        let last = number(&self.ring.get(active.last().unwrap().at + 56, 8));
        // Anything longer than that is of no use to these disks.
        if (self.file.len() as u64..1 << 30).contains(&last) {
            let file = File::options().write(true).open(path).unwrap();
            file.set_len(last.next_multiple_of(MB)).unwrap();
        }
    }

    /// The file with nothing but these entries in its log, from the beginning of the ring on, and
    /// with the file offsets of the head, since qemu looks at those of every entry.
    fn alone(&self, active: &[Found]) -> Vec<u8> {
        let mut log = vec![0; self.ring.bytes.len()];
        let offsets = self.ring.get(active.last().unwrap().at + 48, 16);
        let mut at = 0;
        for entry in active {
            let mut bytes = self.ring.get(entry.at, entry.length);
            put(&mut bytes, 12, [0; 4]);
            put(&mut bytes, 48, &offsets);
            store_crc(&mut bytes);
            put(&mut log, at, &bytes);
            at += entry.length;
        }
        let mut file = self.file.to_vec();
        put(&mut file, self.ring.offset, log);
        file
    }
}

fn allocated(path: &Path) -> Result<Vec<ByteRange>, vhdx_rct::Error> {
    changes(path, Baseline::Allocated).map(|answer| answer.ranges)
}

/// Lets qemu replay the log of a file, and converts it; None if it refuses to.
fn repaired(path: &Path) -> Option<PathBuf> {
    let raw = path.with_extension("raw");
    let runs = |arguments: &[&str]| {
        Command::new("qemu-img").args(arguments).output().unwrap().status.success()
    };
    let done = runs(&["check", "-r", "all", "-f", "vhdx", "-T", "unsafe", text(path)])
        && runs(&["convert", "-f", "vhdx", "-O", "raw", text(path), text(&raw)]);
    done.then_some(raw)
}

/// Checks that our ranges contain those of the repaired copy, and that the content is the same.
fn holds(disk: &Disk, ranges: &[ByteRange], copy: &Path, raw: &Path) -> Result<(), String> {
    let theirs = allocated(copy).map_err(|error| error.to_string())?;
    for their in &theirs {
        let held = |our: &ByteRange| our.offset <= their.offset && their.end() <= our.end();
        if !ranges.iter().any(held) {
            return Err(format!("{their:?} is missing from {ranges:?}"));
        }
    }
    let ranges: Vec<_> = ranges.iter().map(|range| range.offset..range.end()).collect();
    compare_with_raw(disk, raw, &ranges)
}
