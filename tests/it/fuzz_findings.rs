//! Inputs that fuzzing found, minimized.

use vhdx_rct::{ErrorKind, rct, vhd_set};
use vhdx_rct_fixtures::rct::RctBuilder;
use vhdx_rct_fixtures::vhds::VhdsBuilder;

/// A file that ends before the last structure is shown up to its end. An empty file and a set
/// without its signature are refused.
#[test]
fn inspect_shows_files_of_any_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let whole = VhdsBuilder::new("disk_1.avhdx").bytes();
    for length in [8, 519, 0x1_0000, 0x1_0FFF, 0x2_0FFF, 0x2_1000, 0x2_1001, 0x4_0000] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let found = vhd_set::inspect(&path).unwrap();
        assert_eq!(found.file_length, length as u64);
        let shown = found.fields.iter().map(|field| field.offset + field.length).max();
        assert!(shown.unwrap_or(0) <= length as u64, "{length:#x}: shown up to {shown:x?}");
        assert!(length >= 0x2_1000 || !found.notes.is_empty(), "{length:#x}: no note");
    }
    for length in [0, 1, 7] {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(vhd_set::inspect(&path).unwrap_err().kind(), ErrorKind::NotVirtualDisk);
    }
    RctBuilder::new(4 << 20).write(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in [1, 0xFFF, 0x1000, 0x4FFF, 0x5000, 0x8FFF, 0x9000, 0x9FFF] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let found = rct::inspect(&path).unwrap();
        assert!(
            found
                .notes
                .iter()
                .any(|note| note.starts_with("expected ") && note.contains(", found ")),
            "{length:#x}"
        );
    }
    std::fs::write(&path, []).unwrap();
    assert_eq!(rct::inspect(&path).unwrap_err().kind(), ErrorKind::Truncated);
}
