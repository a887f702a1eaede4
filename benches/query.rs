//! How long it takes to open a disk, and to ask about a part of it or all of it.
//!
//! `cargo bench -p vhdx-rct-benches --bench query`; with `-- --test` everything is tried once, on
//! small files.
//! `-- --profile-time 10 'BAT, full/file/query'` runs one of them for a profiler.

mod support;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, criterion_group, criterion_main};
use std::cell::LazyCell;
use std::time::Duration;
use support::plans::{Disk, PLANS};
use support::{Kind, Scale, directory, holds};

const MB: u64 = 1 << 20;
const GB: u64 = 1 << 30;
const TB: u64 = 1 << 40;

const SIZES: [(&str, u64); 3] = [("64 GB", 64 * GB), ("1 TB", TB), ("64 TB", 64 * TB)];

/// Opening a child and its parent costs the same whatever the disk's size.
fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    for (name, size) in SIZES {
        let directory = directory();
        if holds(directory.path(), size) {
            let path = LazyCell::new(|| Disk::child(size).write(directory.path()).0);
            group.bench_function(name, |bencher| bencher.iter(|| vhdx_rct::Disk::open(&*path)));
        }
    }
}

/// A question costs what its region does.
fn regions(criterion: &mut Criterion) {
    let mut group = slow(criterion, "region");
    for (size_name, size) in SIZES {
        let directory = directory();
        // Writing the largest takes longer than trying all the others.
        if !holds(directory.path(), size) || size > TB && Scale::is_trial() {
            continue;
        }
        for (tables, disk) in [("bat", Disk::child(size)), ("rct", Disk::tracked(size))] {
            let question = LazyCell::new(|| disk.write(directory.path()).2);
            let middle = size / 2;
            let regions =
                [("1 MB", middle..middle + MB), ("1 GB", middle..middle + GB), ("all", 0..size)];
            for (name, region) in regions {
                group.bench_function(format!("{tables}/{name} of {size_name}"), |bencher| {
                    let question = &*question;
                    bencher.iter(|| question.count(Kind::File, Some(region.clone())));
                });
            }
        }
    }
}

/// Tables of every kind, and what it takes to only read and sum them.
fn tables(criterion: &mut Criterion) {
    let mut group = slow(criterion, "tables");
    for plan in PLANS {
        let case = LazyCell::new(|| plan.make(Scale::Quick));
        for kind in Kind::ALL {
            let id = |what| format!("{}/{}/{what}", plan.name, kind.name());
            group.bench_function(id("query"), |bencher| {
                let case = &*case;
                bencher.iter(|| case.ask(kind))
            });
            group.bench_function(id("baseline"), |bencher| {
                let case = &*case;
                bencher.iter(|| case.sum(kind))
            });
        }
    }
}

/// A group for what takes up to a second.
fn slow<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group
}

criterion_group!(benches, open, regions, tables);
criterion_main!(benches);
