//! Catalogs of another time or of another set than the files.

use super::*;
use crate::common::{changes, seeds};
use std::path::Path;
use std::time::{Duration, SystemTime};
use vhdx_rct::{ReturnValue, Snapshot};
use vhdx_rct_fixtures::rct::id_text;
use vhdx_rct_fixtures::vhds::CreationTime;

const STALE: u32 = 32775;
const NOT_AVAILABLE: u32 = 32777;
const WINDOWS: &str = r"C:\ClusterStorage\Volume1\";

/// A difference of a stale catalog from the files, in general or in one snapshot's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    MissingSnapshot,
    MissingParent,
    LongerParents,
    ShorterParents,
    OtherOrder,
    UnknownRctId,
}

/// Damages a catalog; returns None if that is impossible.
fn damage(entries: &mut Vec<Entry>, how: Damage, taken: &Taken) -> Option<()> {
    let missing = format!("{WINDOWS}missing.avhdx");
    let damaged = entry(entries, taken);
    match how {
        Damage::MissingSnapshot => entries.push(Entry {
            id: uuid::Uuid::from_u128(0x6057),
            path: Some(missing),
            rct_id: None,
            creation: CreationTime::SlashDate(0),
            parents: Vec::new(),
        }),
        Damage::MissingParent => entries.push(Entry {
            id: uuid::Uuid::from_u128(0x6057),
            path: None,
            rct_id: None,
            creation: CreationTime::SlashDate(0),
            parents: vec![missing],
        }),
        Damage::LongerParents => damaged.parents.push(damaged.path.clone()?),
        Damage::ShorterParents => drop(damaged.parents.pop()?),
        Damage::OtherOrder if damaged.parents.len() < 2 => return None,
        Damage::OtherOrder => damaged.parents.swap(0, 1),
        Damage::UnknownRctId => damaged.rct_id = Some(id_text(taken.rct.0, taken.rct.1 + 100)),
    }
    Some(())
}

#[test]
fn rejects_random_stale_catalogs_only_if_relevant() {
    let (mut refused, mut unaffected) = ([0; 6], 0);
    for seed in seeds(40, 220) {
        let directory = tempfile::tempdir().unwrap();
        let set = RandomSet::random(directory.path(), seed).unwrap();
        let _ = fs::remove_file(format!("{}.snapshots.json", set.path.display()));
        let hows = [
            Damage::MissingSnapshot,
            Damage::MissingParent,
            Damage::LongerParents,
            Damage::ShorterParents,
            Damage::OtherOrder,
            Damage::UnknownRctId,
        ];
        let how = hows[seed as usize % hows.len()];
        let kept: Vec<usize> =
            (0..set.snapshots.len()).filter(|&i| set.snapshots[i].file.is_some()).collect();
        for damaged in kept {
            let mut entries = set.catalog.clone();
            if damage(&mut entries, how, &set.snapshots[damaged]).is_none() {
                continue;
            }
            let catalog = catalog_of(&entries);
            let options = || with(catalog.clone());
            let whole = matches!(how, Damage::MissingSnapshot | Damage::MissingParent);
            for (from, to) in pairs(&set) {
                let regular = expected(&set, from, to);
                let target = to.is_some_and(|to| set.snapshots[to].file.is_some());
                let stale = match to {
                    Some(_) if !target => false, // the target itself is refused
                    Some(to) if whole || to == damaged => true,
                    _ if whole => set.snapshots[from].fate != Fate::Deleted,
                    _ => from == damaged && set.written(from, to).is_some(),
                };
                let right = if stale { Expected::Refused(STALE) } else { regular };
                refused[how as usize] += u32::from(stale);
                unaffected += u32::from(!stale && !matches!(right, Expected::Refused(_)));
                let what = format!("seed {seed}: {how:?} of {damaged}: {from} to {to:?}");
                assert_result(ask(options(), &set, from, to), &right, &what);
            }
            // A question about no snapshot needs no catalog.
            let disk = options().open(&set.path).unwrap();
            assert_eq!(
                disk.changes(Baseline::Allocated).collect().unwrap().ranges,
                changes(&set.path, Baseline::Allocated).unwrap().ranges,
                "seed {seed}"
            );
        }
    }
    assert!(refused.iter().all(|&count| count > 5), "{refused:?}");
    assert!(unaffected > 50, "only {unaffected} questions did not need what is stale");
}

