//! A backup tool's loop: a full backup first, then only what changed since the last run.
//!
//! `backup_loop DISK COPY` keeps COPY, a raw image of DISK, up to date. COPY.state, beside it,
//! holds the baselines for the next run. Without arguments it backs up a sample disk twice in a
//! temporary directory and compares the copy with the disk.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use vhdx_rct::{Baseline, ByteRange, Disk, ErrorKind, VirtualDiskChanges};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/child.avhdx");
const BUFFER: usize = 1 << 20;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let outcome = match &arguments[..] {
        [] => demonstrate(),
        [disk, copy] => back_up(disk, copy).map(|_| ()),
        _ => Err("usage: backup_loop [DISK COPY]".into()),
    };
    // The Display form of an error is made for users; an Err from main would print Debug.
    if let Err(error) = outcome {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

/// Runs twice and compares. If that fails, the directory is kept for inspection.
fn demonstrate() -> Result<()> {
    let directory = std::env::temp_dir().join(format!("backup_loop-{}", std::process::id()));
    fs::create_dir(&directory)?;
    let (path, copy) = (Path::new(SAMPLE), directory.join("copy.raw"));
    let first = back_up(path, &copy)?;

    // Nothing writes to the sample, so the copy is damaged instead, at the places that changed
    // since the disk's newest tracking id and that the second run must read again.
    let disk = Disk::open(path)?;
    let id = disk.newest_id().ok_or("expected a tracked sample disk")?;
    let changes = disk.changes(id).collect()?;
    let mut damaged = fs::read(&copy)?;
    for range in &changes.ranges {
        damaged[range.offset as usize..range.end() as usize].fill(0xff);
    }
    fs::write(&copy, &damaged)?;
    let second = back_up(path, &copy)?;

    if (first, second) != (Baseline::Allocated, Baseline::Rct(id)) {
        return Err("expected a full backup, then an incremental one".into());
    }
    let mut content = vec![0; disk.identity().virtual_size as usize];
    disk.read_exact_at(&mut content, 0)?;
    if content == damaged || content != fs::read(&copy)? {
        return Err("the second run left a copy that differs from the disk".into());
    }
    println!("the copy is equal to the disk");
    Ok(fs::remove_dir_all(&directory)?)
}

/// Runs once: brings the copy up to date, keeps what the next run needs, and returns the baseline
/// that it used.
fn back_up(path: &Path, copy: &Path) -> Result<Baseline> {
    // Opened once: everything below is about this one state of the disk.
    let disk = Disk::open(path)?;
    let mut state = copy.as_os_str().to_owned();
    state.push(".state");
    let state = Path::new(&state);

    let since = match ask(&disk, &usable(state, copy, &disk)?)? {
        Some((since, ranges)) => {
            // If this run is interrupted, the copy is partly new, and a checkpoint that is then
            // applied may discard what was new. So the next run has to read it again as well.
            let interrupted = Kept { since, again: ranges };
            fs::write(state, text(std::slice::from_ref(&interrupted)))?;
            let file = File::options().write(true).open(copy)?;
            copy_ranges(&disk, &interrupted.since, &interrupted.again, file)?;
            interrupted.since
        }
        None => {
            // The next run cannot build on an interrupted full backup.
            fs::write(state, "")?;
            // A new file reads as zeros where the disk has no data.
            let file = File::create(copy)?;
            file.set_len(disk.identity().virtual_size)?;
            let all = disk.changes(Baseline::Allocated).collect()?;
            copy_ranges(&disk, &Baseline::Allocated, &all.ranges, file)?;
            Baseline::Allocated
        }
    };
    let next = next_run(&disk)?;
    // Only now is it certain that everything was read from one state of the disk.
    disk.verify_unchanged()?;
    fs::write(state, text(&next))?;
    Ok(since)
}

/// Queries the changes since the first baseline that the disk can answer for. Returns it with
/// everything that must be copied, or nothing if a full backup is needed.
fn ask(disk: &Disk, kept: &[Kept]) -> Result<Option<(Baseline, Vec<ByteRange>)>> {
    for Kept { since, again } in kept {
        match disk.changes(since.clone()).collect() {
            Ok(VirtualDiskChanges { mut ranges, .. }) => {
                ranges.extend(again);
                return Ok(Some((since.clone(), joined(ranges))));
            }
            // The id is unknown, or the file is not (or not yet) below this one in the chain.
            Err(error)
                if error.needs_full_backup() || error.kind() == ErrorKind::InvalidParameter =>
            {
                println!("cannot ask since {since}: {error}");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// The data that one run keeps for the next.
struct Kept {
    since: Baseline,
    /// The ranges to copy again in addition to the changes.
    again: Vec<ByteRange>,
}

/// Returns every baseline that the next run may use, exact baselines first.
fn next_run(disk: &Disk) -> Result<Vec<Kept>> {
    let mut next = disk.next_baselines()?;
    next.sort_by_key(|next| !next.exact);
    let kept = next.into_iter().map(|next| {
        // The copy holds changes that are newer than a baseline that is not exact. A checkpoint
        // that is applied before the next run discards them, and no answer will report them.
        let again = if next.exact {
            Vec::new()
        } else {
            disk.changes(next.since.clone()).collect()?.ranges
        };
        Ok(Kept { since: next.since, again })
    });
    kept.collect()
}

/// Reads the state of the last run, if its copy still exists and is as large as the disk.
fn usable(state: &Path, copy: &Path, disk: &Disk) -> Result<Vec<Kept>> {
    let size = disk.identity().virtual_size;
    if !fs::metadata(copy).is_ok_and(|copy| copy.len() == size) || !state.exists() {
        return Ok(Vec::new());
    }
    parse(&fs::read_to_string(state)?)
}

/// Writes one line for each baseline, and one for each range to copy again.
fn text(kept: &[Kept]) -> String {
    let mut text = String::new();
    for Kept { since, again } in kept {
        // Writing to a String never fails.
        let _ = writeln!(text, "since {since}");
        for range in again {
            let _ = writeln!(text, "again {} {}", range.offset, range.length);
        }
    }
    text
}

fn parse(text: &str) -> Result<Vec<Kept>> {
    let mut kept: Vec<Kept> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match (&words[..], kept.last_mut()) {
            (["since", since], _) => kept.push(Kept { since: since.parse()?, again: Vec::new() }),
            (["again", offset, length], Some(last)) => {
                let (offset, length) = (offset.parse()?, length.parse()?);
                last.again.push(ByteRange { offset, length });
            }
            _ => return Err(format!("expected a line of a state file, found {line:?}").into()),
        }
    }
    Ok(kept)
}

/// Sorts ranges and joins those that overlap or touch.
fn joined(mut ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let joins = next.offset <= last.end();
        if joins {
            last.length = last.end().max(next.end()) - last.offset;
        }
        joins
    });
    ranges
}

fn copy_ranges(disk: &Disk, since: &Baseline, ranges: &[ByteRange], mut copy: File) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    for range in ranges {
        copy.seek(SeekFrom::Start(range.offset))?;
        for part in range.chunks(BUFFER) {
            let bytes = &mut buffer[..part.length as usize];
            disk.read_exact_at(bytes, part.offset)?;
            copy.write_all(bytes)?;
        }
    }
    copy.sync_all()?;
    let bytes: u64 = ranges.iter().map(|range| range.length).sum();
    println!("copied {bytes} of {} bytes, since {since}", disk.identity().virtual_size);
    Ok(())
}
