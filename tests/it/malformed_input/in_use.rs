//! Files that another program locks, writes to or replaces: 32774 instead of an answer that may mix
//! two states of the disk.

use crate::common::prelude::*;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use vhdx_rct::source::{FileSource, LocalStorage};

const ID: &str = "rctX:e6fd24a8:8ef8:4a21:9394:f28867b17470:00000001";
const DISK: &str = "child.avhdx";
/// The files that a question since [`ID`] reads; the parent's table is beside them.
const FILES: [&str; 3] = [DISK, "base.vhdx", "child.avhdx.rct"];

/// A directory with copies of a disk, its parent and their tables.
struct Copies(tempfile::TempDir);

impl Copies {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in FILES.into_iter().chain(["base.vhdx.rct"]) {
            let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
            fs::copy(shipped, directory.path().join(name)).unwrap();
        }
        Copies(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn ask(&self) -> Result<VirtualDiskChanges, Error> {
        Disk::open(self.path(DISK))?.changes(since()).collect()
    }

    fn writer(&self, name: &str) -> File {
        File::options().read(true).write(true).open(self.path(name)).unwrap()
    }
}

fn since() -> Baseline {
    ID.parse().unwrap()
}

/// Asks, and makes the change after the first range. A later question about the same disk must fail
/// too.
fn change_during(disk: &Disk, change: impl FnOnce()) -> Option<Error> {
    let mut ranges = disk.changes(since()).ranges().unwrap();
    ranges.next().unwrap().unwrap();
    change();
    let error = ranges.find_map(Result::err);
    assert_eq!(disk.changes(since()).collect().is_err(), error.is_some());
    error
}

#[track_caller]
fn assert_in_use(error: &Error, kind: ErrorKind, name: &str) {
    assert_eq!(error.return_value().code(), 32774, "{error}");
    assert!(error.kind() == kind || error.kind() == ErrorKind::ParentUnusable, "{error:?}");
    assert!(error.path().is_some_and(|path| path.ends_with(name)), "{error} names {name}");
}

#[test]
fn rejects_a_file_under_an_exclusive_flock() {
    for name in FILES {
        let copies = Copies::new();
        let other = copies.writer(name);
        other.lock_shared().unwrap();
        copies.ask().expect("a shared lock is a reader's");
        other.unlock().unwrap();
        other.lock().unwrap();
        let error = copies.ask().unwrap_err();
        assert_in_use(&error, ErrorKind::InUse, name);
        assert!(error.to_string().contains("exclusive lock"), "{error}");
        drop(other);
        copies.ask().unwrap();
    }
}

/// A virtual machine that starts during a query must get its locks.
#[test]
fn holds_no_lock_while_it_reads() {
    let copies = Copies::new();
    // SAFETY: the files stay as they are.
    for storage in [LocalStorage::new(), unsafe { LocalStorage::memory_mapped() }] {
        let disk = OpenOptions::new().storage(Arc::new(storage)).open(copies.path(DISK)).unwrap();
        let mut ranges = disk.changes(since()).ranges().unwrap();
        ranges.next().unwrap().unwrap();
        let others = FILES.map(|name| copies.writer(name));
        for other in &others {
            other.try_lock().expect("flock");
            #[cfg(target_os = "linux")]
            ofd::lock(other, libc::F_WRLCK, 0, 0).expect("a write lock");
        }
        assert!(ranges.all(|range| range.is_ok()));
    }
}

#[cfg(target_os = "linux")]
mod ofd {
    use super::*;
    use std::os::fd::AsRawFd;

