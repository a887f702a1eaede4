//! Changes to the bytes of a structure.

use crate::ask::CrossCheck;
use crate::media::Image;
use arbitrary::Arbitrary;
use dearbitrary::Dearbitrary;
use vhdx_rct_fixtures::vhdx::{MB, PAGE};

/// The maximum number of patches that one input applies.
pub const MAX_PATCHES: usize = 64;

/// The input of a target that changes one file and nothing else.
#[derive(Arbitrary, Dearbitrary, Debug, PartialEq)]
pub struct Patched<P> {
    pub file: u8,
    pub check: CrossCheck,
    pub patches: Vec<(P, Patch)>,
}

/// A value written into a structure.
#[derive(Arbitrary, Dearbitrary, Clone, Debug, PartialEq)]
pub struct Patch {
    pub at: u16,
    pub value: Value,
    /// Restores the checksum of the structure afterwards.
    pub restore: bool,
}

#[derive(Arbitrary, Dearbitrary, Clone, Debug, PartialEq)]
pub enum Value {
    Xor(u8),
    Byte(u8),
    Power(u8),
    BelowPower(u8),
    Word(u32),
    Long(u64),
    /// Megabytes, and the lowest three bits: a BAT entry.
    Megabytes(u8, u8),
    /// The first bytes of an array.
    Bytes(u8, [u8; 32]),
    /// Bytes from elsewhere in the structure: the number of bytes, and their offset.
    Copy(u8, u16),
}

/// One of the two copies of a structure, or both.
#[derive(Arbitrary, Dearbitrary, Clone, Copy, Debug, PartialEq)]
pub enum Copies {
    First,
    Second,
    Both,
}

impl Copies {
    /// Returns an area of each of these copies, at an offset in it, whose checksum covers
    /// `covered` bytes from the start of the copy.
    pub fn areas(self, copies: &[u64; 2], at: u64, length: u64, covered: usize) -> Vec<Area> {
        let starts = match self {
            Copies::First => &copies[..1],
            Copies::Second => &copies[1..],
            Copies::Both => copies,
        };
        let area = |&start| Area { start: start + at, length, covered: Some((start, covered)) };
        starts.iter().map(area).collect()
    }
}

/// Where patches go.
#[derive(Clone, Copy)]
pub struct Area {
    pub start: u64,
    pub length: u64,
    /// The start and length of the bytes that the checksum function gets, if there is a checksum.
    pub covered: Option<(u64, usize)>,
}

impl Area {
    pub fn plain(start: u64, length: u64) -> Self {
        Area { start, length, covered: None }
    }

    /// An area whose checksum covers its page.
    pub fn in_page(start: u64, length: u64) -> Self {
        Area { start, length, covered: Some((start / PAGE * PAGE, PAGE as usize)) }
    }
}

impl Patch {
    /// Writes the value; `store_checksum` gets the bytes that the checksum covers.
    pub fn apply(&self, image: &mut Image, area: Area, store_checksum: impl Fn(&mut [u8])) {
        let at = match area.length {
            0..=4096 => u64::from(self.at) % area.length,
            // Two bytes reach every part of a larger area.
            _ => u64::from(self.at).wrapping_mul(0x9E37_79B9) % area.length,
        };
        let aligned = |value: u64| (at & !7, value.to_le_bytes().to_vec());
        let (at, bytes) = match self.value {
            Value::Xor(bits) => (at, vec![image.get(area.start + at, 1)[0] ^ bits]),
            Value::Byte(byte) => (at, vec![byte]),
            Value::Power(bits) => aligned(1 << (bits % 64)),
            Value::BelowPower(bits) => aligned((1 << (bits % 64)) - 1),
            Value::Word(word) => (at & !3, word.to_le_bytes().to_vec()),
            Value::Long(value) => aligned(value),
            Value::Megabytes(count, state) => {
                aligned((u64::from(count) * MB) | u64::from(state % 8))
            }
            Value::Bytes(length, bytes) => (at, bytes[..=usize::from(length % 32)].to_vec()),
            Value::Copy(length, from) => {
                let from = u64::from(from) % area.length;
                (at, image.get(area.start + from, usize::from(length)))
            }
        };
        image.put(area.start + at, bytes);
        if let Some((start, length)) = area.covered.filter(|_| self.restore) {
            let mut bytes = image.get(start, length);
            store_checksum(&mut bytes);
            image.put(start, bytes);
        }
    }
}
