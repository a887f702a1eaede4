//! VHD Sets: random ones against the builder's record, the catalogue in all its forms, and what
//! contradicts.
#![allow(clippy::single_range_in_vec_init)] // a list of ranges may have one

mod common;

use common::{RealImages, ranges};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};
use vhdx_rct::vhd_set::VhdSet;
use vhdx_rct::{
    ChangeQuery, ErrorKind, Limit, ReturnValue, Snapshot, SnapshotCatalogue,
    get_virtual_disk_changes,
};
use vhdx_rct_fixtures::rct::{HeaderPlan, id_text};
use vhdx_rct_fixtures::set::{Fate, RandomSet, Taken};
use vhdx_rct_fixtures::vhds::{
    CreationTime, Encoding, JsonStyle, Snapshot as Told, VhdsBuilder, catalogue_json,
};

const SEEDS: u64 = 220;

/// What the pages say that a question must give: ranges, or a refusal.
fn expected(
    set: &RandomSet,
    from: usize,
    to: Option<usize>,
    told: bool,
) -> Result<Vec<std::ops::Range<u64>>, u32> {
    let limit = &set.snapshots[from];
    // A reference-only snapshot is known from a catalogue alone, a kept one by its file's name.
    let known = |taken: &Taken| match taken.fate {
        Fate::Kept => true,
        Fate::ReferenceOnly => told,
        Fate::Deleted => false,
    };
    if let Some(target) = to.map(|to| &set.snapshots[to]) {
        match target.fate {
            Fate::Kept => {}
            Fate::ReferenceOnly if told => return Err(32777),
            _ => return Err(32773),
        }
    }
    let newer = to.is_some_and(|to| from > to);
    match limit.fate {
        _ if to == Some(from) => Ok(Vec::new()),
        _ if !known(limit) => Err(32773),
        Fate::Kept if !newer => Ok(set.written(from, to)),
        // Its file is not in the target's chain, and the target never heard of its RCT id.
        _ if newer => Err(if told { 32775 } else { 32773 }),
        _ => Ok(set.units(from, to)),
    }
}

fn catalogue(set: &RandomSet) -> SnapshotCatalogue {
    SnapshotCatalogue::from_json(&catalogue_json(&set.catalogue, JsonStyle::default())).unwrap()
}

#[test]
fn random_sets_answer_as_the_record_says() {
    let mut answered = 0;
    for seed in 0..SEEDS {
        let folder = tempfile::tempdir().unwrap();
        let set = RandomSet::random(folder.path(), seed).unwrap();
        let given = seed % 3 == 0;
        let told = given || set.beside;
        for from in 0..set.snapshots.len() {
            for to in std::iter::once(None).chain((0..set.snapshots.len()).map(Some)) {
                let mut query =
                    ChangeQuery::new(&set.path).since(Limit::Snapshot(set.snapshots[from].id));
                if given {
                    query = query.snapshots(catalogue(&set));
                }
                if let Some(to) = to {
                    query = query.target(set.snapshots[to].id);
                }
                let found = query.run().map(|answer| answer.ranges);
                let found = found.map_err(|error| error.return_value().code());
                let expected = expected(&set, from, to, told);
                assert_eq!(
                    found,
                    expected.map(|all| ranges(&all)),
                    "seed {seed}: {from} to {to:?}"
                );
                answered += u32::from(found.is_ok());
            }
        }
    }
    assert!(answered > 500, "only {answered} questions had an answer");
}

#[test]
fn an_rct_id_and_a_file_are_limits_of_a_set_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut sets = (0..50).map(|seed| RandomSet::random(folder.path(), seed).unwrap());
    let set = sets
        .find(|set| set.snapshots.first().is_some_and(|taken| taken.fate == Fate::Kept))
        .unwrap();
    let rct = set.snapshots[0].rct;
    let answer =
        get_virtual_disk_changes(&set.path, &id_text(rct.0, rct.1), None, 0, set.size).unwrap();
    assert_eq!(answer.ranges, ranges(&set.units(0, None)));
    let file = folder.path().join(format!("disk_{}.avhdx", set.snapshots[0].id));
    let answer = ChangeQuery::new(&set.path).since(Limit::File(file)).run().unwrap();
    assert_eq!(answer.ranges, ranges(&set.written(0, None)));
    // The method's texts, with and without braces.
    let id = set.snapshots[0].id;
    for text in [id.to_string(), id.braced().to_string().to_uppercase()] {
        let answer = get_virtual_disk_changes(&set.path, &text, Some(&text), 0, set.size).unwrap();
        assert!(answer.ranges.is_empty());
    }
    let error =
        get_virtual_disk_changes(&set.path, "*", Some(&id_text(rct.0, rct.1)), 0, 0).unwrap_err();
    assert_eq!(error.return_value(), ReturnValue::IncorrectDataType);
}

