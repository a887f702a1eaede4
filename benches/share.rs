//! How much of the throughput is left that reading the same bytes and summing them has.
//!
//! `cargo bench --bench share` prints a table in Markdown. Baseline and query take turns, so
//! that whatever else the machine does meets both.

mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};
use support::{Case, Kind, Scale, Scratch, cases};

fn main() {
    let scale = Scale::from_arguments();
    // What a run of the query alone is profiled with.
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let scratch = Scratch::new();
    println!(
        "| tables | source | read | ranges | query, MB/s | baseline, MB/s | share | spread | target |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for case in cases(&scratch, scale) {
        if only.as_ref().is_some_and(|only| !case.name.contains(only.as_str())) {
            continue;
        }
        for kind in [Kind::File, Kind::Map] {
            row(&case, kind, scale.pick(11, 1));
        }
    }
}

fn row(case: &Case, kind: Kind, rounds: usize) {
    let ranges = case.ask(kind).0;
    let mut pairs: Vec<(f64, f64)> = Vec::new();
    for _ in 0..rounds {
        let baseline = time(|| case.baseline(kind));
        pairs.push((baseline.as_secs_f64(), time(|| case.ask(kind)).as_secs_f64()));
    }
    let megabytes = case.bytes() as f64 / 1e6;
    let shares = sorted(pairs.iter().map(|(baseline, query)| baseline / query));
    let (baseline, query) = (sorted(pairs.iter().map(|p| p.0)), sorted(pairs.iter().map(|p| p.1)));
    let middle = rounds / 2;
    println!(
        "| {} | {} | {megabytes:.1} MB | {ranges} | {:.0} | {:.0} | {:.0} % | {:.0}–{:.0} % | {:.0} % |",
        case.name,
        if kind == Kind::File { "file" } else { "map" },
        megabytes / query[middle],
        megabytes / baseline[middle],
        100.0 * shares[middle],
        100.0 * shares[0],
        100.0 * shares[rounds - 1],
        100.0 * case.target,
    );
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}
