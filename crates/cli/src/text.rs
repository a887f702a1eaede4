//! Text for people and terminals, and the first bytes of a file, which show its format.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A size in the largest binary unit that leaves at least 1, exact where that is short.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let exponent = ((63 - bytes.leading_zeros()) / 10).min(UNITS.len() as u32);
    let unit = 1_u64 << (10 * exponent);
    let name = UNITS[exponent as usize - 1];
    if bytes.is_multiple_of(unit) {
        return format!("{} {name}", bytes / unit);
    }
    format!("{:.2} {name}", bytes as f64 / unit as f64)
}

/// A size for people, and in bytes if that adds something.
pub fn human_and_exact(bytes: u64) -> String {
    if bytes < 1024 { human(bytes) } else { format!("{} ({bytes} bytes)", human(bytes)) }
}

/// A share in percent, with enough digits not to look like zero.
pub fn percent(part: u64, whole: u64) -> String {
    let percent = part as f64 * 100.0 / (whole.max(1)) as f64;
    match percent {
        p if p == 0.0 || p >= 10.0 => format!("{p:.0} %"),
        p if p >= 0.01 => format!("{p:.2} %"),
        _ => "less than 0.01 %".into(),
    }
}

/// "1 range", "2 ranges".
pub fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// Text with its control characters escaped: names in images must not reach a terminal as they
/// are.
pub fn plain(text: &str) -> String {
    let escaped =
        |c: char| if c.is_control() { c.escape_default().collect() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

/// JSON text with the control characters escaped that JSON allows in strings: DEL and C1, which
/// some terminals obey.
pub fn plain_json(json: String) -> String {
    let is_unsafe = |c: char| c.is_control() && c >= '\u{7f}';
    if !json.contains(is_unsafe) {
        return json;
    }
    let escaped = |c: char| match is_unsafe(c) {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    json.chars().map(escaped).collect()
}

/// Returns a file's first eight bytes, or all if it has fewer.
pub fn first_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(path)?.take(8).read_to_end(&mut start)?;
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_sizes_and_shares_and_escapes_text() {
        for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.50 KiB")] {
            assert_eq!(human(bytes), text);
        }
        assert_eq!(human(64 << 40), "64 TiB");
        assert_eq!(human(u64::MAX), "16.00 EiB");
        assert_eq!(percent(1, 3), "33 %");
        assert_eq!(percent(1, 1000), "0.10 %");
        assert_eq!(percent(1, 1 << 40), "less than 0.01 %");
        assert_eq!(percent(0, 5), "0 %");
        assert_eq!(plain("größe\u{1b}[31m\n"), "größe\\u{1b}[31m\\n");
    }

    #[test]
    fn escapes_control_characters_in_json() {
        let text = "größe\u{7f}\u{9b}31m\u{1b}\n";
        let pretty = serde_json::to_string_pretty(&[text]).unwrap();
        let plain = plain_json(pretty.clone());
        assert!(
            plain.contains("\\u007f\\u009b31m") && !plain.contains(['\u{7f}', '\u{9b}', '\u{1b}'])
        );
        assert_eq!(serde_json::from_str::<[String; 1]>(&plain).unwrap(), [text]);
        assert_eq!(plain.lines().count(), pretty.lines().count());
    }
}
