//! What would spoil a copy, or somebody's file, is refused.

use super::vm::Vm;
use super::{refused, run, state_path, sync};
use std::fs;
use std::path::{Path, PathBuf};
use vhdx_rct_fixtures::rng::Rng;

/// A disk and a copy of it.
fn copied(directory: &Path) -> (Vm, PathBuf, PathBuf) {
    let (storage, copy) = (directory.join("storage"), directory.join("copy.raw"));
    fs::create_dir(&storage).unwrap();
    let mut vm = Vm::new(3);
    (0..6).for_each(|_| vm.write());
    vm.create_id();
    let leaf = vm.store(&storage);
    run(&mut sync(&leaf, &copy));
    vm.write();
    (vm.clone(), vm.store(&storage), copy)
}

#[test]
fn a_file_that_is_no_copy_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let (_, leaf, _) = copied(directory.path());
    let other = directory.path().join("letter.txt");
    fs::write(&other, b"Dear Sir or Madam").unwrap();
    let message = refused(&mut sync(&leaf, &other));
    assert!(message.contains("--full") && message.contains("--adopt"), "{message}");
    assert!(refused(sync(&leaf, &other).args(["--since", "parent"])).contains("no state file"));
    assert_eq!(fs::read(&other).unwrap(), b"Dear Sir or Madam");
    for option in [[].as_slice(), &["--full"]] {
        let message = refused(sync(&leaf, &leaf).args(option));
        assert!(message.contains("virtual disk file"), "{message}");
    }
    // An empty file has nothing to lose.
    fs::write(&other, b"").unwrap();
    run(&mut sync(&leaf, &other));
}

#[test]
fn a_state_that_does_not_fit_is_named_and_never_blocks_a_full_copy() {
    let directory = tempfile::tempdir().unwrap();
    let (vm, leaf, copy) = copied(directory.path());
    let (state, content) = (state_path(&copy), fs::read(&copy).unwrap());
    let good = fs::read_to_string(&state).unwrap();
    let id_at = good.find("VirtualDiskId").unwrap() + 16;
    let cases = [
        ("damaged", good[..good.len() / 2].to_owned(), content.clone()),
        ("not JSON", "PK\u{3}\u{4}".to_owned(), content.clone()),
        ("older version", good.replacen("\"Version\":2", "\"Version\":1", 1), content.clone()),
        ("other disk", good.replacen(&good[id_at..id_at + 8], "00000000", 1), content.clone()),
        ("longer copy", good.clone(), [content.as_slice(), &[0; 512]].concat()),
        ("shorter copy", good.clone(), content[..content.len() - 512].to_owned()),
    ];
    for (name, text, bytes) in cases {
        fs::write(&state, text).unwrap();
        fs::write(&copy, &bytes).unwrap();
        let message = refused(&mut sync(&leaf, &copy));
        assert!(message.contains(state.to_str().unwrap()), "{name}: {message}");
        assert!(message.contains("--full"), "{name}: {message}");
        assert!(fs::read(&copy).unwrap() == bytes, "{name}: a refused run writes nothing");
        run(sync(&leaf, &copy).arg("--full"));
        assert!(fs::read(&copy).unwrap() == vm.content(), "{name}: the copy differs");
    }
}

#[test]
fn a_state_without_its_copy_leads_to_a_full_copy() {
    let directory = tempfile::tempdir().unwrap();
    let (vm, leaf, copy) = copied(directory.path());
    fs::remove_file(&copy).unwrap();
    run(&mut sync(&leaf, &copy));
    assert!(fs::read(&copy).unwrap() == vm.content());
}

/// Damages the state in random places: never a wrong copy that is called good.
#[test]
fn a_changed_state_never_leads_to_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let (_, leaf, copy) = copied(directory.path());
    let (good, mut rng) = (fs::read(state_path(&copy)).unwrap(), Rng::new(1));
    for _ in 0..100 {
        let mut text = good.clone();
        let at = rng.below(text.len() as u64) as usize;
        text[at] = rng.pick(b"0{}[],\"x:9-\xff");
        fs::write(state_path(&copy), &text).unwrap();
        let status = sync(&leaf, &copy).arg("--dry-run").output().unwrap().status;
        assert!(matches!(status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn a_command_line_that_contradicts_itself_is_a_usage_error() {
    let directory = tempfile::tempdir().unwrap();
    let (_, leaf, copy) = copied(directory.path());
    let usage = |command: &mut std::process::Command| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(usage(&mut sync(&leaf, Path::new("-"))).contains("standard output"));
    for options in [
        ["--full", "--since=*"].as_slice(),
        &["--full", "--adopt=parent"],
        &["--adopt=parent", "--since=parent"],
        &["--verify", "--full"],
        &["--verify", "--dry-run"],
        &["--since=rctX:1"],
        &["--adopt=rctX:1"],
        &["--reflink=maybe"],
    ] {
        usage(sync(&leaf, &copy).args(options));
    }
}

#[test]
fn two_runs_do_not_write_one_copy_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (_, leaf, copy) = copied(directory.path());
    let other = fs::File::open(&copy).unwrap();
    other.lock().unwrap();
    assert!(refused(&mut sync(&leaf, &copy)).contains("another process holds the copy"));
}

#[cfg(unix)]
#[test]
fn the_message_says_what_to_do_about_an_unusable_target() {
    use std::process::Command;
    let directory = tempfile::tempdir().unwrap();
    let (_, leaf, copy) = copied(directory.path());
    let missing = directory.path().join("missing/copy.raw");
    let message = refused(&mut sync(&leaf, &missing));
    assert!(message.contains("32779") && message.contains("create its directory"), "{message}");
    assert!(refused(&mut sync(&leaf, directory.path())).contains("expected a regular file"));
    assert!(refused(&mut sync(&leaf, Path::new("/dev/null"))).contains("expected a regular file"));
    // A file size limit stands for a full disk.
    let plain = sync(&leaf, &copy);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 100; exec \"$@\" --full", "sh"])
        .arg(plain.get_program())
        .args(plain.get_args());
    assert!(refused(&mut limited).contains("free space"));
    run(&mut sync(&leaf, &copy));
}
