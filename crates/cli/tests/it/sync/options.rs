//! Where a run goes on from, and what it reports.

use super::vm::Vm;
use super::{State, refused, report, run, state_path, sync};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use vhdx_rct_fixtures::rct::id_text;
use vhdx_rct_fixtures::testing::skip;

/// A disk on storage of its own, and the path of a copy that does not exist yet.
struct Scene {
    directory: tempfile::TempDir,
    vm: Vm,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("storage")).unwrap();
        let mut vm = Vm::new(seed);
        (0..6).for_each(|_| vm.write());
        Scene { directory, vm }
    }

    fn copy(&self) -> PathBuf {
        self.directory.path().join("copy.raw")
    }

    fn sync(&self) -> Command {
        sync(&self.vm.store(&self.directory.path().join("storage")), &self.copy())
    }

    fn assert_equal(&self) {
        assert!(fs::read(self.copy()).unwrap() == self.vm.content(), "the copy differs");
    }
}

#[test]
fn a_run_without_since_goes_on_from_the_state() {
    let mut scene = Scene::new(1);
    let id = scene.vm.create_id().unwrap();
    let first = report(&mut scene.sync());
    assert_eq!(first["Since"], "*");
    assert_eq!(first["NextSince"][0]["Since"], id_text(id.0, id.1));
    scene.vm.write();
    let second = report(&mut scene.sync());
    assert_eq!(second["Since"], id_text(id.0, id.1));
    assert!(second["BytesRead"].as_u64() < first["BytesRead"].as_u64(), "{first} {second}");
    scene.assert_equal();
}

#[test]
fn the_report_has_the_documented_fields_and_no_other() {
    let scene = Scene::new(2);
    let report = report(&mut scene.sync());
    let mut names: Vec<_> = report.as_object().unwrap().keys().collect();
    names.sort_unstable();
    let expected = [
        "BytesRead",
        "BytesWritten",
        "BytesZeroed",
        "NextSince",
        "Ranges",
        "ReturnValue",
        "Since",
        "VirtualDisk",
        "Warnings",
    ];
    assert_eq!(names, expected);
    assert_eq!(report["ReturnValue"], 0);
    assert_eq!(report["VirtualDisk"]["VirtualSize"], scene.vm.size());
}

#[test]
fn an_up_to_date_copy_is_not_written_to() {
    let mut scene = Scene::new(3);
    scene.vm.create_id();
    run(&mut scene.sync());
    let stamp = |scene: &Scene| fs::metadata(scene.copy()).unwrap().modified().unwrap();
    let before = stamp(&scene);
    let again = report(&mut scene.sync());
    assert_eq!((&again["BytesRead"], &again["BytesWritten"]), (&0.into(), &0.into()));
    assert_eq!(stamp(&scene), before);
}

#[test]
fn a_dry_run_writes_nothing() {
    let mut scene = Scene::new(4);
    let dry = report(scene.sync().arg("--dry-run"));
    assert!(dry["BytesRead"].as_u64() > Some(0));
    assert!(!scene.copy().exists() && !state_path(&scene.copy()).exists());
    scene.vm.create_id();
    run(&mut scene.sync());
    let (copy, state) =
        (fs::read(scene.copy()).unwrap(), fs::read(state_path(&scene.copy())).unwrap());
    scene.vm.write();
    let text = String::from_utf8(run(scene.sync().arg("--dry-run")).stdout).unwrap();
    assert!(text.starts_with("would read 1 range, "), "{text}");
    assert!(fs::read(scene.copy()).unwrap() == copy);
    assert!(fs::read(state_path(&scene.copy())).unwrap() == state);
}

#[test]
fn since_names_a_point_of_the_state_or_is_refused() {
    let mut scene = Scene::new(5);
    scene.vm.checkpoint();
    scene.vm.write();
    let old = scene.vm.create_id().unwrap();
    let id = scene.vm.create_id().unwrap();
    run(&mut scene.sync());
    let points = State::load(&scene.copy()).points();
    assert_eq!(points.len(), 3, "{points:?}");
    let message = refused(scene.sync().args(["--since", &id_text(old.0, old.1)]));
    assert!(points.iter().all(|point| message.contains(point)), "{message}");
    for since in [points[0].as_str(), &points[2], "parent", "*"] {
        scene.vm.write();
        let report = report(scene.sync().args(["--since", since]));
        let expected = if since == "parent" { &points[2] } else { since };
        assert_eq!(report["Since"], expected);
        scene.assert_equal();
        let now = State::load(&scene.copy()).points();
        assert_eq!((&now[0], &now[2]), (&id_text(id.0, id.1), &points[2]));
    }
}

#[test]
fn a_disk_that_was_rolled_back_is_copied_whole() {
    let mut scene = Scene::new(6);
    let snapshot = scene.vm.clone();
    scene.vm.create_id();
    scene.vm.write();
    let id = scene.vm.create_id().unwrap();
    run(&mut scene.sync());
    scene.vm = scene.vm.rolled_back_to(&snapshot);
    // The id is created a second time, for other content.
    scene.vm.create_id();
    assert_eq!(scene.vm.create_id(), Some(id));
    scene.vm.write();
    let output = run(scene.sync().args(["--format", "json"]));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    scene.assert_equal();
    assert_eq!(report["Since"], "*");
    let warning = report["Warnings"][0]["Message"].as_str().unwrap();
    assert!(warning.contains("rolled back"), "{warning}");
}

/// Seed 3 is a program that never changes the DataWriteGuid of a file.
#[test]
fn a_file_that_was_written_to_again_is_noticed_whatever_its_data_write_guid() {
    for seed in [2, 3] {
        let mut scene = Scene::new(seed);
        run(&mut scene.sync());
        scene.vm.write();
        run(&mut scene.sync());
        scene.assert_equal();
    }
}

