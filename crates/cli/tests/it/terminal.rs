//! What comes from an image does not reach the terminal as it is, and does not block the tool.

use crate::tool::{disks, run_in};
use std::fs;

/// A name with an escape sequence: ESC, and the single character that means the same.
const NAME: &str = "\u{1b}[31m\u{9b}1m";

fn replace_utf16(bytes: &mut [u8], from: &str, to: &str) {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let (from, to) = (utf16(from), utf16(to));
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(&from)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + from.len()].copy_from_slice(&to);
    }
}

/// The child's locator names a parent that is not there, with an escape sequence in its name.
#[test]
fn escapes_control_characters_of_images() {
    let directory = disks();
    let child = directory.path().join("child.avhdx");
    let mut bytes = fs::read(&child).unwrap();
    replace_utf16(&mut bytes, "base.vhdx", &format!("{NAME}x"));
    fs::write(&child, bytes).unwrap();
    for (args, escaped) in [
        (&["changes", "child.avhdx", "--since", "*"][..], "\\u{1b}[31m\\u{9b}1m"),
        (&["changes", "child.avhdx", "--since", "*", "--format", "json"], "\\u{9b}1m"),
        (&["info", "child.avhdx"], "\\u{1b}[31m\\u{9b}1m"),
        (&["info", "child.avhdx", "--check"], "\\u{1b}[31m\\u{9b}1m"),
        (&["info", "child.avhdx", "--format", "json"], "\\u001b[31m\\u009b1m"),
    ] {
        let run = run_in(directory.path(), args);
        let all = run.out + &run.err;
        assert!(all.contains(escaped), "{args:?}: {all}");
        let unsafe_one = all.chars().find(|&c| c.is_control() && c != '\n');
        assert_eq!(unsafe_one, None, "{args:?}: {all:?}");
    }
}

#[test]
fn escapes_control_characters_of_the_command_line() {
    let directory = disks();
    for args in [
        &["changes", NAME, "--since", "*"][..],
        &["changes", NAME, "--since", "*", "--format", "json"],
        &["changes", "child.avhdx", "--since", NAME],
        &["changes", "child.avhdx", "--since", "*", "--offset", NAME],
        &["changes", "child.avhdx", "--since", "*", "--offset", NAME, "--format", "json"],
        &["map", "child.avhdx", "--since", "*", "-o", &format!("{NAME}/x")],
    ] {
        let run = run_in(directory.path(), args);
        let all = run.out + &run.err;
        assert!(run.status > 0 && all.lines().count() == 1, "{args:?}: {all}");
        assert!(!all.chars().any(|c| c.is_control() && c != '\n'), "{args:?}: {all:?}");
    }
}

/// No program ever writes to it.
#[cfg(unix)]
#[test]
fn rejects_pipes_without_waiting() {
    let directory = disks();
    let made =
        std::process::Command::new("mkfifo").arg(directory.path().join("pipe")).status().unwrap();
    assert!(made.success());
    for args in [
        &["inspect", "pipe"][..],
        &["info", "pipe"],
        &["changes", "pipe", "--since", "*"],
        &["map", "child.avhdx", "--since", "*", "-o", "pipe"],
    ] {
        assert_eq!(run_in(directory.path(), args).status, 1, "{args:?}");
    }
}
