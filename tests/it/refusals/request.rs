//! Invalid questions.

use super::support::*;
use std::time::Instant;
use vhdx_rct::{CancelToken, ChangeQuery, get_virtual_disk_changes};

const SIZE: u64 = 4 * MB;
const TIMED_OUT: Code = (32772, None);
const CANCELLED: Code = (32768, None);
const ID: &str = "rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:00000001";
const GUID: &str = "5bfde23b-ce75-4303-b54f-6c18394f105c";

/// A local disk, for the function that takes only the method's parameters.
fn on_disk() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.vhdx");
    Image::new(&single()).save(&path);
    (directory, path)
}

fn in_memory() -> ChangeQuery {
    open_single(&Image::new(&single())).unwrap().changes(Baseline::Allocated)
}

#[test]
fn rejects_regions_outside_the_disk() {
    let (_directory, path) = on_disk();
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
        let name = format!("{length} bytes at {offset}");
        let answer = get_virtual_disk_changes(&path, "*", None, offset, length);
        must_refuse_case(&name, answer, INVALID_PARAMETER, REQUEST, &offset.to_string());
    }
}

#[test]
#[expect(clippy::reversed_empty_ranges, reason = "a region that ends before it begins")]
fn rejects_ranges_outside_the_disk() {
    let queries = [
        ("reversed", in_memory().region(2..1)),
        ("after the end", in_memory().region(SIZE + 1..)),
        ("across the end", in_memory().region(..=SIZE)),
        ("up to 2^64", in_memory().region(0..=u64::MAX)),
    ];
    for (name, query) in queries {
        must_refuse_case(name, query.collect(), INVALID_PARAMETER, REQUEST, "4194304");
    }
}

#[test]
fn rejects_malformed_ids() {
    let (_directory, path) = on_disk();
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
        let shown = format!("\"{}\"", id.escape_debug());
        let answer = get_virtual_disk_changes(&path, id, None, 0, SIZE);
        must_refuse_case(&shown, answer, MALFORMED_ID, REQUEST, &shown);
    }
    for target in ["", "latest", "5bfde23b-ce75"] {
        let answer = get_virtual_disk_changes(&path, "*", Some(target), 0, SIZE);
        must_refuse_case(target, answer, MALFORMED_ID, REQUEST, &format!("\"{target}\""));
    }
}

#[test]
fn rejects_ids_of_the_wrong_kind() {
    let (_directory, path) = on_disk();
    let name = path.to_str().unwrap();
    for id in [GUID.to_owned(), format!("{{{GUID}}}"), GUID.to_uppercase()] {
        let answer = get_virtual_disk_changes(&path, &id, None, 0, SIZE);
        must_refuse(answer, WRONG_KIND, (Subject::Disk, name), GUID);
    }
    let answer = get_virtual_disk_changes(&path, "*", Some(ID), 0, SIZE);
    must_refuse(answer, WRONG_KIND, REQUEST, ID);
    let answer = get_virtual_disk_changes(&path, "*", Some(GUID), 0, SIZE);
    must_refuse(answer, INVALID_PARAMETER, (Subject::Disk, name), "VHD Set");
}

#[test]
fn rejects_zero_ranges_and_expired_limits() {
    let cancelled = CancelToken::default();
    cancelled.cancel();
    let question = |query: ChangeQuery, code, says| {
        must_refuse(query.collect(), code, REQUEST, says);
    };
    question(in_memory().max_ranges(0), INVALID_PARAMETER, "0");
    question(in_memory().deadline(Instant::now()), TIMED_OUT, "deadline");
    question(in_memory().cancel_token(cancelled.clone()), CANCELLED, "cancelled");
    // The opening has limits of its own, but the memory is that of all questions.
    let opening = |set: &dyn Fn(&mut OpenOptions) -> &mut OpenOptions, code, says| {
        let files = MemoryStorage::new().with(DISK, Image::new(&single()).bytes);
        let mut options = options(Arc::new(files));
        set(&mut options);
        let ask = |disk: vhdx_rct::Disk| disk.changes(Baseline::Allocated).collect();
        must_refuse(options.open(DISK).and_then(ask), code, REQUEST, says);
    };
    opening(&|options| options.deadline(Instant::now()), TIMED_OUT, "deadline");
    opening(&|options| options.cancel_token(cancelled.clone()), CANCELLED, "cancelled");
    opening(&|options| options.memory_budget(0), OUT_OF_MEMORY, "memory");
    opening(&|options| options.memory_budget(31), OUT_OF_MEMORY, "31");
}

#[test]
fn rejects_paths_that_are_not_files() {
    let (directory, path) = on_disk();
    let gone = directory.path().join("gone.vhdx");
    let ask = |path: &std::path::Path| get_virtual_disk_changes(path, "*", None, 0, 0);
    let about = |path| (Subject::Disk, std::path::Path::to_str(path).unwrap());
    must_refuse(ask(&gone), FILE_NOT_FOUND, about(&gone), "");
    must_refuse(ask(directory.path()), CORRUPT, about(directory.path()), "directory");
    assert!(ask(&path.join("disk.vhdx")).is_err(), "a file is not a directory");
    assert!(ask("".as_ref()).is_err());
}

#[test]
fn rejects_reads_and_seeks_outside_the_disk() {
    use std::io::{ErrorKind, Seek, SeekFrom};
    let disk = open_single(&Image::new(&single())).unwrap();
    for (offset, length) in [(SIZE, 1), (SIZE - 1, 2), (u64::MAX, 1), (1 << 63, 4096)] {
        let error = disk.read_exact_at(&mut vec![0; length], offset).unwrap_err();
        must_refuse(Err(error), INVALID_PARAMETER, THE_DISK, &offset.to_string());
    }
    disk.read_exact_at(&mut [], SIZE).unwrap();
    let mut reader = disk.reader();
    assert_eq!(reader.seek(SeekFrom::End(-1)).unwrap(), SIZE - 1);
    for to in [SeekFrom::Current(-(SIZE as i64)), SeekFrom::End(i64::MIN)] {
        assert_eq!(reader.seek(to).unwrap_err().kind(), ErrorKind::InvalidInput, "{to:?}");
    }
    assert_eq!(reader.stream_position().unwrap(), SIZE - 1);
}