#[test]
fn a_resized_disk_resizes_its_copy() {
    let directory = tempfile::tempdir().unwrap();
    let (storage, copy) = (directory.path().join("storage"), directory.path().join("copy.raw"));
    fs::create_dir(&storage).unwrap();
    let mut vm = Vm::new(7);
    (0..6).for_each(|_| vm.write());
    run(&mut sync(&vm.store(&storage), &copy));
    for size in [6 << 20, 1 << 20, 3 << 20] {
        vm.resize(size);
        (0..3).for_each(|_| vm.write());
        run(&mut sync(&vm.store(&storage), &copy));
        assert!(fs::read(&copy).unwrap() == vm.content(), "{size} bytes: the copy differs");
    }
}

/// A raw file by another tool, made while the disk was at a known baseline.
#[test]
fn a_copy_by_another_tool_is_adopted_and_brought_up_to_date() {
    for seed in 0..6 {
        let mut scene = Scene::new(seed);
        let id = scene.vm.create_id().unwrap();
        let storage = scene.directory.path().join("storage");
        if seed % 2 == 1 {
            // Then the raw file has these writes and the id does not cover them.
            scene.vm.write();
        }
        let leaf = scene.vm.store(&storage);
        let mut convert = Command::new("qemu-img");
        run(convert.args(["convert", "-f", "vhdx", "-O", "raw"]).arg(&leaf).arg(scene.copy()));
        let message = refused(&mut scene.sync());
        assert!(message.contains("--adopt") && message.contains("--full"), "{message}");
        let since = match seed {
            4 | 5 => format!("dwg:{}", data_write_guid(&leaf)),
            _ => id_text(id.0, id.1),
        };
        if seed < 4 {
            scene.vm.write();
        }
        let report = report(scene.sync().args(["--adopt", &since]));
        assert_eq!(report["Since"], since);
        scene.assert_equal();
        scene.vm.write();
        run(&mut scene.sync());
        scene.assert_equal();
    }
}

fn data_write_guid(disk: &Path) -> String {
    vhdx_rct::Disk::open(disk).unwrap().files()[0].identity().data_write_guid.to_string()
}

#[test]
fn an_adoption_names_a_baseline_of_the_disk_and_a_copy_of_its_size() {
    let scene = Scene::new(9);
    let id = scene.vm.numbers().1.unwrap();
    let id = id_text(id.0, id.1);
    assert!(refused(scene.sync().args(["--adopt", &id])).contains("no copy to adopt"));
    fs::write(scene.copy(), [1; 512]).unwrap();
    assert!(refused(scene.sync().args(["--adopt", &id])).contains("found 512 bytes"));
    fs::write(scene.copy(), vec![1; scene.vm.size() as usize]).unwrap();
    for baseline in ["*", "parent", "dwg:00000000-0000-0000-0000-000000000001"] {
        let message = refused(scene.sync().args(["--adopt", baseline]));
        assert!(message.contains("expected --adopt to name"), "{message}");
    }
    assert!(!state_path(&scene.copy()).exists());
}

#[test]
fn verify_reports_where_the_copy_differs() {
    let mut scene = Scene::new(10);
    assert!(refused(scene.sync().arg("--verify")).contains("no copy"));
    run(&mut scene.sync());
    let text = String::from_utf8(run(scene.sync().arg("--verify")).stdout).unwrap();
    assert!(text.starts_with("the copy equals the disk"), "{text}");
    let mut content = fs::read(scene.copy()).unwrap();
    content[100_000] ^= 1;
    content.push(0);
    fs::write(scene.copy(), &content).unwrap();
    let message = refused(scene.sync().arg("--verify"));
    assert!(message.contains("2 ranges") && message.contains("4096 bytes at 98304"), "{message}");
    assert!(message.contains(&format!("1 bytes at {}", scene.vm.size())), "{message}");
    assert!(fs::read(scene.copy()).unwrap() == content, "a comparison writes nothing");
    run(scene.sync().arg("--full"));
    scene.vm.write();
    let output = scene.sync().args(["--verify", "--format", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let failure: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(failure["ReturnValue"], 32775);
}

#[test]
fn a_state_file_may_have_another_place() {
    let mut scene = Scene::new(11);
    let state = scene.directory.path().join("elsewhere.json");
    run(scene.sync().arg("--state").arg(&state));
    assert!(state.exists() && !state_path(&scene.copy()).exists());
    scene.vm.write();
    let report = report(scene.sync().arg("--state").arg(&state));
    assert_ne!(report["Since"], "");
    scene.assert_equal();
}

#[test]
fn a_run_says_what_comes_next() {
    let mut scene = Scene::new(12);
    let id = scene.vm.create_id().unwrap();
    let text = String::from_utf8(run(&mut scene.sync()).stdout).unwrap();
    let (first, second) = text.split_once('\n').unwrap();
    assert!(first.starts_with("since *: ") && first.ends_with(" s"), "{text}");
    assert_eq!(second.trim(), format!("next time: --since {}", id_text(id.0, id.1)));
    scene.vm.set_running(true);
    let text = String::from_utf8(run(&mut scene.sync()).stdout).unwrap();
    assert!(text.contains("next time: a full copy"), "{text}");
}

#[test]
fn a_progress_bar_is_for_terminals_only() {
    if cfg!(windows) {
        return skip("the terminal needs a Unix program");
    }
    let scene = Scene::new(13);
    assert!(run(&mut scene.sync()).stderr.is_empty());
}
