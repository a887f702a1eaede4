//! A qemu-io that has the disk open, or writes to it, while it is read.

use super::qemu::{create, qemu_is_here, text};
use crate::common::{changes, seeds};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use vhdx_rct::{Baseline, Disk, Error, ErrorKind, VirtualDiskChanges};
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::vhdx::MB;

fn allocated(image: &Path) -> Result<VirtualDiskChanges, Error> {
    changes(image, Baseline::Allocated)
}

fn without_locks(image: &Path) -> String {
    format!("driver=vhdx,file.driver=file,file.locking=off,file.filename={}", text(image))
}

fn spawn(args: &[&str]) -> Child {
    let mut command = Command::new("qemu-io");
    let command = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

/// The locks of an idle qemu indicate whether it may write.
#[test]
fn refuses_beside_an_idle_qemu_that_may_write() {
    if !qemu_is_here("an idle qemu") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.vhdx");
    create(&image, "block_size=1M", 16 * MB);
    let (path, options) = (text(&image), without_locks(&image));
    let cases: [(&[&str], bool); 6] = [
        (&["-f", "vhdx", path], true),
        (&["-f", "raw", path], true),
        (&["-r", "-f", "vhdx", path], false),
        (&["-r", "-U", "-f", "vhdx", path], false),
        (&["-r", "-f", "raw", path], false),
        // This one is undetectable until it writes.
        (&["--image-opts", &options], false),
    ];
    for (args, refused) in cases {
        let mut qemu = spawn(args);
        let mut prompt = [0; 9];
        qemu.stdout.as_mut().unwrap().read_exact(&mut prompt).unwrap();
        assert_eq!(&prompt, b"qemu-io> ", "{args:?}");
        let answer = allocated(&image);
        assert_eq!(answer.is_err(), refused, "{args:?}: {answer:?}");
        if let Err(error) = answer {
            assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
            assert!(error.to_string().contains("QEMU"), "{error}");
        }
        drop(qemu.stdin.take());
        assert!(qemu.wait().unwrap().success(), "{args:?}");
        allocated(&image).unwrap();
    }
}

const PLACES: u64 = 8;

/// Bytes from 1 on, over and over; the one after `LAST` is 1.
const LAST: u64 = 200;

fn place(i: u64) -> u64 {
    i * MB + i * (77 << 12)
}

/// Starts a qemu that writes one byte value to every place in order, then the next value.
fn start_writer(image: &Path, rng: &mut Rng, locking: bool) -> Child {
    create(image, "block_size=1M", 16 * MB);
    let mut commands = Vec::new();
    for round in 0..1000 {
        for i in 0..PLACES {
            commands.push(format!("write -q -P {} {} 4096", 1 + round % LAST, place(i)));
        }
        commands.push(format!("sleep {}", rng.pick(&[1, 5, 30])));
    }
    let mut args: Vec<&str> = commands.iter().flat_map(|command| ["-c", command]).collect();
    let options = without_locks(image);
    match locking {
        true => args.extend(["-f", "vhdx", text(image)]),
        false => args.extend(["--image-opts", &options]),
    }
    let before = fs::metadata(image).unwrap().modified().unwrap();
    let writer = spawn(&args);
    while fs::metadata(image).unwrap().modified().unwrap() == before {
        std::thread::sleep(Duration::from_millis(1));
    }
    writer
}

/// Reads every place, forwards or backwards; fails if a file changed in the meantime.
fn read_places(image: &Path, backwards: bool) -> Result<Vec<[u8; 4096]>, Error> {
    let disk = Disk::open(image)?;
    let mut found = vec![[0; 4096]; PLACES as usize];
    for step in 0..PLACES {
        let i = if backwards { PLACES - 1 - step } else { step };
        disk.read_exact_at(&mut found[i as usize], place(i))?;
        std::thread::sleep(Duration::from_micros(300));
    }
    disk.verify_unchanged()?;
    Ok(found)
}

/// Returns true if the disk held this at some moment: some first places hold one value, and the
/// others the value before.
fn is_one_state(places: &[[u8; 4096]]) -> bool {
    let uniform = places.iter().all(|bytes| bytes.iter().all(|byte| byte == &bytes[0]));
    let values: Vec<u64> = places.iter().map(|bytes| bytes[0].into()).collect();
    let new = values.iter().take_while(|value| **value == values[0]).count();
    // Before the first round everything was 0.
    let before = |value: u64| value + 1 == values[0] || (value, values[0]) == (LAST, 1);
    let old = &values[new..];
    uniform && old.iter().all(|value| *value == old[0] && before(*value))
}

#[test]
fn distinguishes_states_from_mixtures() {
    let state = |values: [u8; 4]| is_one_state(&values.map(|value| [value; 4096]));
    assert!(state([0; 4]) && state([1, 0, 0, 0]) && state([7, 7, 7, 6]) && state([1, 1, 200, 200]));
    assert!(!state([6, 6, 6, 7]) && !state([7, 5, 5, 5]) && !state([7, 6, 7, 6]));
    assert!(!is_one_state(&[[3; 4096], std::array::from_fn(|i| 3 - u8::from(i == 9))]));
}

/// Between its header and its first entry in the log, qemu leaves a file that must not be opened.
fn announced_only(error: &Error) -> bool {
    error.kind() == ErrorKind::LogCorrupt
}

fn read_beside_a_writer(locking: bool) {
    const TRIES_PER_WRITER: usize = 20;
    let tries: Vec<u64> = seeds(5, 100).collect();
    let (mut whole, mut refused) = (0, 0);
    for batch in tries.chunks(TRIES_PER_WRITER) {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk.vhdx");
        let mut rng = Rng::new(batch[0]);
        let mut writer = start_writer(&image, &mut rng, locking);
        for seed in batch {
            std::thread::sleep(Duration::from_micros(rng.below(15_000)));
            match read_places(&image, seed % 2 == 0) {
                Ok(places) => {
                    let values: Vec<u8> = places.iter().map(|bytes| bytes[0]).collect();
                    assert!(is_one_state(&places), "try {seed}: a mixture: {values:?}");
                    whole += 1;
                }
                Err(error) => {
                    let in_use = error.return_value().code() == 32774;
                    assert!(in_use || !locking && announced_only(&error), "try {seed}: {error}");
                    refused += 1;
                }
            }
        }
        assert!(writer.try_wait().unwrap().is_none(), "the writer was done before the reader");
        writer.kill().unwrap();
        writer.wait().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        // The writer has stopped.
        if let Err(error) = read_places(&image, false) {
            assert!(announced_only(&error), "{error}");
        }
    }
    eprintln!("beside a writer, locking {locking}: {whole} whole, {refused} refused");
    assert!(!locking || whole == 0, "a qemu that holds locks was not noticed");
    assert!(tries.len() < 100 || refused > 10, "the writer was hardly in the way");
    assert!(tries.len() < 100 || locking || whole > 0, "nothing was ever read");
}

#[test]
fn reads_nothing_beside_a_qemu_that_writes() {
    if qemu_is_here("a writing qemu") {
        read_beside_a_writer(true);
    }
}

#[test]
fn reads_one_state_beside_a_qemu_that_writes_without_locks() {
    if qemu_is_here("a writing qemu without locks") {
        read_beside_a_writer(false);
    }
}
