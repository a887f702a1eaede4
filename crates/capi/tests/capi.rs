//! Calls the C interface as a C program does.

use std::ffi::{CString, c_char};
use std::path::Path;
use std::ptr::{null, null_mut};
use vhdx_rct::{Baseline, ByteRange, ReturnValue, VirtualDiskChanges};
use vhdx_rct_capi::{
    Disk, Range, VHDX_RCT_ALLOW_UNCLEAN, VHDX_RCT_ID_SIZE, vhdx_rct_get_virtual_disk_changes,
    vhdx_rct_last_error, vhdx_rct_last_win32_code, vhdx_rct_needs_full_backup, vhdx_rct_newest_id,
};
use vhdx_rct_fixtures::rng::Rng;

const ID: &str = "rctX:e6fd24a8:8ef8:4a21:9394:f28867b17470:00000001";
const SIZE: u64 = 4 << 20;

fn testdata(name: &str) -> String {
    vhdx_rct_fixtures::testdata::directory().join(name).to_str().unwrap().to_owned()
}

/// Returns the library's own answer.
fn whole_answer(path: &str, since: Baseline) -> VirtualDiskChanges {
    vhdx_rct::Disk::open(path).unwrap().changes(since).collect().unwrap()
}

/// The results of a call.
#[derive(Debug, PartialEq)]
struct Answer {
    code: ReturnValue,
    ranges: Vec<ByteRange>,
    processed: u64,
    disk: Option<Disk>,
}

/// Calls with a buffer of `capacity` ranges, and checks that nothing is written after it.
fn ask(
    path: &[u8],
    limit: &[u8],
    target: Option<&str>,
    region: (u64, u64),
    capacity: usize,
) -> Answer {
    const NEVER: Range = Range { byte_offset: 0xAAAA, byte_length: 0xBBBB };
    let (path, limit) = (CString::new(path).unwrap(), CString::new(limit).unwrap());
    let target = target.map(|target| CString::new(target).unwrap());
    let mut ranges = vec![NEVER; capacity + 4];
    let (mut count, mut processed) = (capacity, 0xCCCC);
    let mut place =
        Disk { virtual_disk_id: [0; 16], virtual_size: 0, logical_sector_size: 0, granularity: 0 };
    // SAFETY: texts end in NUL, and the buffers have the sizes that are passed.
    let code = unsafe {
        vhdx_rct_get_virtual_disk_changes(
            path.as_ptr(),
            limit.as_ptr(),
            target.as_ref().map_or(null(), |target| target.as_ptr()),
            region.0,
            region.1,
            0,
            ranges.as_mut_ptr(),
            &mut count,
            &mut processed,
            &mut place,
        )
    };
    let disk = (place.virtual_size > 0).then_some(place);
    assert!(count <= capacity);
    assert!(ranges[capacity..].iter().all(|range| *range == NEVER), "written past the buffer");
    let found = ranges[..count]
        .iter()
        .map(|range| ByteRange { offset: range.byte_offset, length: range.byte_length });
    Answer { code, ranges: found.collect(), processed, disk }
}

fn last_error() -> String {
    // SAFETY: no buffer, of size 0.
    let length = unsafe { vhdx_rct_last_error(null_mut(), 0) };
    let mut text = vec![0_u8; length + 1];
    // SAFETY: the buffer has this size.
    unsafe { vhdx_rct_last_error(text.as_mut_ptr().cast::<c_char>(), text.len()) };
    assert_eq!(text.pop(), Some(0));
    String::from_utf8(text).unwrap()
}

#[test]
fn partial_answers_add_up_to_the_whole() {
    let child = testdata("child.avhdx");
    let mut random = Rng::new(8);
    for limit in [ID.to_owned(), "*".into(), format!("file:{}", testdata("base.vhdx"))] {
        let whole = whole_answer(&child, limit.parse().unwrap());
        assert!(!whole.ranges.is_empty());
        for _ in 0..20 {
            let (mut at, mut found) = (0, Vec::<ByteRange>::new());
            while at < SIZE {
                let length = random.range(1..SIZE - at + 1);
                let capacity = random.range(1..4) as usize;
                let part = ask(child.as_bytes(), limit.as_bytes(), None, (at, length), capacity);
                assert_eq!(part.code, ReturnValue::Completed, "{}", last_error());
                assert!(0 < part.processed && part.processed <= length);
                assert!(part.processed == length || part.ranges.len() == capacity);
                let disk = part.disk.unwrap();
                assert_eq!(disk.virtual_disk_id, *whole.disk.virtual_disk_id.as_bytes());
                assert_eq!((disk.virtual_size, disk.logical_sector_size), (SIZE, 512));
                assert_eq!(disk.granularity, whole.granularity);
                at += part.processed;
                for range in part.ranges {
                    match found.last_mut() {
                        Some(last) if last.end() == range.offset => last.length += range.length,
                        _ => found.push(range),
                    }
                }
            }
            assert_eq!(found, whole.ranges, "since {limit}");
        }
    }
}

