//! Windows paths from parent locators and snapshots, parsed on any operating system.

use std::path::{Path, PathBuf};

/// A path as Windows wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WindowsPath<'a>(pub &'a str);

impl<'a> WindowsPath<'a> {
    fn components(self) -> impl DoubleEndedIterator<Item = &'a str> {
        self.0.split(['\\', '/']).filter(|part| !part.is_empty() && *part != ".")
    }

    /// Returns the last component, if it is a plain file name: not a stream, a device, or `..`.
    pub(crate) fn file_name(self) -> Option<&'a str> {
        self.components().next_back().filter(|name| is_plain(name))
    }

    /// Returns the path inside `directory` (or above it, through `..`), if it is relative.
    pub(crate) fn relative_to(self, directory: &Path) -> Option<PathBuf> {
        if self.0.starts_with(['\\', '/']) || self.file_name().is_none() {
            return None;
        }
        let mut path = directory.to_owned();
        for part in self.components() {
            if part != ".." && !is_plain(part) {
                return None;
            }
            path.push(part);
        }
        Some(path)
    }

    /// Returns the path itself, if it can exist on this machine: a drive's or a volume's, on
    /// Windows. A network path is not followed: opening a path from an untrusted file would send
    /// the user's credentials there. A device path is not followed either.
    pub(crate) fn on_this_machine(self) -> Option<PathBuf> {
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

/// Returns whether two file names are equal except for letter case.
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
