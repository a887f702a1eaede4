//! The data of an error besides its message, and the serialized forms of answers.

use crate::common::faulty::{Call, Fault, Faulty, Reaction};
use std::error::Error as _;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use vhdx_rct::{Baseline, Disk, Error, ErrorKind, OpenOptions, ReturnValue, Subject};

const CHILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/child.avhdx");

fn open(fault: Fault) -> Disk {
    OpenOptions::new().storage(Faulty::local(fault)).open(CHILD).unwrap()
}

fn fails(at: u64, kind: io::ErrorKind, hits: fn(Call, &Path) -> bool) -> Fault {
    Fault::from(at, Reaction::Fail(kind), hits)
}

fn reads_child(call: Call, path: &Path) -> bool {
    call == Call::Read && path.ends_with("child.avhdx")
}

fn opens_base(call: Call, path: &Path) -> bool {
    call == Call::Open && path.ends_with("base.vhdx")
}

fn reads_base(call: Call, path: &Path) -> bool {
    call == Call::Read && path.ends_with("base.vhdx")
}

/// Two reads open a file; the later ones belong to questions.
const OPENED: u64 = 2;

#[test]
fn the_source_of_an_error_is_its_io_error() {
    let disk = open(fails(OPENED, io::ErrorKind::BrokenPipe, reads_child));
    let error = disk.changes(Baseline::Parent).collect().unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::Io, Subject::Disk));
    assert_eq!(error.path(), Some(Path::new(CHILD)));
    assert_eq!(error.io_kind(), Some(io::ErrorKind::BrokenPipe));
    let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(
        (source.kind(), source.to_string().as_str()),
        (io::ErrorKind::BrokenPipe, "injected")
    );
}

#[test]
fn io_errors_are_visible_through_parents() {
    type Hits = fn(Call, &Path) -> bool;
    let cases: [(io::ErrorKind, Hits, ErrorKind); 4] = [
        (io::ErrorKind::PermissionDenied, opens_base, ErrorKind::ParentAccessDenied),
        (io::ErrorKind::PermissionDenied, reads_base, ErrorKind::ParentAccessDenied),
        (io::ErrorKind::BrokenPipe, reads_base, ErrorKind::ParentUnusable),
        (io::ErrorKind::WouldBlock, opens_base, ErrorKind::ParentUnusable),
    ];
    for (io_kind, hits, kind) in cases {
        let disk = open(fails(0, io_kind, hits));
        let error = disk.changes(Baseline::Allocated).collect().unwrap_err();
        assert_eq!((error.kind(), error.subject()), (kind, Subject::Parent), "{error}");
        assert_eq!(error.io_kind(), Some(io_kind), "{error}");
        assert!(error.path().unwrap().ends_with("base.vhdx"));
        let parents = error.source().unwrap().downcast_ref::<Error>().unwrap();
        assert_eq!(parents.io_kind(), Some(io_kind));
        let cause = parents.source().unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!(cause.kind(), io_kind);
        // The disk keeps it, and every question gets the same.
        let kept = disk.missing_parent().unwrap();
        assert_eq!((kept.kind(), kept.to_string()), (kind, error.to_string()));
    }
}

#[test]
fn errors_without_an_io_error_have_no_io_kind() {
    let disk = Disk::open(CHILD).unwrap();
    let error = disk.changes(Baseline::File(CHILD.into())).collect().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidParameter);
    assert!(error.io_kind().is_none() && error.source().is_none());
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::Other);
}

#[test]
fn clones_are_the_same_error() {
    let disk = open(fails(0, io::ErrorKind::PermissionDenied, opens_base));
    let error = disk.changes(Baseline::Allocated).collect().unwrap_err();
    let clone = error.clone();
    let all = |error: &Error| {
        let sources = std::iter::successors(error.source(), |error| (*error).source());
        let texts: Vec<String> = sources.map(ToString::to_string).collect();
        let codes = (error.return_value(), error.win32_code(), error.needs_full_backup());
        (error.to_string(), format!("{error:?}"), error.kind(), error.subject(), codes, texts)
    };
    assert_eq!(all(&clone), all(&error));
    assert_eq!((clone.path(), clone.io_kind()), (error.path(), error.io_kind()));
    drop(error);
    assert!(clone.source().is_some());
}

/// `read_exact` and others repeat a read that was interrupted, and this one stays so forever.
#[test]
fn io_errors_made_of_errors_are_never_interrupted() {
    let disk = open(fails(OPENED, io::ErrorKind::Interrupted, reads_child));
    let error = disk.changes(Baseline::Parent).collect().unwrap_err();
    assert_eq!(error.io_kind(), Some(io::ErrorKind::Interrupted));
    let converted = io::Error::from(error);
    assert_eq!(converted.kind(), io::ErrorKind::Other);
    let inner = converted.get_ref().unwrap().downcast_ref::<Error>().unwrap();
    assert_eq!(inner.kind(), ErrorKind::Io);
    let error = disk.reader().read_exact(&mut [0; 512]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Other);
    assert!(error.get_ref().unwrap().downcast_ref::<Error>().is_some());

    for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::TimedOut, io::ErrorKind::Other] {
        let disk = open(fails(OPENED, kind, reads_child));
        let mut reader = disk.reader();
        reader.seek(SeekFrom::End(-512)).unwrap();
        assert_eq!(reader.read(&mut [0; 512]).unwrap_err().kind(), kind);
    }
}

