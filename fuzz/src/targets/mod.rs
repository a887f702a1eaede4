//! The targets. Each has an input type, `run`, which returns whether a question was answered, and
//! seeds.

pub mod bat_bitmap;
pub mod chain;
pub mod header_regions;
pub mod log;
pub mod metadata;
pub mod rct;
pub mod rct_id;
pub mod snapshot_json;
pub mod vhds;

use arbitrary::{Arbitrary, Unstructured};
use dearbitrary::Dearbitrary;
use std::fmt::Debug;

pub struct Target {
    pub name: &'static str,
    /// Decodes an input as libFuzzer's entry point does, and runs it.
    pub run: fn(&[u8]) -> bool,
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($($name:ident)*) => {
        pub const ALL: &[Target] = &[$(Target {
            name: stringify!($name),
            run: |bytes| $name::run(&decode::<$name::Input>(bytes)),
            seeds: $name::seeds,
        }),*];
    };
}

targets! { header_regions log metadata bat_bitmap rct vhds snapshot_json rct_id chain }

fn decode<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> T {
    assert!(bytes.len() >= T::size_hint(0).0, "libFuzzer's entry point skips so short an input");
    T::arbitrary_take_rest(Unstructured::new(bytes)).expect("a seed")
}

/// Returns the bytes that decode to this input.
fn encode<T>(input: &T) -> Vec<u8>
where
    T: for<'a> Arbitrary<'a> + Dearbitrary + Debug + PartialEq,
{
    let bytes = input.dearbitrary_first().finish();
    assert_eq!(decode::<T>(&bytes), *input);
    bytes
}

/// Returns the element at any index.
fn pick<T>(all: &[T], index: u8) -> &T {
    &all[usize::from(index) % all.len()]
}
