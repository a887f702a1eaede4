//! A log as a ring of bytes, with the entries that the specification replays and those that qemu
//! replays. Shares no code with the library, and is short rather than fast.

use vhdx_rct_fixtures::vhdx::{PAGE, store_crc};

#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub at: usize,
    pub length: usize,
    pub tail: usize,
    pub sequence: u64,
}

/// The log of a file that is in use.
pub struct Ring {
    /// Where it is in the file.
    pub offset: usize,
    pub bytes: Vec<u8>,
    guid: [u8; 16],
}

const SECTOR: usize = PAGE as usize;

/// The number in the first eight bytes, or in all if there are fewer.
pub fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes.get(i).copied().unwrap_or(0)))
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    number(&bytes[at..at + 4]) as usize
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    number(&bytes[at..at + 8])
}

impl Ring {
    pub fn of(file: &[u8]) -> Self {
        let headers = [64 << 10, 128 << 10].map(|at| &file[at..][..SECTOR]);
        let valid = headers.into_iter().filter(|header| sealed(header) == **header);
        let header = valid.max_by_key(|header| u64_at(header, 8)).unwrap();
        let (offset, length) = (u64_at(header, 72) as usize, u32_at(header, 68));
        let guid = std::array::from_fn(|i| header[48 + i]);
        Ring { offset, bytes: file[offset..][..length].to_vec(), guid }
    }

    /// Bytes from `at` on, around the end.
    pub fn get(&self, at: usize, length: usize) -> Vec<u8> {
        self.bytes.iter().cycle().skip(at % self.bytes.len()).take(length).copied().collect()
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        let length = self.bytes.len();
        bytes.iter().enumerate().for_each(|(i, byte)| self.bytes[(at + i) % length] = *byte);
    }

    /// An entry of this log with a possible length and the right checksum.
    fn whole(&self, at: usize) -> Option<Found> {
        let header = self.get(at, 64);
        let length = u32_at(&header, 8);
        let possible = header.starts_with(b"loge")
            && header[32..48] == self.guid
            && (SECTOR..=self.bytes.len()).contains(&length)
            && length.is_multiple_of(SECTOR);
        if !possible {
            return None;
        }
        let bytes = self.get(at, length);
        let (tail, sequence) = (u32_at(&header, 12), u64_at(&header, 16));
        (sealed(&bytes) == bytes).then_some(Found { at, length, tail, sequence })
    }

    /// The descriptors that the header counts; None if they cannot be.
    fn descriptors(&self, entry: &Found) -> Option<Vec<Vec<u8>>> {
        let count = u32_at(&self.get(entry.at, 64), 24);
        let descriptor = |i| self.get(entry.at + 64 + 32 * i, 32);
        (count <= entry.length / 32).then(|| (0..count).map(descriptor).collect())
    }

    /// Whether the descriptors are right, as far as both look at them.
    fn has_right_descriptors(&self, entry: &Found) -> bool {
        let right = |d: &Vec<u8>| {
            (d.starts_with(b"desc") || d.starts_with(b"zero") && u64_at(d, 8).is_multiple_of(PAGE))
                && u64_at(d, 16).is_multiple_of(PAGE)
                && u64_at(d, 24) == entry.sequence
        };
        entry.sequence > 0 && self.descriptors(entry).is_some_and(|all| all.iter().all(right))
    }

    /// A whole entry that breaks no rule.
    fn valid(&self, at: usize) -> Option<Found> {
        let entry = self.whole(at).filter(|entry| self.has_right_descriptors(entry))?;
        let descriptors = self.descriptors(&entry)?;
        let data = descriptors.iter().filter(|d| d.starts_with(b"desc")).count();
        let first = (64 + 32 * descriptors.len()).div_ceil(SECTOR);
        let right = |i| {
            let sector = self.get(at + i * SECTOR, SECTOR);
            let sequence = [&sector[SECTOR - 4..], &sector[4..8]].concat();
            sector.starts_with(b"data") && u64_at(&sequence, 0) == entry.sequence
        };
        let fits = (first + data) * SECTOR <= entry.length
            && entry.tail < self.bytes.len()
            && entry.tail.is_multiple_of(SECTOR);
        (fits && (first..first + data).all(right)).then_some(entry)
    }

    /// Every whole entry.
    pub fn entries(&self) -> Vec<Found> {
        (0..self.bytes.len()).step_by(SECTOR).filter_map(|at| self.whole(at)).collect()
    }

    /// The active sequence of [MS-VHDX] 2.3.2, searched from every sector on.
    pub fn active(&self) -> Vec<Found> {
        let mut best: Vec<Found> = Vec::new();
        for at in (0..self.bytes.len()).step_by(SECTOR) {
            let Some(first) = self.valid(at) else { continue };
            let mut sequence = vec![first];
            let mut last = &sequence[0];
            while let Some(next) = self.valid((last.at + last.length) % self.bytes.len()) {
                if next.sequence != last.sequence.wrapping_add(1) {
                    break;
                }
                sequence.push(next);
                last = &sequence[sequence.len() - 1];
            }
            let (tail, head) = (last.tail, last.sequence);
            let Some(tail) = sequence.iter().position(|entry| entry.at == tail) else { continue };
            if best.last().is_none_or(|best| head > best.sequence) {
                best = sequence.split_off(tail);
            }
        }
        best
    }

    /// The entries that qemu 10 replays, by vhdx_log_search in its block/vhdx-log.c, or None if it fails.
    ///
    /// It ignores tails; it accepts any number in the second entry of a sequence; it prefers the
    /// sequence with the greatest *first* number; it begins no sequence at an entry that failed to
    /// continue another one; and it splits a sequence that wraps around the end.
    pub fn by_qemu(&self) -> Option<Vec<Found>> {
        let (mut read, mut best) = (0, Vec::<Found>::new());
        loop {
            let tail = read;
            let mut sequence: Vec<Found> = self.step(&mut read, None)?.into_iter().collect();
            let mut number = None;
            while !sequence.is_empty()
                && let Some(next) = self.step(&mut read, number)?
            {
                number = Some(next.sequence);
                sequence.push(next);
            }
            let newer = best.first().is_none_or(|best| {
                sequence.first().is_some_and(|first| first.sequence > best.sequence)
            });
            if newer {
                best = sequence;
            }
            if read < tail {
                return Some(best);
            }
        }
    }

    /// The entry at `read`, which moves on. An error in the descriptors ends everything.
    fn step(&self, read: &mut usize, before: Option<u64>) -> Option<Option<Found>> {
        let at = *read;
        *read = (at + SECTOR) % self.bytes.len();
        let header = self.get(at, 64);
        let (length, count) = (u32_at(&header, 8), u32_at(&header, 24));
        let entry = Found { at, length, tail: u32_at(&header, 12), sequence: u64_at(&header, 16) };
        let valid = header.starts_with(b"loge")
            && header[32..48] == self.guid
            && length <= self.bytes.len()
            && length.is_multiple_of(SECTOR)
            && entry.sequence > 0
            && 32 * count <= length
            && before.is_none_or(|before| entry.sequence == before.wrapping_add(1));
        if !valid {
            return Some(None);
        }
        if !self.has_right_descriptors(&entry) {
            return None;
        }
        let covered = length.max((64 + 32 * count).next_multiple_of(SECTOR));
        *read = (at + covered) % self.bytes.len();
        let bytes = self.get(at, covered);
        Some((sealed(&bytes) == bytes).then_some(entry))
    }
}

/// The same bytes with the right checksum.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    store_crc(&mut bytes);
    bytes
}