    /// Takes an open file description lock; 0 bytes are all up to the end.
    pub fn lock(file: &File, kind: i32, start: i64, length: i64) -> io::Result<()> {
        // SAFETY: all zeros are a `flock`.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = kind as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
        (lock.l_start, lock.l_len) = (start as libc::off_t, length as libc::off_t);
        // SAFETY: the descriptor is open and the lock lives through the call.
        match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// QEMU's locks as measured: all are read locks, and a reader's do not conflict.
    #[test]
    fn rejects_write_locks_and_the_locks_of_qemu_writers() {
        const READ: i32 = libc::F_RDLCK;
        const WRITE: i32 = libc::F_WRLCK;
        let bytes = |bytes: &[i64]| bytes.iter().map(|&byte| (byte, 1)).collect::<Vec<_>>();
        let cases = [
            (WRITE, vec![(0, 0)], Some("write lock")),
            (WRITE, vec![(0, 1)], Some("write lock")),
            (WRITE, vec![(77, 1)], Some("write lock")),
            (WRITE, vec![(1 << 40, 1)], Some("write lock")),
            (WRITE, vec![(4096, 1 << 20)], Some("write lock")),
            (READ, bytes(&[100, 101, 103, 201, 203]), Some("QEMU")),
            (READ, bytes(&[100, 101]), Some("QEMU")),
            (READ, bytes(&[100, 103]), Some("QEMU")),
            (READ, bytes(&[100, 201, 203]), None),
            (READ, bytes(&[100]), None),
            (READ, vec![], None),
        ];
        for name in FILES {
            for (kind, locks, expected) in &cases {
                let copies = Copies::new();
                let other = copies.writer(name);
                for &(start, length) in locks {
                    lock(&other, *kind, start, length).unwrap();
                }
                let error = copies.ask().err();
                assert_eq!(error.is_some(), expected.is_some(), "{name}, {locks:?}: {error:?}");
                if let (Some(error), Some(says)) = (error, expected) {
                    assert_in_use(&error, ErrorKind::InUse, name);
                    assert!(error.to_string().contains(says), "{locks:?}: {error}");
                }
                drop(other);
                copies.ask().unwrap();
            }
        }
    }
}

#[test]
fn detects_a_path_redirected_during_the_query() {
    type Change = fn(&Path, &Path) -> io::Result<()>;
    let changes: [(&str, Change); 4] = [
        ("another file is renamed over it", |file, copy| fs::rename(copy, file)),
        ("it is renamed", |file, _| fs::rename(file, file.with_extension("old"))),
        ("it is deleted", |file, _| fs::remove_file(file)),
        ("a link to a copy replaces it", |file, copy| {
            fs::remove_file(file).and_then(|()| symlink(copy, file))
        }),
    ];
    // SAFETY: the files' content stays as it is.
    for storage in [LocalStorage::new(), unsafe { LocalStorage::memory_mapped() }] {
        for name in FILES {
            for (what, change) in changes {
                let copies = Copies::new();
                let (file, copy) = (copies.path(name), copies.path("copy"));
                fs::copy(&file, &copy).unwrap();
                let mut options = OpenOptions::new();
                let disk = options.storage(Arc::new(storage)).open(copies.path(DISK)).unwrap();
                let error = change_during(&disk, || change(&file, &copy).unwrap());
                let error = error.unwrap_or_else(|| panic!("{name}: {what}"));
                assert_in_use(&error, ErrorKind::Changed, name);
            }
        }
    }
}

#[test]
fn detects_a_link_pointed_at_another_file() {
    let copies = Copies::new();
    let (link, copy) = (copies.path("link.avhdx"), copies.path("copy.avhdx"));
    fs::copy(copies.path(DISK), &copy).unwrap();
    symlink(copies.path(DISK), &link).unwrap();
    let disk = Disk::open(&link).unwrap();
    assert!(change_during(&disk, || {}).is_none());
    let error = change_during(&disk, || {
        fs::remove_file(&link).unwrap();
        symlink(&copy, &link).unwrap();
    });
    assert_in_use(&error.unwrap(), ErrorKind::Changed, "link.avhdx");
}

/// QEMU writes in place, without a change of any header or of the length.
#[test]
fn detects_a_write_without_header_change() {
    for name in FILES {
        let copies = Copies::new();
        let writer = copies.writer(name);
        let last = writer.metadata().unwrap().len() - 1;
        let mut byte = [0];
        writer.read_exact_at(&mut byte, last).unwrap();
        let disk = Disk::open(copies.path(DISK)).unwrap();
        assert!(change_during(&disk, || {}).is_none(), "nothing happened");
        let error = change_during(&disk, || writer.write_all_at(&byte, last).unwrap());
        assert_in_use(&error.unwrap(), ErrorKind::Changed, name);
    }
}

/// Content is read after the ranges, and has a check of its own.
#[test]
fn detects_a_write_while_content_is_read() {
    let copies = Copies::new();
    let disk = Disk::open(copies.path(DISK)).unwrap();
    disk.read_exact_at(&mut [0; 512], 0).unwrap();
    disk.verify_unchanged().unwrap();
    copies.writer("base.vhdx").write_all_at(&[7], 5 << 20).unwrap();
    assert_in_use(&disk.verify_unchanged().unwrap_err(), ErrorKind::Changed, "base.vhdx");
}

/// A coarse clock may give two writes within 10 ms the same time, so a file is read only when a
/// later write would have another time.
#[test]
fn opens_a_file_no_sooner_than_10_ms_after_its_last_write() {
    let copies = Copies::new();
    let path = copies.path(DISK);
    for _ in 0..10 {
        copies.writer(DISK).write_all_at(&[1], 0).unwrap();
        let file = FileSource::open(&path).unwrap();
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        let age = SystemTime::now().duration_since(written).unwrap();
        assert!(age >= Duration::from_millis(10), "{age:?}");
        let before = file.version().unwrap();
        assert_eq!(file.version().unwrap(), before);
        copies.writer(DISK).write_all_at(&[1], 0).unwrap();
        assert_ne!(file.version().unwrap(), before);
    }
    thread::sleep(Duration::from_millis(20));
    let start = Instant::now();
    (0..100).for_each(|_| drop(FileSource::open(&path).unwrap()));
    assert!(start.elapsed() < Duration::from_millis(500), "an old file is opened at once");
}

#[test]
fn rejects_a_file_that_is_written_to_while_it_is_opened() {
    let copies = Copies::new();
    let (writer, done) = (copies.writer(DISK), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                writer.write_all_at(&[1], 0).unwrap();
                thread::sleep(Duration::from_micros(200));
            }
        });
        // A busy machine may not let the writer run for a while.
        let until = Instant::now() + Duration::from_secs(20);
        let tries = std::iter::repeat_with(|| FileSource::open(copies.path(DISK)).err());
        let opened = tries.take_while(|_| Instant::now() < until).flatten().next();
        done.store(true, Ordering::Relaxed);
        let error = opened.expect("a writer that goes on is seen");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
    });
    thread::sleep(Duration::from_millis(20));
    FileSource::open(copies.path(DISK)).unwrap();
}
