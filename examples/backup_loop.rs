//! A backup tool's loop: a full backup first, then only what changed since the last run.
//!
//! `backup_loop DISK COPY` keeps COPY, a raw image of DISK, up to date; beside it, COPY.state
//! holds the tracking id that the next run asks since. Without arguments it backs a sample
//! disk up twice in a temporary folder and compares the copy with the disk.

use std::error::Error;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use vhdx_rct::{ChangeQuery, Limit, RctId, VirtualDisk, get_virtual_disk_changes};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/child.avhdx");
/// How many ranges one answer may hold. A real tool takes thousands; one shows the resuming.
const RANGES_PER_ANSWER: usize = 1;
const BUFFER: usize = 1 << 20;

fn main() {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let outcome = match &arguments[..] {
        [] => demonstrate(),
        [disk, copy] => back_up(disk, copy).map(|_| ()),
        _ => Err("usage: backup_loop [DISK COPY]".into()),
    };
    // An error's text is made for people; an Err from main would print its Debug form.
    if let Err(error) = outcome {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

/// Two runs and a comparison. Where it fails, the folder stays, to be looked at.
fn demonstrate() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("backup_loop-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let (path, copy) = (Path::new(SAMPLE), folder.join("copy.raw"));

    let first = back_up(path, &copy)?;
    // Nobody writes to the sample, so the copy is aged: whatever changed since is wrong.
    let id = fs::read_to_string(folder.join("copy.raw.state"))?;
    let mut aged = fs::read(&copy)?;
    for range in get_virtual_disk_changes(path, &id, None, 0, aged.len() as u64)?.ranges {
        aged[range.offset as usize..range.end() as usize].fill(0xff);
    }
    fs::write(&copy, &aged)?;
    let second = back_up(path, &copy)?;

    if !matches!((first, second), (Limit::Allocated, Limit::Rct(_))) {
        return Err("expected a full backup, then an incremental one".into());
    }
    let disk = VirtualDisk::open(path)?;
    let mut content = vec![0; disk.size() as usize];
    disk.read_at(&mut content, 0)?;
    if content == aged || content != fs::read(&copy)? {
        return Err("the second run left the copy unlike the disk".into());
    }
    println!("the copy is the disk, byte for byte");
    Ok(fs::remove_dir_all(&folder)?)
}

/// One run: brings the copy up to date, remembers where the next run starts, and gives the
/// limit that it asked since.
fn back_up(path: &Path, copy: &Path) -> Result<Limit, Box<dyn Error>> {
    // Taken before anything is read: whatever is written later is reported the next time.
    // Without an id that can be trusted, the next backup is a full one again.
    let next = match ChangeQuery::new(path).newest_id() {
        Err(error) if error.needs_full_backup() => None,
        next => next?,
    };
    // Open for the whole run: it holds the files' shared locks, so that no writer that asks
    // for them can change the disk between two answers.
    let disk = VirtualDisk::open(path)?;

    let mut state = copy.as_os_str().to_owned();
    state.push(".state");
    let mut since = Limit::Allocated;
    if let Some(id) = remembered_id(state.as_ref(), copy, &disk) {
        let file = File::options().write(true).open(copy)?;
        match copy_changes(path, Limit::Rct(id), &disk, file) {
            Ok(()) => since = Limit::Rct(id),
            Err(error) if error.downcast_ref().is_some_and(vhdx_rct::Error::needs_full_backup) => {
                println!("  not since that id: {error}");
            }
            Err(error) => return Err(error),
        }
    }
    if since == Limit::Allocated {
        // Interrupted from here on, the copy is not whole, and no id may say that it is.
        // (An interrupted incremental run keeps its old id, which covers what was missed.)
        fs::write(&state, "")?;
        // A new file reads as zeros wherever the disk has nothing.
        let file = File::create(copy)?;
        file.set_len(disk.size())?;
        copy_changes(path, Limit::Allocated, &disk, file)?;
    }
    // Each answer was of one state of the disk; this says that all of it was of the same.
    disk.must_be_unchanged()?;
    fs::write(&state, next.map(|id| id.to_string()).unwrap_or_default())?;
    Ok(since)
}

/// Copies everything that changed since the limit, answer by answer.
fn copy_changes(
    path: &Path,
    limit: Limit,
    disk: &VirtualDisk,
    mut copy: File,
) -> Result<(), Box<dyn Error>> {
    println!("{}, since {limit}", path.display());
    let query = ChangeQuery::new(path).since(limit).max_ranges(RANGES_PER_ANSWER);
    let mut buffer = vec![0; BUFFER];
    let (mut offset, mut bytes, mut answers) = (0, 0, 0);
    while offset < disk.size() {
        let answer = query.clone().region(offset..).run()?;
        for range in &answer.ranges {
            copy.seek(SeekFrom::Start(range.offset))?;
            for piece in range.chunks(BUFFER) {
                let part = &mut buffer[..piece.length as usize];
                disk.read_at(part, piece.offset)?;
                copy.write_all(part)?;
            }
            bytes += range.length;
        }
        offset += answer.processed_byte_length;
        answers += 1;
    }
    copy.sync_all()?;
    println!("  copied {bytes} of {} bytes, told in {answers} answers", disk.size());
    Ok(())
}

/// The id of the last run, if the copy that it made is still there and of the disk's size.
fn remembered_id(state: &Path, copy: &Path, disk: &VirtualDisk) -> Option<RctId> {
    let whole = fs::metadata(copy).is_ok_and(|copy| copy.len() == disk.size());
    fs::read_to_string(state).ok().filter(|_| whole)?.trim().parse().ok()
}