#[test]
fn the_real_set_opens() {
    let Some(images) = RealImages::unpack("set", |name| name == "rsvd.vhds") else { return };
    let set = VhdSet::open(images.path("rsvd.vhds")).unwrap();
    assert_eq!(set.active_name(), images.index["rsvd.vhds"]["active_file"].as_str().unwrap());
    assert_eq!(set.sequence_number(), images.index["rsvd.vhds"]["sequence"]);
    assert!(set.unknown_records().is_empty(), "{:?}", set.unknown_records());
    // Its active file is not there.
    let error =
        ChangeQuery::new(images.path("rsvd.vhds")).since(Limit::Allocated).run().unwrap_err();
    assert_eq!(error.return_value(), ReturnValue::NotAvailable, "{error}");
}

#[test]
fn set_files_that_break_the_format_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.vhds");
    let open = |builder: VhdsBuilder| {
        builder.write(&path).unwrap();
        VhdSet::open(&path)
    };
    let good = || VhdsBuilder::new("x_1.avhdx");
    for plan in [
        HeaderPlan::Identical,
        HeaderPlan::FirstBroken,
        HeaderPlan::SecondBroken,
        HeaderPlan::FirstStale,
    ] {
        assert_eq!(open(good().headers(plan)).unwrap().active_name(), "x_1.avhdx", "{plan:?}");
    }
    let kind = |builder| open(builder).err().map(|error| error.kind());
    assert_eq!(kind(good().headers(HeaderPlan::BothBroken)), Some(ErrorKind::Corrupt));
    for name in [r"..\x.avhdx", r"C:\x.avhdx", "a/b.avhdx", "x.avhdx:stream"] {
        assert_eq!(kind(VhdsBuilder::new(name)), Some(ErrorKind::Corrupt), "{name}");
    }
    assert_eq!(open(good().header_extra(0x24, &[1])).unwrap().unknown_records().len(), 1);
    assert_eq!(open(good().data_extra(40, &[1])).unwrap().unknown_records().len(), 1);
}

/// An id that only unread records could tell of is "not supported", not "unknown".
#[test]
fn unread_records_are_named_where_they_matter() {
    let folder = tempfile::tempdir().unwrap();
    let set = RandomSet::random(folder.path(), 3).unwrap();
    let active = VhdSet::open(&set.path).unwrap().active_name().to_owned();
    let _ = fs::remove_file(format!("{}.snapshots.json", set.path.display()));
    let ask = || {
        ChangeQuery::new(&set.path)
            .since(Limit::Snapshot(uuid::Uuid::from_u128(7)))
            .run()
            .unwrap_err()
    };
    assert_eq!(ask().return_value(), ReturnValue::InvalidParameter);
    VhdsBuilder::new(&active).data_extra(100, b"records").write(&set.path).unwrap();
    assert_eq!(ask().return_value(), ReturnValue::NotSupported);
    assert!(ask().to_string().contains("cannot read"));
}

#[test]
fn a_catalogue_is_read_in_every_form_that_powershell_writes() {
    let (id, path) = (uuid::Uuid::from_u128(1), r"C:\sets\disk_1.avhdx");
    let rct = "rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:00000001";
    let times = [
        CreationTime::SlashDate(1_520_000_000_123),
        CreationTime::Iso("2018-03-02T14:13:20.1230000Z".into()),
        CreationTime::Iso("2018-03-02T15:13:20.123+01:00".into()),
        CreationTime::Iso("2018-03-02T14:13:20.123".into()),
    ];
    for creation in times {
        let parents = vec![r"C:\sets\disk_0.avhdx".into()];
        let told =
            Told { id, path: Some(path.into()), rct_id: Some(rct.into()), creation, parents };
        for encoding in [Encoding::Utf8, Encoding::Utf8Bom, Encoding::Utf16LeBom] {
            for (array_even_if_one, pretty) in
                [(true, true), (true, false), (false, true), (false, false)]
            {
                let style = JsonStyle { array_even_if_one, encoding, pretty };
                let bytes = catalogue_json(std::slice::from_ref(&told), style);
                let read = SnapshotCatalogue::from_json(&bytes).unwrap();
                let snapshot = read.get(id).unwrap();
                assert_eq!(snapshot.path.as_deref(), Some(path));
                assert_eq!(snapshot.rct_id.unwrap().to_string(), rct);
                let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_520_000_000_123);
                assert_eq!(snapshot.creation_time, Some(time), "{:?}", told.creation);
                assert_eq!(snapshot.parents, told.parents);
            }
        }
    }
    assert!(SnapshotCatalogue::from_json(b"").unwrap().snapshots.is_empty());
    let wrapped = br#"{"SnapshotId":"{00000000-0000-0000-0000-000000000001}","SnapshotPath":"",
        "CreationTime":{"value":"\/Date(0)\/","DateTime":"Thursday"},"ParentPathsList":"C:\\a.avhdx"}"#;
    let read = SnapshotCatalogue::from_json(wrapped).unwrap();
    let snapshot = read.get(id).unwrap();
    assert_eq!(
        (snapshot.path.as_deref(), snapshot.creation_time),
        (None, Some(SystemTime::UNIX_EPOCH))
    );
    assert_eq!(snapshot.parents, [r"C:\a.avhdx"]);
}

