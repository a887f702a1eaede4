//! Samples are untrusted: one that breaks a rule is rejected, and the error names the place.

use std::fs;
use std::path::Path;
use vhdx_rct_fieldkit::{self as fieldkit, Error, Sample};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::{Checksum, RctBuilder, id_text};
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::sample::{SampleCase, write_manifest};
use vhdx_rct_fixtures::vhds::VhdsBuilder;
use vhdx_rct_fixtures::vhdx::{Block, VhdxBuilder};

const SIZE: u64 = 4 << 20;

fn case(directory: &Path) -> SampleCase {
    let mut case = SampleCase::new(directory, "case", "disk.vhdx", SIZE).unwrap();
    let disk = VhdxBuilder::new(SIZE).block(1, Block::Full(Fill(1)));
    case.pack_disk("disk.vhdx", &disk).unwrap();
    case
}

/// The error that this edit of a good sample leads to.
fn error_of(edit: impl FnOnce(&Path, &mut SampleCase)) -> Error {
    let directory = tempfile::tempdir().unwrap();
    let mut case = case(directory.path());
    edit(directory.path(), &mut case);
    write_manifest(directory.path(), &[case]).unwrap();
    fieldkit::check(directory.path()).unwrap_err()
}

#[test]
fn accepts_a_valid_sample() {
    let directory = tempfile::tempdir().unwrap();
    write_manifest(directory.path(), &[case(directory.path())]).unwrap();
    let sample = Sample::open(directory.path()).unwrap();
    assert_eq!((sample.windows(), sample.cases().len()), ("no Windows", 1));
    assert_eq!(sample.cases()[0].name(), "case");
    // A byte order mark, as some versions of PowerShell write it, is accepted.
    let path = directory.path().join("manifest.json");
    let marked = [&b"\xEF\xBB\xBF"[..], &fs::read(&path).unwrap()].concat();
    fs::write(path, marked).unwrap();
    assert_eq!(fieldkit::check(directory.path()).unwrap().len(), 1);
}

#[test]
fn rejects_names_outside_the_sample() {
    let names = [
        "../disk.vhdx",
        "..",
        ".",
        "/etc/passwd",
        r"C:\x",
        r"..\x",
        "a/b",
        "x:stream",
        "",
        "a\0b",
        "nul ",
        "NUL",
        "con.vhdx",
        "Com1.rct",
        r"\\server\share",
    ];
    for name in names {
        let stored = error_of(|_, case| case.files[0].stored = name.into());
        let asked = error_of(|_, case| case.disk = name.into());
        for error in [stored, asked] {
            assert!(matches!(error, Error::Invalid { .. }), "{name:?}: {error}");
            let text = error.to_string();
            assert!(
                text.contains("manifest.json") && text.contains("cases[0]"),
                "{name:?}: {text}"
            );
        }
    }
}

#[test]
fn rejects_parts_that_overlap_or_lie_outside() {
    let overlap = error_of(|_, case| case.files[0].parts[1].0 -= 4096);
    assert!(overlap.to_string().contains("not overlap"), "{overlap}");
    let outside = error_of(|_, case| case.files[0].length = 2 << 20);
    assert!(outside.to_string().contains("end within the file's"), "{outside}");
    let beyond = error_of(|_, case| case.files[0].parts.push((u64::MAX, 2)));
    assert!(beyond.to_string().contains("below 2^64"), "{beyond}");
    let short = error_of(|directory, case| {
        let path = directory.join("case").join(&case.files[0].stored);
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(4096).unwrap();
    });
    assert!(short.to_string().contains("cut short or replaced"), "{short}");
}

#[test]
fn rejects_duplicate_names_and_oversized_texts() {
    let file = error_of(|_, case| {
        let again = case.files[0].clone();
        case.files.push(again);
    });
    assert!(file.to_string().contains("names disk.vhdx twice"), "{file}");
    let long = error_of(|_, case| case.files[0].name = "x".repeat(5000));
    assert!(long.to_string().contains("text of at most 4 KiB"), "{long}");
    let directory = tempfile::tempdir().unwrap();
    let case = case(directory.path());
    write_manifest(directory.path(), &[case.clone(), case]).unwrap();
    let error = fieldkit::check(directory.path()).unwrap_err();
    assert!(error.to_string().contains("names case twice"), "{error}");
}

