//! Known bugs of other readers, found by running them: each has a test here, or one elsewhere that
//! the list names.

use crate::common::changes;
use crate::common::codes::PARENT_MISMATCH;
use crate::common::image::Image;
use crate::common::memory::{MemoryStorage, WithFile};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;
use vhdx_rct::{Baseline, ByteRange, Disk, OpenOptions};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::record::Stack;
use vhdx_rct_fixtures::vhdx::log::{Descriptor, RawEntry, raw_entry};
use vhdx_rct_fixtures::vhdx::{
    Block, DirtyLog, LogPlan, MB, ParentLocator, Target, VhdxBuilder, put,
};

const HERE: &str = "tests/it/reader_bugs.rs";
const LOG: &str = "tests/it/malformed_input/log.rs";
const REFUSED_LOG: &str = "tests/it/refusals/log.rs";
const REAL: &str = "tests/it/real_images.rs";

/// Each bug, and the tests that this library does not have it.
const BUGS: [(&str, &[(&str, &str)]); 7] = [
    (
        "five of them give zeros, and success, for a disk whose log is dirty",
        &[
            (HERE, "does_not_read_zeros_from_a_dirty_image"),
            (REAL, "content_is_what_independent_readers_agreed_on"),
        ],
    ),
    (
        "one reads a data descriptor's offset at the wrong place",
        &[(HERE, "reads_a_data_descriptors_offset_after_its_leading_bytes")],
    ),
    (
        "one rejects real chains, since it compares GUIDs in another byte order",
        &[
            (HERE, "compares_linkage_in_windows_byte_order"),
            (REAL, "children_changes_match_the_index"),
        ],
    ),
    (
        "one panics on a huge DescriptorCount",
        &[(REFUSED_LOG, "rejects_entries_with_broken_fields_or_descriptors")],
    ),
    (
        "one aborts on a zero descriptor of 2^62 bytes",
        &[(LOG, "bounds_zero_descriptors_of_maximum_length")],
    ),
    (
        "one loops for a minute",
        &[
            (LOG, "rejects_entries_inside_one_another"),
            (LOG, "bounds_entries_that_form_a_cycle"),
            (LOG, "reads_a_log_of_a_gibibyte_a_few_times"),
        ],
    ),
    (
        "one writes to the image when it opens it",
        &[(HERE, "does_not_write_to_a_dirty_image"), (REAL, "images_are_read_and_never_written")],
    ),
];

#[test]
fn every_known_bug_has_tests() {
    for (bug, tests) in BUGS {
        assert!(!tests.is_empty(), "{bug}");
        for (file, test) in tests {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let text = std::fs::read_to_string(path).unwrap();
            let found = text.contains(&format!("#[test]\nfn {test}() {{\n"));
            assert!(found, "{bug}: {file} has no test {test}");
        }
    }
}

/// A disk whose BAT, metadata and data are in the log alone.
fn dirty() -> VhdxBuilder {
    let targets = vec![Target::Bat, Target::Metadata, Target::RegionTables, Target::Payload(1)];
    let log = DirtyLog { targets, ..DirtyLog::default() };
    VhdxBuilder::new(4 * MB).block(1, Block::Full(Fill(1))).log(LogPlan::Dirty(log))
}

#[test]
fn does_not_read_zeros_from_a_dirty_image() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhdx");
    dirty().write(&path).unwrap();
    let disk = Disk::open(&path).unwrap();
    let mut content = vec![0; 4 << 20];
    disk.read_exact_at(&mut content, 0).unwrap();
    assert!(content == Stack(vec![dirty().layer()]).read(0, 4 << 20));
    assert!(content[1 << 20..2 << 20].iter().all(|&byte| byte != 0));
    let answer = changes(&path, Baseline::Allocated).unwrap();
    assert_eq!(answer.ranges, [ByteRange::from(MB..2 * MB)]);
}

/// The first eight bytes of the page, which the descriptor stores before the offset, are a valid
/// offset, too.
#[test]
fn reads_a_data_descriptors_offset_after_its_leading_bytes() {
    let disk = VhdxBuilder::new(4 * MB).block(1, Block::Full(Fill(1)));
    let at = Image::new(&disk).at;
    let payload = at.payload[&1];
    let mut page = vec![0x5A; 4096];
    put(&mut page, 0, (payload + 8192).to_le_bytes());
    put(&mut page, 4092, 7_u32.to_le_bytes());
    let entry = RawEntry {
        sequence: 7,
        log_guid: at.log_guid,
        flushed_file_offset: at.file_length,
        last_file_offset: at.file_length,
        descriptors: vec![Descriptor::data(payload + 4096, page.as_slice())],
        ..RawEntry::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhdx");
    disk.log(LogPlan::Raw(vec![(0, raw_entry(&entry))])).write(&path).unwrap();
    let mut content = vec![0; 12288];
    Disk::open(&path).unwrap().read_exact_at(&mut content, MB).unwrap();
    let mut right = Fill(1).bytes(MB, 12288);
    put(&mut right, 4096, page);
    assert!(content == right);
}

#[test]
fn compares_linkage_in_windows_byte_order() {
    const BASE: &str = "/disks/base.vhdx";
    const DISK: &str = "/disks/disk.avhdx";
    // In the byte order of the header, and in that of the locator.
    let bytes = *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xAA\xBB\xCC\xDD\xEE\xFF";
    let windows = "{33221100-5544-7766-8899-AABBCCDDEEFF}";
    let others = "{00112233-4455-6677-8899-AABBCCDDEEFF}";
    let base = Image::new(&VhdxBuilder::new(4 * MB).data_write_guid(Uuid::from_bytes_le(bytes)));
    assert_eq!(base.bytes[(64 << 10) + 32..][..16], bytes);
    let ask = |linkage: &str| {
        let mut locator = ParentLocator::new(Uuid::nil()).relative(r".\base.vhdx");
        locator.entries[0].1 = linkage.into();
        let child = VhdxBuilder::new(4 * MB).parent(locator).block(2, Block::Full(Fill(1)));
        let files = MemoryStorage::new().with(BASE, base.bytes.clone());
        let files = files.with(DISK, Image::new(&child).bytes);
        let disk = OpenOptions::new().storage(Arc::new(files)).open(DISK)?;
        disk.changes(Baseline::File(BASE.into())).collect()
    };
    assert_eq!(ask(windows).unwrap().ranges.len(), 1);
    let error = ask(others).unwrap_err();
    assert_eq!((error.return_value().code(), error.win32_code()), PARENT_MISMATCH, "{error}");
}

#[test]
fn does_not_write_to_a_dirty_image() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhdx");
    dirty().write(&path).unwrap();
    let state = || {
        let metadata = path.metadata().unwrap();
        (std::fs::read(&path).unwrap(), metadata.modified().unwrap(), metadata.len())
    };
    let before = state();
    let disk = Disk::open(&path).unwrap();
    let file = &disk.files()[0];
    assert!(file.replayed_log_entries() > Some(0) && !file.closed_cleanly());
    assert_eq!(disk.check().unwrap().total, 0);
    changes(&path, Baseline::Allocated).unwrap();
    Disk::open(&path).unwrap().read_exact_at(&mut [0; 4096], MB).unwrap();
    assert!(state() == before);
    assert_eq!(folder.path().read_dir().unwrap().count(), 1, "no file beside it");
}
