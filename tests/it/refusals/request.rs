//! Questions that cannot be asked.

use super::support::*;
use crate::common::image::Image;
use crate::common::memory::Memory;
use std::time::Instant;
use vhdx_rct::{ChangeQuery, Limit, get_virtual_disk_changes};
use vhdx_rct_fixtures::vhdx::MB;

const SIZE: u64 = 4 * MB;
const ID: &str = "rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:00000001";
const GUID: &str = "5bfde23b-ce75-4303-b54f-6c18394f105c";

/// A disk of this machine, for the function that takes nothing but the method's parameters.
fn on_disk() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhdx");
    Image::new(&single()).save(&path);
    (folder, path)
}

fn in_memory() -> ChangeQuery {
    query(Memory::default().with(DISK, Image::new(&single()).bytes), DISK, Limit::Allocated)
}

#[test]
fn regions_outside_the_disk() {
    let (_folder, path) = on_disk();
    let regions = [
        (0, SIZE + 1),
        (0, u64::MAX),
        (SIZE, 1),
        (SIZE + 1, 0),
        (SIZE - 1, 2),
        (1, SIZE),
        (u64::MAX, 0),
        (u64::MAX, 1),
        (u64::MAX, u64::MAX),
        (1 << 63, 1 << 63),
    ];
    for (offset, length) in regions {
        let answer = get_virtual_disk_changes(&path, "*", None, offset, length);
        must_refuse(answer, INVALID_PARAMETER, "", &[&offset.to_string()]);
    }
}

#[test]
#[expect(clippy::reversed_empty_ranges, reason = "a region that ends before it begins")]
fn regions_as_ranges() {
    let bounds =
        [in_memory().region(2..1), in_memory().region(SIZE + 1..), in_memory().region(..=SIZE)];
    for query in bounds.into_iter().chain([in_memory().region(0..=u64::MAX)]) {
        must_refuse(query.run(), INVALID_PARAMETER, "", &["4194304"]);
    }
}

#[test]
fn malformed_ids() {
    let (_folder, path) = on_disk();
    let ids = [
        "",
        " ",
        "**",
        "latest",
        "rctX",
        "rctX:",
        "rct:5bfde23b:ce75:4303:b54f:6c18394f105c:00000001",
        "rctX:5bfde23b-ce75-4303-b54f-6c18394f105c:00000001",
        "rctX:5bfde23b:ce75:4303:b54f:6c18394f105c",
        "rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:1",
        "rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:000000001",
        "rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:0000000g",
        "rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:-0000001",
        "rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:00000001\n",
        "rctX:5bfde23bc:e75:4303:b54f:6c18394f105c:00000001",
        "rctX:ünïcödé",
        "{5bfde23b-ce75-4303-b54f-6c18394f105c",
        "5bfde23b-ce75-4303-b54f-6c18394f105",
        "5bfde23b-ce75-4303-b54f-6c18394f105cc",
    ];
    for id in ids {
        let shown = id.escape_debug().to_string();
        let answer = get_virtual_disk_changes(&path, id, None, 0, SIZE);
        must_refuse(answer, MALFORMED_ID, "", &[&format!("\"{shown}\"")]);
    }
    for target in ["", "latest", "5bfde23b-ce75"] {
        let answer = get_virtual_disk_changes(&path, "*", Some(target), 0, SIZE);
        must_refuse(answer, MALFORMED_ID, "", &[&format!("\"{target}\"")]);
    }
}

#[test]
fn ids_of_the_wrong_kind() {
    let (_folder, path) = on_disk();
    let name = path.to_str().unwrap();
    for id in [GUID.to_owned(), format!("{{{GUID}}}"), GUID.to_uppercase()] {
        let answer = get_virtual_disk_changes(&path, &id, None, 0, SIZE);
        must_refuse(answer, WRONG_KIND, name, &[GUID]);
    }
    let answer = get_virtual_disk_changes(&path, "*", Some(ID), 0, SIZE);
    must_refuse(answer, WRONG_KIND, "", &[ID]);
    let answer = get_virtual_disk_changes(&path, "*", Some(GUID), 0, SIZE);
    must_refuse(answer, INVALID_PARAMETER, "", &["VHD Set"]);
}

#[test]
fn no_room_and_no_time() {
    must_refuse(in_memory().max_ranges(0).run(), INVALID_PARAMETER, "", &["0"]);
    must_refuse(in_memory().deadline(Instant::now()).run(), (32772, None), "", &["deadline"]);
    must_refuse(in_memory().memory_budget(0).run(), (32778, None), "", &["memory"]);
    must_refuse(in_memory().memory_budget(31).run(), (32778, None), "", &["31"]);
}

#[test]
fn no_baseline() {
    let files = Memory::default().with(DISK, Image::new(&single()).bytes);
    let query = ChangeQuery::new(DISK).storage(std::sync::Arc::new(files));
    must_refuse(query.run(), INVALID_PARAMETER, "", &["baseline"]);
}

#[test]
fn paths_that_are_no_files() {
    let (folder, path) = on_disk();
    let gone = folder.path().join("gone.vhdx");
    let under_a_file = path.join("disk.vhdx");
    let ask = |path: &std::path::Path| get_virtual_disk_changes(path, "*", None, 0, 0);
    must_refuse(ask(&gone), FILE_NOT_FOUND, gone.to_str().unwrap(), &[]);
    must_refuse(ask(folder.path()), CORRUPT, folder.path().to_str().unwrap(), &["folder"]);
    assert!(ask(&under_a_file).is_err());
    assert!(ask("".as_ref()).is_err());
}

/// Content outside the disk, and a cursor before it.
#[test]
fn reads_outside_the_disk() {
    use std::io::{ErrorKind, Seek, SeekFrom};
    let disk = in_memory().disk().unwrap();
    for (offset, length) in [(SIZE, 1), (SIZE - 1, 2), (u64::MAX, 1), (1 << 63, 4096)] {
        let error = disk.read_at(&mut vec![0; length], offset).unwrap_err();
        assert_eq!((error.return_value().code(), error.win32_code()), INVALID_PARAMETER);
    }
    disk.read_at(&mut [], SIZE).unwrap();
    let mut reader = disk.reader();
    assert_eq!(reader.seek(SeekFrom::End(-1)).unwrap(), SIZE - 1);
    for to in [SeekFrom::Current(-(SIZE as i64)), SeekFrom::End(i64::MIN)] {
        assert_eq!(reader.seek(to).unwrap_err().kind(), ErrorKind::InvalidInput, "{to:?}");
    }
    assert_eq!(reader.stream_position().unwrap(), SIZE - 1);
}