#[track_caller]
fn refuses(found: Result<Vec<ByteRange>, Error>, code: u32, says: &[&str]) {
    let error = found.unwrap_err();
    assert_eq!(error.return_value().code(), code, "{error}");
    for part in says {
        assert!(error.to_string().contains(part), "\"{part}\" is not in: {error}");
    }
}

const REMEDY: &str = "Get-VHDSnapshot -Path disk.vhds -GetParentPaths | ConvertTo-Json";

#[test]
fn stale_catalog_error_names_the_difference_and_the_remedy() {
    let (_directory, set, first, second) = two_kept();
    let name = |i: usize| set.snapshots[i].file.clone().unwrap();
    let ask = |entries: &[Entry]| ask(with(catalog_of(entries)), &set, first, Some(second));
    let damaged = |change: &dyn Fn(&mut Entry)| {
        let mut entries = set.catalog.clone();
        change(entry(&mut entries, &set.snapshots[second]));
        entries
    };
    ask(&set.catalog).unwrap();
    // Directories are of the host, and Windows ignores letter case.
    let other_case =
        |entry: &mut Entry| entry.parents[0] = format!(r"D:\{}", name(first).to_uppercase());
    ask(&damaged(&other_case)).unwrap();
    let missing = damaged(&|entry| entry.parents[0] = r"D:\other.avhdx".into());
    refuses(ask(&missing), STALE, &["other.avhdx", "stale", REMEDY]);
    let wrong = damaged(&|entry| entry.parents[0] = entry.path.clone().unwrap());
    refuses(ask(&wrong), STALE, &[&name(first), &name(second), "parent 1", "stale", REMEDY]);
    let none = damaged(&|entry| entry.parents.clear());
    refuses(ask(&none), STALE, &[&name(first), "parent 1", "none", "stale", REMEDY]);
    let unknown = id_text(uuid::Uuid::from_u128(7), 1);
    let other_id = damaged(&|entry| entry.rct_id = Some(unknown.clone()));
    refuses(ask(&other_id), STALE, &[&unknown, &name(second), "stale", REMEDY]);
    let empty = damaged(&|entry| entry.parents[0].clear());
    refuses(ask(&empty), STALE, &["stale", REMEDY]);
}