#[test]
fn returns_codes_and_texts_of_failures() {
    let child = testdata("child.avhdx");
    let path = child.as_bytes();
    type Case<'a> = (&'a [u8], &'a [u8], Option<&'a str>, (u64, u64), usize, ReturnValue, u32);
    let cases: [Case<'_>; 7] = [
        (b"/nowhere", b"*", None, (0, 0), 1, ReturnValue::FileNotFound, 0),
        (path, b"rctX:1", None, (0, 0), 1, ReturnValue::InvalidParameter, 0xC03A_0029),
        (path, b"\xFF", None, (0, 0), 1, ReturnValue::InvalidParameter, 0),
        (path, b"*", None, (0, SIZE + 1), 1, ReturnValue::InvalidParameter, 0),
        (path, b"*", None, (1, u64::MAX), 1, ReturnValue::InvalidParameter, 0),
        (path, b"*", None, (0, SIZE), 0, ReturnValue::InvalidParameter, 0),
        (path, b"*", Some(ID), (0, SIZE), 1, ReturnValue::IncorrectDataType, 0),
    ];
    for (path, limit, target, region, capacity, code, win32) in cases {
        let answer = ask(path, limit, target, region, capacity);
        let failed = Answer { code, ranges: Vec::new(), processed: 0, disk: None };
        assert_eq!(answer, failed, "{}", last_error());
        assert_eq!(vhdx_rct_last_win32_code(), win32, "{}", last_error());
        assert!(last_error().len() > 20, "{}", last_error());
    }
    assert_eq!(vhdx_rct_needs_full_backup(), 0);
    let unknown = ID.replace("e6fd24a8", "e6fd24a9");
    let answer = ask(path, unknown.as_bytes(), None, (0, SIZE), 1);
    assert_eq!((answer.code, vhdx_rct_needs_full_backup()), (ReturnValue::InvalidState, 1));
    // Each thread has its own last failure.
    let here = last_error();
    std::thread::spawn(|| assert_eq!(last_error(), "")).join().unwrap();
    assert_eq!(last_error(), here);
}

fn null_if<T>(is_missing: bool, pointer: *mut T) -> *mut T {
    if is_missing { null_mut() } else { pointer }
}

#[test]
fn rejects_null_pointers() {
    let path = CString::new(testdata("child.avhdx")).unwrap();
    let limit = CString::new("*").unwrap();
    for missing in 0..6 {
        let mut ranges = [Range { byte_offset: 0, byte_length: 0 }; 2];
        let (mut count, mut processed) = (ranges.len(), 7);
        // SAFETY: texts end in NUL, and every other pointer is NULL or has the size that is passed.
        let code = unsafe {
            vhdx_rct_get_virtual_disk_changes(
                null_if(missing == 0, path.as_ptr().cast_mut()),
                null_if(missing == 1, limit.as_ptr().cast_mut()),
                null(),
                0,
                SIZE,
                0,
                null_if(missing == 2, ranges.as_mut_ptr()),
                null_if(missing == 3, &mut count),
                null_if(missing == 4, &mut processed),
                null_mut(),
            )
        };
        if missing == 5 {
            assert_eq!((code, count), (ReturnValue::Completed, 2));
            continue;
        }
        assert_eq!(code, ReturnValue::InvalidParameter, "argument {missing}");
        assert!(last_error().contains("to be a pointer, found NULL"), "{}", last_error());
    }
}

#[test]
fn cuts_error_text_at_a_character_boundary() {
    ask(testdata("child.avhdx").as_bytes(), "größer".as_bytes(), None, (0, 0), 1);
    let whole = last_error();
    assert!(whole.contains('ö'), "{whole}");
    for size in 0..whole.len() + 4 {
        let mut buffer = vec![0xEE_u8; size + 2];
        // SAFETY: the buffer is larger than the size that is passed.
        let length = unsafe { vhdx_rct_last_error(buffer.as_mut_ptr().cast(), size) };
        assert_eq!(length, whole.len());
        assert_eq!(buffer[size..], [0xEE, 0xEE], "written past the buffer of {size}");
        if size > 0 {
            let end = buffer.iter().position(|&byte| byte == 0).expect("a NUL");
            let text = std::str::from_utf8(&buffer[..end]).expect("whole characters");
            assert!(whole.starts_with(text) && end + 4 > size.min(whole.len() + 1), "{text}");
        }
    }
}

