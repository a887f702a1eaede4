//! Runs a question in the background, shows its progress, and optionally cancels it.
//!
//! `job_progress [DISK] [--cancel-after MS]` lists what a full backup of DISK must read.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use vhdx_rct::{Baseline, Disk, ErrorKind, Job, JobState, ReturnValue};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/child.avhdx");

fn main() -> ExitCode {
    let Some((disk, cancel_after)) = arguments() else {
        eprintln!("usage: job_progress [DISK] [--cancel-after MS]");
        return ExitCode::FAILURE;
    };
    let disk = match Disk::open(disk) {
        Ok(disk) => disk,
        Err(error) => return failed(&error),
    };
    // Starting never fails: a question that is refused becomes a job that ends with an error.
    let job = disk.changes(Baseline::Allocated).start();
    println!("return value {}", ReturnValue::JobStarted.code());

    let state = watch(&job, cancel_after);
    // The job has finished, so this does not wait.
    match job.join() {
        Ok(changes) => {
            let bytes: u64 = changes.ranges.iter().map(|range| range.length).sum();
            println!("{bytes} bytes in {} ranges", changes.ranges.len());
            // Without max_ranges, an answer is always complete.
            let whole = changes.processed_byte_length == changes.disk.virtual_size;
            if whole && state == JobState::Completed {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) if error.kind() == ErrorKind::Cancelled && cancel_after.is_some() => {
            println!("as requested: {error}");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &vhdx_rct::Error) -> ExitCode {
    eprintln!("{error} (return value {})", error.return_value().code());
    ExitCode::FAILURE
}

/// Keeps a progress line up to date until the job has finished.
fn watch(job: &Job, cancel_after: Option<Duration>) -> JobState {
    let (started, handle) = (Instant::now(), job.handle());
    loop {
        let finished = job.wait_timeout(Duration::from_millis(20));
        // Cancelling is only a request: the state becomes final when the worker has stopped. If the
        // job has already finished, its answer is kept.
        if cancel_after.is_some_and(|after| started.elapsed() >= after) {
            handle.cancel();
        }
        let state = handle.state();
        eprint!("\r{:>3} % {:<20}", handle.percent_complete(), format!("{state:?}"));
        let _ = std::io::stderr().flush();
        if finished {
            eprintln!();
            return state;
        }
    }
}

fn arguments() -> Option<(PathBuf, Option<Duration>)> {
    let mut disk = None;
    let mut cancel_after = None;
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--cancel-after" {
            let milliseconds = arguments.next()?.to_str()?.parse().ok()?;
            cancel_after = Some(Duration::from_millis(milliseconds));
        } else if disk.replace(PathBuf::from(argument)).is_some() {
            return None;
        }
    }
    Some((disk.unwrap_or_else(|| SAMPLE.into()), cancel_after))
}
