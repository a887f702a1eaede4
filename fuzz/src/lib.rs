//! The fuzz targets as functions of an input, and their shared helpers.
//!
//! The crate under test keeps its parsers to itself, so each target puts its input where the
//! structure lies in a file that the fixture builder made, restores the checksums that the
//! input asks to have restored, and asks questions about that file.

pub mod ask;
pub mod bytes;
pub mod media;
pub mod targets;

#[cfg(test)]
mod tests {
    /// Every seed must pass, and must get past the checksums into what it is a seed for.
    #[test]
    fn seeds_pass() {
        for target in crate::targets::ALL {
            for (at, seed) in (target.seeds)().iter().enumerate() {
                println!("{} {at}", target.name);
                (target.run)(seed);
            }
        }
    }
}
