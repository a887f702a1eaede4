//! The job form: a question that runs in the background, watched and perhaps cancelled.
//!
//! `job_progress [DISK] [--cancel-after MS]` asks what a full backup of DISK must read.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use vhdx_rct::{ChangeQuery, ErrorKind, Job, JobState, Limit};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/child.avhdx");

fn main() -> ExitCode {
    let Some((disk, cancel_after)) = arguments() else {
        eprintln!("usage: job_progress [DISK] [--cancel-after MS]");
        return ExitCode::FAILURE;
    };
    // Starting never fails: a question that cannot be answered is a job that ends with an error.
    let job = ChangeQuery::new(disk).since(Limit::Allocated).start();
    println!("return value {}", job.return_value().code());

    let state = watch(&job, cancel_after);
    // The job is over, so this does not wait; it is the only way to the result.
    match job.wait() {
        Ok(changes) => {
            let bytes: u64 = changes.ranges.iter().map(|range| range.length).sum();
            println!("{bytes} bytes in {} ranges", changes.ranges.len());
            // As a whole or not at all: without max_ranges, nothing is left to ask for.
            let whole = changes.processed_byte_length == changes.disk.virtual_size;
            if whole && state == JobState::Completed {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) if error.kind() == ErrorKind::Cancelled && cancel_after.is_some() => {
            println!("as asked: {error}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error} (return value {})", error.return_value().code());
            ExitCode::FAILURE
        }
    }
}

/// Keeps a progress line up to date until the job is over.
fn watch(job: &Job, cancel_after: Option<Duration>) -> JobState {
    let started = Instant::now();
    loop {
        // Cancelling only asks: the state becomes final when the worker has stopped. Where the
        // job was done first, its answer stays.
        if cancel_after.is_some_and(|after| started.elapsed() >= after) {
            job.cancel();
        }
        let state = job.state();
        eprint!("\r{:>3} % {:<20}", job.percent_complete(), format!("{state:?}"));
        let _ = std::io::stderr().flush();
        if state.is_final() {
            eprintln!();
            return state;
        }
        // Job::wait_for would wait no longer than needed, but takes the job along with its
        // last state where there is a result.
        std::thread::sleep(Duration::from_millis(20));
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