/// An absent list of parents is not checked; an empty one means that there are none.
#[test]
fn accepts_catalogs_without_a_parent_list() {
    let (_directory, set, first, second) = two_kept();
    let [first_name, second_name] = [first, second].map(|i| set.snapshots[i].file.clone().unwrap());
    let ask = |member: &str| {
        let entry = |i: usize, name: &str, member: &str| {
            let id = set.snapshots[i].id;
            format!(r#"{{"SnapshotId":"{id}","SnapshotPath":"{name}"{member}}}"#)
        };
        let entries = [entry(first, &first_name, ""), entry(second, &second_name, member)];
        let json = format!("[{}]", entries.join(","));
        let catalog = SnapshotCatalog::from_json(json.as_bytes()).unwrap();
        super::ask(with(catalog), &set, first, Some(second))
    };
    ask("").unwrap();
    ask(r#","ParentPathsList":null"#).unwrap();
    refuses(ask(r#","ParentPathsList":[]"#), STALE, &["parent 1"]);
    // A program may give a snapshot's path alone.
    let named =
        |i: usize, name: &str| Snapshot::new(SnapshotId(set.snapshots[i].id)).with_path(name);
    let catalog = SnapshotCatalog::new([named(first, &first_name), named(second, &second_name)]);
    super::ask(with(catalog), &set, first, Some(second)).unwrap();
}

#[test]
fn rejects_an_rct_id_that_the_snapshot_file_cannot_resolve() {
    let (directory, set, first, second) = two_kept();
    let ask = |from, to| super::ask(with(catalog(&set)), &set, from, to);
    let name = set.snapshots[second].file.clone().unwrap();
    let table = directory.path().join(format!("{name}.rct"));
    let good = fs::read(&table).unwrap();
    for bad in [Some(vec![0xAB; good.len()]), Some(good[..0x9000].to_vec()), None] {
        match bad {
            Some(bytes) => fs::write(&table, bytes).unwrap(),
            None => fs::remove_file(&table).unwrap(),
        }
        refuses(ask(first, Some(second)), STALE, &[&name, REMEDY]);
        refuses(ask(second, None), STALE, &[&name, REMEDY]);
        ask(first, None).unwrap();
    }
    fs::write(&table, good).unwrap();
    ask(first, Some(second)).unwrap();
}

#[test]
fn missing_files_of_a_set_are_not_available() {
    let (directory, set, first, second) = two_kept();
    let options = || with(catalog(&set));
    let path = |name: &str| directory.path().join(name);
    let name = set.snapshots[second].file.clone().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = |from: &Path, to: &Path| {
        fs::copy(from, to).unwrap();
        fs::remove_file(from).unwrap();
    };
    for extension in ["", ".rct"] {
        let file = format!("{name}{extension}");
        moved(&path(&file), &elsewhere.path().join(&file));
    }
    // The missing file is the target's, the baseline's, or another snapshot's.
    refuses(ask(options(), &set, first, Some(second)), NOT_AVAILABLE, &[&name, "target"]);
    refuses(ask(options(), &set, second, None), NOT_AVAILABLE, &[&name]);
    refuses(ask(options(), &set, first, None), STALE, &[&name, "stale", REMEDY]);
    refuses(ask(options(), &set, first, Some(first)), STALE, &[&name, "stale", REMEDY]);
    // The files are found in a search directory.
    let found = || {
        let mut options = options();
        options.search_path(elsewhere.path()).search_path(directory.path());
        options
    };
    ask(found(), &set, first, Some(second)).unwrap();
    ask(found(), &set, second, None).unwrap();
    ask(found(), &set, first, None).unwrap();

    let active = active_name(&set.path);
    fs::remove_file(path(&active)).unwrap();
    refuses(ask(found(), &set, first, None), NOT_AVAILABLE, &[&active]);
    let error = found().open(&set.path).unwrap_err();
    assert_eq!(error.return_value(), ReturnValue::NotAvailable, "{error}");
}

#[test]
fn directories_of_a_snapshots_path_are_not_followed() {
    let (directory, set, first, second) = two_kept();
    let name = set.snapshots[second].file.clone().unwrap();
    fs::create_dir(directory.path().join("sub")).unwrap();
    for extension in ["", ".rct"] {
        let file = format!("{name}{extension}");
        fs::rename(directory.path().join(&file), directory.path().join("sub").join(&file)).unwrap();
    }
    let mut entries = set.catalog.clone();
    entry(&mut entries, &set.snapshots[second]).path = Some(format!(r"sub\{name}"));
    let options = || with(catalog_of(&entries));
    refuses(ask(options(), &set, first, Some(second)), NOT_AVAILABLE, &[&name]);
    let mut options = options();
    options.search_path(directory.path().join("sub")).search_path(directory.path());
    ask(options, &set, first, Some(second)).unwrap();
}

/// A catalog that was saved before the set last changed may lack snapshots.
#[test]
fn warns_of_a_catalog_older_than_the_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut sets = (0..50).map(|seed| RandomSet::random(folder.path(), seed).unwrap());
    let set = sets.find(|set| set.beside).unwrap();
    let catalog = folder.path().join("disk.vhds.snapshots.json");
    let warnings = || Disk::open(&set.path).unwrap().warnings().to_vec();
    let touch = |path: &Path, seconds: u64| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    };
    let of_catalog = || {
        warnings()
            .iter()
            .filter(|warning| warning.path.ends_with("disk.vhds.snapshots.json"))
            .count()
    };
    touch(&set.path, 1000);
    touch(&catalog, 1001);
    assert_eq!(of_catalog(), 0);
    touch(&catalog, 999);
    assert_eq!(of_catalog(), 1);
}
