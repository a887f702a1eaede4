//! Random sets against the builder's record.

use super::*;
use crate::common::{changes, ranges, seeds};
use vhdx_rct::{Disk, ReturnValue, get_virtual_disk_changes};
use vhdx_rct_fixtures::rct::id_text;
use vhdx_rct_fixtures::testing::set_with;

#[test]
fn random_sets_match_the_record() {
    let seeds = seeds(30, 220);
    let (mut answered, mut unrelated, all) = (0, 0, seeds.end);
    for seed in seeds {
        let directory = tempfile::tempdir().unwrap();
        let set = RandomSet::random(directory.path(), seed).unwrap();
        let given = seed % 3 == 0;
        for (from, to) in pairs(&set) {
            let options = if given { with(catalog(&set)) } else { OpenOptions::new() };
            let expected = match given || set.beside {
                true => expected(&set, from, to),
                false => Expected::Refused(32773),
            };
            let found = ask(options, &set, from, to);
            answered += u64::from(found.is_ok());
            let both = found.as_ref().is_err_and(|error| error.to_string().contains("unrelated"));
            unrelated += u64::from(both);
            assert_result(found, &expected, &format!("seed {seed}: {from} to {to:?}"));
        }
    }
    assert!(answered > 2 * all, "only {answered} questions had an answer");
    assert!(unrelated > all, "only {unrelated} were about unrelated snapshots");
}

/// The target's chain has the RCT id of a snapshot on another branch if it was created before the
/// branches parted, but the answer would lack the blocks of the other branch.
#[test]
fn a_snapshot_with_a_file_is_never_answered_by_its_rct_id() {
    let mut met = 0;
    for seed in seeds(30, 220) {
        let directory = tempfile::tempdir().unwrap();
        let set = RandomSet::random(directory.path(), seed).unwrap();
        for (from, to) in pairs(&set) {
            let (limit, kept) = (&set.snapshots[from], |i: usize| set.snapshots[i].file.is_some());
            if !kept(from) || !to.is_none_or(kept) || set.written(from, to).is_some() {
                continue;
            }
            // Its RCT id is one that the target's own file knows.
            let mut entries = set.catalog.clone();
            let mut options = with(catalog_of(&entries));
            if let Some(to) = to {
                options.target(SnapshotId(set.snapshots[to].id));
            }
            let Some(newest) = options.open(&set.path).unwrap().newest_id() else { continue };
            entry(&mut entries, limit).rct_id = Some(newest.to_string());
            let options = with(catalog_of(&entries));
            assert_result(ask(options, &set, from, to), &Expected::Refused(32773), "unrelated");
            met += 1;
        }
    }
    assert!(met > 30, "only {met} pairs were met");
}

#[test]
fn an_rct_id_and_a_file_are_baselines_of_a_set_too() {
    let kept_first = |set: &RandomSet| {
        set.snapshots.first().is_some_and(|taken| taken.fate == Fate::Kept)
            && set.written(0, None).is_some()
            && set.beside
    };
    let (directory, set) = set_with(kept_first);
    let rct = set.snapshots[0].rct;
    let answer =
        get_virtual_disk_changes(&set.path, &id_text(rct.0, rct.1), None, 0, set.size).unwrap();
    let (least, most) = (set.written(0, None).unwrap(), set.units(0, None).unwrap());
    assert_result(Ok(answer.ranges), &Expected::Within(least.clone(), most), "an RCT id");
    let file = directory.path().join(set.snapshots[0].file.as_ref().unwrap());
    let answer = changes(&set.path, Baseline::File(file)).unwrap();
    assert_eq!(answer.ranges, ranges(&least));
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
fn file_names_do_not_identify_snapshots() {
    let (directory, set, first, second) = two_kept();
    let known = || Disk::open(&set.path).unwrap().snapshots().to_vec();
    assert!(known().is_empty(), "{:?}", known());
    for (from, to) in [(first, None), (second, None), (first, Some(second)), (first, Some(first))] {
        let error = ask(OpenOptions::new(), &set, from, to).unwrap_err();
        assert_eq!(error.return_value(), ReturnValue::InvalidParameter, "{error}");
        for part in [
            "no catalog",
            "Get-VHDSnapshot -Path disk.vhds -GetParentPaths",
            "ConvertTo-Json",
            "disk.vhds.snapshots.json",
        ] {
            assert!(error.to_string().contains(part), "\"{part}\" is not in: {error}");
        }
    }
    let json = catalog_json(&set.catalog, JsonStyle::default());
    fs::write(directory.path().join("disk.vhds.snapshots.json"), json).unwrap();
    assert_eq!(known().len(), set.catalog.len());
    ask(OpenOptions::new(), &set, first, Some(second)).unwrap();
}