#[test]
fn a_malformed_catalogue_is_refused() {
    let id = r#""SnapshotId":"00000000-0000-0000-0000-000000000001""#;
    let cases: [(Vec<u8>, ErrorKind); 8] = [
        (b"[".to_vec(), ErrorKind::Corrupt),
        (b"{}".to_vec(), ErrorKind::Corrupt),
        (br#"{"SnapshotId":"x"}"#.to_vec(), ErrorKind::MalformedId),
        (format!(r#"[{{{id}}},{{{id}}}]"#).into_bytes(), ErrorKind::Corrupt),
        (
            format!(r#"{{{id},"ResilientChangeTrackingId":"rctX:0"}}"#).into_bytes(),
            ErrorKind::MalformedId,
        ),
        (format!(r#"{{{id},"ParentPathsList":[1]}}"#).into_bytes(), ErrorKind::Corrupt),
        (vec![0xFF, 0xFE, 0x00, 0xD8], ErrorKind::Corrupt),
        ("[".repeat(1 << 20).into_bytes(), ErrorKind::Corrupt),
    ];
    for (bytes, kind) in cases {
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert_eq!(SnapshotCatalogue::from_json(&bytes).unwrap_err().kind(), kind, "{start}");
    }
}

/// A set with at least two kept snapshots.
fn two_kept(folder: &Path) -> (RandomSet, Taken, Taken) {
    let mut sets = (0..50).map(|seed| RandomSet::random(folder, seed).unwrap());
    let kept = |set: &RandomSet| -> Vec<Taken> {
        set.snapshots.iter().filter(|taken| taken.fate == Fate::Kept).cloned().collect()
    };
    let set = sets.find(|set| kept(set).len() > 1).unwrap();
    let kept = kept(&set);
    (set, kept[0].clone(), kept[1].clone())
}

#[test]
fn a_catalogue_that_contradicts_the_files_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (set, first, second) = two_kept(folder.path());
    let path = format!("disk_{}.avhdx", second.id);
    let ask = |parent: &str| {
        let mut snapshot = Snapshot::new(second.id).with_path(&path);
        snapshot.parents = vec![parent.into()];
        let query = ChangeQuery::new(&set.path).snapshots(SnapshotCatalogue::new([snapshot]));
        query.since(Limit::Snapshot(first.id)).target(second.id).run()
    };
    ask(&format!(r"D:\DISK_{}.avhdx", first.id)).unwrap();
    let error = ask(r"D:\other.avhdx").unwrap_err();
    assert_eq!(error.return_value(), ReturnValue::InvalidState);
    assert!(error.to_string().contains("contradicts"), "{error}");
}

#[test]
fn missing_files_of_a_set_are_not_available() {
    let folder = tempfile::tempdir().unwrap();
    let (set, first, second) = two_kept(folder.path());
    let catalogue = catalogue(&set);
    let code = |query: ChangeQuery| query.run().unwrap_err().return_value();
    let query = || {
        ChangeQuery::new(&set.path).snapshots(catalogue.clone()).since(Limit::Snapshot(first.id))
    };
    fs::remove_file(folder.path().join(format!("disk_{}.avhdx", second.id))).unwrap();
    assert_eq!(code(query().target(second.id)), ReturnValue::NotAvailable);
    fs::remove_file(folder.path().join(VhdSet::open(&set.path).unwrap().active_name())).unwrap();
    assert_eq!(code(query()), ReturnValue::NotAvailable);
}
