//! Windows paths, taken apart on any operating system: a parent locator's, a snapshot's.

use std::path::{Path, PathBuf};

/// A path as Windows wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WindowsPath<'a>(pub &'a str);

impl<'a> WindowsPath<'a> {
    fn components(self) -> impl DoubleEndedIterator<Item = &'a str> {
        self.0.split(['\\', '/']).filter(|part| !part.is_empty() && *part != ".")
    }

    /// The last component, where it can be a file's name and nothing else: no stream, no
    /// device, no climbing.
    pub fn file_name(self) -> Option<&'a str> {
        self.components().next_back().filter(|name| is_plain(name))
    }

    /// The path inside `folder` (or above it: a relative path may climb), where it is relative.
    pub fn relative_to(self, folder: &Path) -> Option<PathBuf> {
        if self.0.starts_with(['\\', '/']) || self.file_name().is_none() {
            return None;
        }
        let mut path = folder.to_owned();
        for part in self.components() {
            if part != ".." && !is_plain(part) {
                return None;
            }
            path.push(part);
        }
        Some(path)
    }

    /// The path itself, where this machine could have it: a drive's or a volume's, on Windows.
    /// A network path is not followed: opening what a stranger's file names would send the
    /// user's credentials there. Nor is a device's.
    pub fn on_this_machine(self) -> Option<PathBuf> {
        let drive = self.0.as_bytes().get(1..3) == Some(b":\\");
        let volume =
            self.0.get(..11).is_some_and(|start| start.eq_ignore_ascii_case(r"\\?\Volume{"));
        (cfg!(windows) && (drive || volume) && self.file_name().is_some())
            .then(|| PathBuf::from(self.0))
    }
}

fn is_plain(part: &str) -> bool {
    part != ".." && !part.contains([':', '\0', '/', '\\'])
}

/// Do two file names differ by letter case at most?
pub(crate) fn same_name(a: &str, b: &str) -> bool {
    a.chars().flat_map(char::to_lowercase).eq(b.chars().flat_map(char::to_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_relative_paths() {
        let name = |path| WindowsPath(path).file_name();
        assert_eq!(name(r"C:\VMs\Base disk.vhdx"), Some("Base disk.vhdx"));
        assert_eq!(name(r".\base.vhdx"), Some("base.vhdx"));
        assert_eq!(
            name(r"\\?\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\x\b.vhdx"),
            Some("b.vhdx")
        );
        assert_eq!(name(r"\\server\share\b.vhdx"), Some("b.vhdx"));
        for bad in ["", r"\", r"C:\..", "b.vhdx:stream", "C:", "a\0b"] {
            assert_eq!(name(bad), None, "{bad:?}");
        }
        let relative = |path| WindowsPath(path).relative_to(Path::new("dir"));
        assert_eq!(relative(r".\base.vhdx"), Some(PathBuf::from("dir/base.vhdx")));
        assert_eq!(relative(r"..\base.vhdx"), Some(PathBuf::from("dir/../base.vhdx")));
        assert_eq!(relative(r"\base.vhdx"), None);
        assert_eq!(relative("/dev/zero"), None);
        assert_eq!(relative(r"C:\base.vhdx"), None);
        assert_eq!(relative(r"\\.\PhysicalDrive0"), None);
    }

    #[test]
    fn letter_case_is_ignored() {
        assert!(same_name("BASE-Ä.VHDX", "base-ä.vhdx"));
        assert!(!same_name("base.vhdx", "base.vhd"));
    }
}