/// The metadata that a question needs was not packed: an error that reports this, never zeros.
#[test]
fn reading_a_hole_is_an_error() {
    for hole in 0..4 {
        let directory = tempfile::tempdir().unwrap();
        let mut case = case(directory.path());
        let path = directory.path().join("case").join(&case.files[0].stored);
        let pack = fs::read(&path).unwrap();
        let mut at = 0;
        let mut kept = Vec::new();
        for (i, (_, length)) in case.files[0].parts.iter().enumerate() {
            if i != hole {
                kept.extend_from_slice(&pack[at..at + *length as usize]);
            }
            at += *length as usize;
        }
        fs::write(&path, kept).unwrap();
        case.files[0].parts.remove(hole);
        write_manifest(directory.path(), &[case]).unwrap();
        let result = fieldkit::check(directory.path());
        if hole == 1 {
            result.unwrap(); // the log of a disk that was closed cleanly is not looked at
            continue;
        }
        let text = result.unwrap_err().to_string();
        assert!(text.contains("disk.vhdx") && text.contains("was not packed"), "{hole}: {text}");
    }
}

#[test]
fn rejects_a_table_with_a_missing_part() {
    let directory = tempfile::tempdir().unwrap();
    let mut case = case(directory.path());
    case.pack_table("disk.vhdx.rct", &RctBuilder::new(SIZE)).unwrap();
    // A table larger than its packed parts: reading it must not cost its claimed size.
    case.files[1].length = 1 << 43;
    case.saw("tracked", &id_text(uuid::Uuid::nil(), 0));
    write_manifest(directory.path(), &[case]).unwrap();
    let error = fieldkit::check(directory.path()).unwrap_err();
    assert!(error.to_string().contains("should be packed whole"), "{error}");
}

#[test]
fn rejects_payload_in_a_sample() {
    let directory = tempfile::tempdir().unwrap();
    let full = directory.path().join("full.vhdx");
    let disk = VhdxBuilder::new(SIZE).block(1, Block::Full(Fill(1)));
    let place = disk.write(&full).unwrap();
    let mut case = SampleCase::new(directory.path(), "case", "disk.vhdx", SIZE).unwrap();
    case.pack_parts("disk.vhdx", &full, &[(0, place.file_length)]).unwrap();
    write_manifest(directory.path(), &[case]).unwrap();
    let text = fieldkit::check(directory.path()).unwrap_err().to_string();
    assert!(text.contains("payload block") && text.contains("pack it again"), "{text}");
}

#[test]
fn rejects_a_disk_that_does_not_match_the_manifest() {
    let error = error_of(|_, case| case.size += 512);
    assert!(error.to_string().contains("do not belong together"), "{error}");
    let error = error_of(|_, case| case.sector = 4096);
    assert!(error.to_string().contains("do not belong together"), "{error}");
}

#[cfg(unix)]
#[test]
fn does_not_follow_links_out_of_the_sample() {
    let error = error_of(|directory, case| {
        let path = directory.join("case").join(&case.files[0].stored);
        let away = directory.join("away");
        fs::rename(&path, &away).unwrap();
        std::os::unix::fs::symlink(&away, &path).unwrap();
    });
    assert!(error.to_string().contains("not a link"), "{error}");
}

/// The error of a good manifest in which `from` was replaced.
fn edited(from: &str, to: &str) -> Error {
    let directory = tempfile::tempdir().unwrap();
    write_manifest(directory.path(), &[case(directory.path())]).unwrap();
    let path = directory.path().join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    fieldkit::check(directory.path()).unwrap_err()
}

#[test]
fn rejects_malformed_manifests() {
    let cases = [
        ("\"version\":1", "\"version\":2", "version 1"),
        ("field sample", "other", "format"),
        ("\"hand-made\"", "\"elsewhere\"", "the manifest.origin"),
        ("\"sector\":512,", "", "missing member sector"),
        ("\"sector\":512", "\"sector\":512,\"sectors\":1", "unknown member sectors"),
        ("\"sector\":512", "\"sector\":-1", "the manifest.cases[0].sector"),
        ("\"sector\":512", "\"sector\":1e99", "the manifest.cases[0].sector"),
        ("\"events\":[]", "\"events\":{}", "the manifest.cases[0].events: expected a list"),
        (
            "\"answers\":[]",
            "\"answers\":[7]",
            "the manifest.cases[0].answers[0]: expected an object",
        ),
        ("\"version\":1", "\"version\":", "not valid JSON"),
    ];
    for (from, to, expected) in cases {
        let error = edited(from, to);
        let Error::Invalid { path, message } = &error else { panic!("{to}: {error}") };
        assert!(message.contains(expected), "{to}: {error}");
        assert!(path.ends_with("manifest.json"), "{to}: {error}");
    }
    let many = format!("\"events\":[{}]", vec!["0"; 2000].join(","));
    assert!(edited("\"events\":[]", &many).to_string().contains("at most"));
    let deep = format!("\"events\":{}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(edited("\"events\":[]", &deep).to_string().contains("not valid JSON"));
    let uneven = r#""answers":[{"method": "m", "since": "s", "target": "", "error": null, "processed": 0,
                    "offsets": [1], "lengths": []}]"#;
    assert!(edited("\"answers\":[]", uneven).to_string().contains("as many offsets as lengths"));
}