#[test]
fn return_values_convert_from_their_numbers() {
    let known: Vec<u32> =
        (0..=100_000).filter(|&code| ReturnValue::try_from(code).is_ok()).collect();
    let refusals = 32768..=32779;
    assert_eq!(known, [0, 4096].into_iter().chain(refusals).collect::<Vec<u32>>());
    for code in known {
        assert_eq!(ReturnValue::try_from(code).map(ReturnValue::code), Ok(code));
    }
    assert_eq!(ReturnValue::try_from(32775), Ok(ReturnValue::InvalidState));
    for code in [1, 4095, 4097, 32767, 32780, u32::MAX] {
        assert_eq!(ReturnValue::try_from(code), Err(code));
    }
}

#[cfg(feature = "serde")]
mod stored {
    use super::{CHILD, Disk};
    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::{Value, json};
    use std::fmt::Debug;
    use vhdx_rct::{
        Baseline, ByteRange, CheckReport, Extent, ExtentKind, FileIdentity, JobState, KnownIds,
        NextBaseline, RctId, Snapshot, SnapshotCatalog, SnapshotId, TableEvidence, Uuid,
        VirtualDiskChanges, Warning,
    };

    /// Stores a value and reads it again; returns what was stored.
    fn stored<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> Value {
        let text = serde_json::to_string(value).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    const GUID: &str = "5bfde23b-ce75-4303-b54f-6c18394f105c";

    #[test]
    fn serializes_ids_and_baselines_as_text() {
        let guid: Uuid = GUID.parse().unwrap();
        let id = RctId::new(guid, 0x1F);
        let text = "rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:0000001f";
        assert_eq!(stored(&id), text);
        assert_eq!(stored(&SnapshotId(guid)), GUID);
        let baselines = [
            (Baseline::Rct(id), text.to_owned()),
            (Baseline::Snapshot(SnapshotId(guid)), GUID.to_owned()),
            (Baseline::File("/disks/b ä.vhdx".into()), "file:/disks/b ä.vhdx".to_owned()),
            (Baseline::DataWriteGuid(guid), format!("dwg:{GUID}")),
            (Baseline::Parent, "parent".to_owned()),
            (Baseline::Allocated, "*".to_owned()),
        ];
        for (baseline, text) in baselines {
            assert_eq!(stored(&baseline), text.as_str());
        }
        assert!(serde_json::from_str::<Baseline>("\"yesterday\"").is_err());
        assert!(serde_json::from_str::<RctId>("\"rctX:1\"").is_err());
    }

    /// The text of such a path would be that of another one.
    #[cfg(unix)]
    #[test]
    fn rejects_serializing_a_path_that_is_not_utf_8() {
        use std::os::unix::ffi::OsStrExt;
        let path = std::ffi::OsStr::from_bytes(b"/disks/\xFF.vhdx");
        assert!(serde_json::to_string(&Baseline::File(path.into())).is_err());
    }

    #[test]
    fn answers_round_trip_through_serde() {
        let disk = Disk::open(CHILD).unwrap();
        let changes = disk.changes(Baseline::Allocated).collect().unwrap();
        let shown = stored::<VirtualDiskChanges>(&changes);
        assert_eq!(shown["ReturnValue"], 0);
        assert_eq!(shown["ChangedByteOffsets"], json!(changes.changed_byte_offsets()));
        assert_eq!(shown["ChangedByteLengths"], json!(changes.changed_byte_lengths()));
        assert_eq!(shown["VirtualDisk"]["Granularity"], changes.granularity);
        for wrong in [json!({"ReturnValue": 32768}), json!({"ChangedByteLengths": [1]})] {
            let mut shown = shown.clone();
            shown.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
            assert!(serde_json::from_value::<VirtualDiskChanges>(shown).is_err(), "{wrong}");
        }
        stored::<Vec<ByteRange>>(&changes.ranges);
        let extents: Vec<Extent> = disk.extents(..).unwrap().map(Result::unwrap).collect();
        assert!(extents.iter().any(|extent| extent.host_offset.is_some()));
        stored(&extents);
        [ExtentKind::Data, ExtentKind::Zero, ExtentKind::Hole]
            .iter()
            .for_each(|kind| drop(stored(kind)));
        let known: Vec<KnownIds> = disk.known_ids();
        assert!(!known.is_empty());
        stored(&known);
        let next: Vec<NextBaseline> = disk.next_baselines().unwrap();
        assert!(next.len() == 3);
        stored(&next);
        stored(&disk.identity());
        stored::<FileIdentity>(disk.files()[0].identity());
        stored::<Vec<Option<TableEvidence>>>(&disk.check_tables().unwrap());
        stored::<CheckReport>(&disk.check().unwrap());
        stored(&JobState::Suspended);
    }

    #[test]
    fn warnings_and_catalogs_round_trip_through_serde() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("child.avhdx");
        for name in ["base.vhdx", "child.avhdx", "base.vhdx.rct"] {
            std::fs::copy(
                std::path::Path::new(CHILD).with_file_name(name),
                folder.path().join(name),
            )
            .unwrap();
        }
        std::fs::write(folder.path().join("child.avhdx.rct"), b"no table").unwrap();
        let answer = Disk::open(path).unwrap().changes(Baseline::Allocated).collect().unwrap();
        assert!(!answer.warnings.is_empty());
        stored::<Vec<Warning>>(&answer.warnings);
        stored(&answer);
        let json = format!(
            r#"[{{"SnapshotId":"{GUID}","SnapshotPath":"C:\\a.avhdx","ParentPathsList":[],
            "ResilientChangeTrackingId":"rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:00000001"}}]"#
        );
        let catalog = SnapshotCatalog::from_json(json.as_bytes()).unwrap();
        stored::<Snapshot>(&catalog.snapshots[0]);
        stored(&catalog);
    }
}