fn newest(path: &str, flags: u32) -> (ReturnValue, String) {
    let path = CString::new(path).unwrap();
    let mut id = [0x55_u8; VHDX_RCT_ID_SIZE];
    // SAFETY: the text ends in NUL, and the buffer has the size of an id.
    let code = unsafe { vhdx_rct_newest_id(path.as_ptr(), flags, id.as_mut_ptr().cast()) };
    let end = id.iter().position(|&byte| byte == 0).unwrap();
    (code, String::from_utf8(id[..end].to_vec()).unwrap())
}

#[test]
fn returns_newest_id() {
    assert_eq!(newest(&testdata("child.avhdx"), 0), (ReturnValue::Completed, ID.into()));
    let untracked = newest(&testdata("base.vhdx"), VHDX_RCT_ALLOW_UNCLEAN);
    let known = vhdx_rct::Disk::open(testdata("base.vhdx")).unwrap().newest_id();
    assert_eq!(
        untracked,
        (ReturnValue::Completed, known.map_or(String::new(), |id| id.to_string()))
    );
    assert_eq!(newest("/nowhere", 0), (ReturnValue::FileNotFound, String::new()));
    assert_eq!(newest(&testdata("child.avhdx"), 2).0, ReturnValue::InvalidParameter);
    assert!(last_error().contains("flags"), "{}", last_error());
}

/// A damaged table has no id to keep, and a query that needs the table requires a full backup.
#[test]
fn returns_no_newest_id_of_a_damaged_table() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("base.vhdx").to_str().unwrap().to_owned();
    for name in ["base.vhdx", "base.vhdx.rct"] {
        std::fs::copy(testdata(name), directory.path().join(name)).unwrap();
    }
    let (code, id) = newest(&disk, 0);
    assert!(code == ReturnValue::Completed && id.len() == VHDX_RCT_ID_SIZE - 1, "{id}");
    let table = format!("{disk}.rct");
    std::fs::write(&table, vec![0; std::fs::read(&table).unwrap().len()]).unwrap();
    assert_eq!(newest(&disk, 0), (ReturnValue::Completed, String::new()));
    let answer = ask(disk.as_bytes(), id.as_bytes(), None, (0, 0), 1);
    assert_ne!(answer.code, ReturnValue::Completed);
    assert_eq!(vhdx_rct_needs_full_backup(), 1, "{}", last_error());
}

#[cfg(unix)]
#[test]
fn accepts_paths_that_are_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let directory = tempfile::tempdir().unwrap();
    let name = |bytes: &[u8]| directory.path().join(std::ffi::OsStr::from_bytes(bytes));
    for (from, to) in [("child.avhdx", b"ch\xFFld.avhdx".as_slice()), ("base.vhdx", b"base.vhdx")] {
        std::fs::copy(testdata(from), name(to)).unwrap();
    }
    let (child, base) = (name(b"ch\xFFld.avhdx"), directory.path().join("base.vhdx"));
    let limit = [b"file:".as_slice(), base.as_os_str().as_bytes()].concat();
    let answer = ask(child.as_os_str().as_bytes(), &limit, None, (0, SIZE), 100);
    assert_eq!(answer.code, ReturnValue::Completed, "{}", last_error());
    let since = Baseline::File(testdata("base.vhdx").into());
    let right = whole_answer(&testdata("child.avhdx"), since);
    assert_eq!(answer.ranges, right.ranges);
}

/// cbindgen does not write these.
#[test]
fn header_has_the_constants() {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/vhdx_rct.h");
    let header = std::fs::read_to_string(header).unwrap();
    for (name, value) in [
        ("VHDX_RCT_ALLOW_UNCLEAN", VHDX_RCT_ALLOW_UNCLEAN as usize),
        ("VHDX_RCT_ID_SIZE", VHDX_RCT_ID_SIZE),
    ] {
        assert!(header.contains(&format!("#define {name} {value}\n")), "{name} {value}");
    }
    assert_eq!(VHDX_RCT_ID_SIZE, ID.len() + 1);
}
