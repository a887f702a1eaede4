//! Numbers on the command line.

use std::num::NonZeroUsize;
use std::time::Duration;

/// The units, all binary, with the bits that each shifts by.
const UNITS: [(&str, &str, u32); 4] =
    [("kib", "k", 10), ("mib", "m", 20), ("gib", "g", 30), ("tib", "t", 40)];

/// Parses a whole number, decimal or hexadecimal after `0x`, with at most one unit.
pub fn number(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let unit = UNITS.iter().find_map(|(long, short, shift)| {
        Some((lower.strip_suffix(long).or_else(|| lower.strip_suffix(short))?, *shift))
    });
    let (digits, shift) = unit.unwrap_or((&lower, 0));
    let (digits, radix) = digits.strip_prefix("0x").map_or((digits, 10), |digits| (digits, 16));
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err("expected a whole number with at most one of the units K, M, G, T, KiB, MiB, GiB and TiB, \
                    such as 4096, 64K, 2MiB or 0x1000"
            .into());
    }
    let number = u64::from_str_radix(digits, radix).ok();
    number
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "expected a number below 16 EiB".into())
}

/// Parses a number of things.
pub fn count(text: &str) -> Result<usize, String> {
    Ok(usize::try_from(number(text)?).unwrap_or(usize::MAX))
}

/// Parses a number of things, at least one.
pub fn positive_count(text: &str) -> Result<NonZeroUsize, String> {
    NonZeroUsize::new(count(text)?).ok_or_else(|| "expected at least 1".into())
}

/// Parses a duration in seconds, which may have a fraction.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "expected a number of seconds, such as 30 or 0.5".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_decimal_hexadecimal_and_binary_units() {
        for (text, expected) in [
            ("0", 0),
            ("4096", 4096),
            ("007", 7),
            ("0x1000", 4096),
            ("0XfF", 255),
            ("0xb", 11),
            ("0x1B", 27),
            ("64K", 64 << 10),
            ("64k", 64 << 10),
            ("1KiB", 1 << 10),
            ("3m", 3 << 20),
            ("3MiB", 3 << 20),
            ("3mib", 3 << 20),
            ("2G", 2 << 30),
            ("2GIB", 2 << 30),
            ("5T", 5 << 40),
            ("5TiB", 5 << 40),
            ("0x10M", 16 << 20),
            ("16777215T", 16_777_215 << 40),
            ("18446744073709551615", u64::MAX),
            ("0xFFFFFFFFFFFFFFFF", u64::MAX),
        ] {
            assert_eq!(number(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn rejects_malformed_and_excessive_numbers() {
        for text in [
            "", "K", "KiB", "0x", "0xK", "1X", "1B", "1KB", "1Kb", "1Ki", "1iB", "1KK", "1KiBiB",
            "1 K", " 1", "1 ", "+1", "-1", "1.5G", "1e3", "1_000", "0b1", "x10", "00x1", "0x1g1",
            "٣",
        ] {
            let error = number(text).unwrap_err();
            assert!(error.contains("whole number"), "{text}: {error}");
        }
        for text in ["16777216T", "18446744073709551616", "0x10000000000000000", "0x1000000T"] {
            assert!(number(text).unwrap_err().contains("16 EiB"), "{text}");
        }
        assert!(positive_count("0").is_err() && positive_count("0x0K").is_err());
        assert_eq!(positive_count("1K").unwrap().get(), 1024);
    }

    #[test]
    fn parses_seconds() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for text in ["", "-1", "nan", "inf", "1s"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