#[test]
fn error_for_a_missing_sample_includes_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let error = fieldkit::check(directory.path()).unwrap_err();
    assert!(matches!(error, Error::NoSample(_)), "{error}");
    assert!(error.to_string().contains("collect.ps1"), "{error}");
    assert!(fieldkit::check(directory.path().join("none")).is_err());
}

#[test]
fn rejects_an_oversized_manifest() {
    let directory = tempfile::tempdir().unwrap();
    let file = fs::File::create(directory.path().join("manifest.json")).unwrap();
    file.set_len(65 << 20).unwrap();
    let error = fieldkit::check(directory.path()).unwrap_err();
    assert!(error.to_string().contains("at most"), "{error}");
}

/// Whatever the packed bytes: a report or an error, no panic, and no cost that they claim.
#[test]
fn damaged_packs_end_in_a_report_or_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut case = case(directory.path());
    let table = RctBuilder::new(SIZE).with(3..7, 1).with(100..200, 2);
    let table = case.pack_table("disk.vhdx.rct", &table).unwrap();
    let set = VhdsBuilder::new("disk.vhdx").bytes();
    case.pack_whole("x.vhds", &set).unwrap();
    case.saw("tracked", &id_text(uuid::Uuid::nil(), 0));
    case.answered(&id_text(uuid::Uuid::nil(), 0), &[0..16 << 10]);
    let disk = directory.path().join("case").join(&case.files[0].stored);
    write_manifest(directory.path(), &[case]).unwrap();
    fieldkit::check(directory.path()).unwrap();
    let files = [
        (disk.clone(), fs::read(&disk).unwrap()),
        (directory.path().join("case/disk.vhdx.rct"), table),
        (directory.path().join("case/x.vhds"), set),
    ];
    let (mut rng, mut reports) = (Rng::new(1), 0);
    for round in 0..300 {
        let (path, good) = &files[round % files.len()];
        let mut bytes = good.clone();
        // At a field's offset or directly after it, with small, large and random numbers.
        let used = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0);
        let used: Vec<usize> = used.map(|(at, _)| at).collect();
        let at = (used[rng.below(used.len() as u64) as usize] / 4 * 4).min(bytes.len() - 8);
        let value = rng.pick(&[0, 1, u64::MAX, 1 << 31, 1 << 63, rng.clone().next_u64()]);
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        if path.ends_with("disk.vhdx.rct") {
            for page in [0x1000, 0x5000, 0x9000] {
                Checksum::At4From8.store(&mut bytes[page..page + 4096]);
            }
        }
        fs::write(path, &bytes).unwrap();
        reports += usize::from(fieldkit::check(directory.path()).is_ok());
        fs::write(path, good).unwrap();
    }
    assert!((50..300).contains(&reports), "{reports} of 300 gave a report");
}

#[test]
fn escapes_untrusted_text_for_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let mut case = case(directory.path());
    case.pack_table("disk.vhdx.rct", &RctBuilder::new(SIZE)).unwrap();
    case.refused("rctXESC", "refusedESC");
    case.refused(&id_text(uuid::Uuid::nil(), 0), "refusedESC");
    case.answers[1].target = "targetESC".into();
    write_manifest(directory.path(), &[case]).unwrap();
    let manifest = directory.path().join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let text = text.replace("ESC", "\\u001b[2J").replace("no Windows", "no\\u0007Windows");
    fs::write(&manifest, text).unwrap();
    let report = fieldkit::check(directory.path()).unwrap().remove(0);
    let evidence = report.facts.iter().flat_map(|fact| &fact.evidence).map(|e| e.text.as_str());
    let texts: Vec<&str> = evidence.chain([report.windows.as_str()]).collect();
    assert!(texts.iter().any(|text| text.contains("rctX [2J")), "{texts:#?}");
    assert!(texts.iter().any(|text| text.contains("target [2J")), "{texts:#?}");
    assert!(!texts.iter().any(|text| text.contains(char::is_control)), "{texts:#?}");
}
