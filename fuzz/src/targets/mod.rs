//! The targets: each a function of an input, and seeds for it.

pub mod bat_bitmap;
pub mod chain;
pub mod header_regions;
pub mod log;
pub mod metadata;
pub mod rct;
pub mod rct_id;
pub mod snapshot_json;
pub mod vhds;

/// One target.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($($name:ident)*) => {
        /// All of them.
        pub const ALL: &[Target] = &[
            $(Target { name: stringify!($name), run: $name::run, seeds: $name::seeds },)*
        ];
    };
}

targets! { header_regions log metadata bat_bitmap rct vhds snapshot_json rct_id chain }
