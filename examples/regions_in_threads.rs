//! Answers one question in several threads: each processes a region, and the answers are joined at
//! the seams.
//!
//! `regions_in_threads [DISK [BASELINE [THREADS]]]` lists what changed. The library itself starts
//! no threads, but any number of them can share an opened disk. This is faster if reads are slow,
//! as with object storage, or if the tables of a disk are large.

use std::error::Error;
use std::num::NonZero;
use std::ops::Range;
use std::thread;
use vhdx_rct::{Baseline, ByteRange, Disk, Result};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/child.avhdx");

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let disk = Disk::open(arguments.next().unwrap_or(SAMPLE.into()))?;
    let since: Baseline = arguments.next().unwrap_or("*".into()).parse()?;
    let threads = match arguments.next() {
        Some(number) => number.parse()?,
        None => thread::available_parallelism()?,
    };
    for range in changes_in_regions(&disk, &since, threads)? {
        println!("{} bytes at {}", range.length, range.offset);
    }
    Ok(())
}

/// Returns the ranges of one question about the whole disk.
pub fn changes_in_regions(
    disk: &Disk,
    since: &Baseline,
    threads: NonZero<usize>,
) -> Result<Vec<ByteRange>> {
    // An empty region costs almost nothing, and shows the granularity of the answer.
    let granularity = disk.changes(since.clone()).region(0..0).ranges()?.granularity();
    let regions = regions(disk.identity().virtual_size, granularity.into(), threads);
    let answers: Vec<Result<Vec<ByteRange>>> = thread::scope(|scope| {
        let ask = |region| Ok(disk.changes(since.clone()).region(region).collect()?.ranges);
        let workers: Vec<_> =
            regions.into_iter().map(|region| scope.spawn(move || ask(region))).collect();
        let join = |worker: thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().map(join).collect()
    });
    // If one region failed, the whole answer is incomplete.
    let mut joined = Vec::new();
    for ranges in answers {
        join_at_seam(&mut joined, ranges?);
    }
    Ok(joined)
}

/// Splits a disk into regions at multiples of the granularity: a split elsewhere would put one unit
/// into two regions, and read its state twice.
fn regions(size: u64, granularity: u64, count: NonZero<usize>) -> Vec<Range<u64>> {
    let units = size.div_ceil(granularity);
    let length = units.div_ceil(count.get() as u64).max(1) * granularity;
    (0..size)
        .step_by(usize::try_from(length).unwrap_or(usize::MAX))
        .map(|start| start..size.min(start + length))
        .collect()
}

/// Appends a region's ranges. A range that continues across the seam was split there.
fn join_at_seam(joined: &mut Vec<ByteRange>, ranges: Vec<ByteRange>) {
    let mut ranges = ranges.into_iter();
    if let Some(first) = ranges.next() {
        match joined.last_mut() {
            Some(last) if last.end() == first.offset => last.length += first.length,
            _ => joined.push(first),
        }
    }
    joined.extend(ranges);
}
