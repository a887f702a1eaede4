//! The throughput of a query as a share of that of reading and summing the same bytes.
//!
//! `cargo bench -p vhdx-rct-benches --bench share` prints a table in Markdown; with `-- BAT`, only
//! the rows with that in their name. Baseline and query take turns, so that whatever else
//! the machine does meets both; the time that the process had a processor for is given beside
//! the time that went by, since the first does not depend on other processes.

mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};
use support::plans::{PLANS, Plan};
use support::{Case, Kind, Scale};

/// The minimum number of turns; more run until `PATIENCE` has passed.
const TURNS: usize = 7;
const PATIENCE: Duration = Duration::from_secs(3);

fn main() {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    println!(
        "| tables | source | size | ranges | query | a range | baseline | share | min–max | share of CPU time | target |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for plan in PLANS {
        if only.as_ref().is_none_or(|only| plan.name.contains(only.as_str())) {
            let case = plan.make(if Scale::is_trial() { Scale::Quick } else { Scale::Full });
            for kind in Kind::ALL {
                println!("{}", row(plan, &case, kind));
            }
        }
    }
}

/// One turn's times, of which [`Spent`] has two kinds.
struct Turn {
    baseline: Spent,
    query: Spent,
}

fn row(plan: &Plan, case: &Case, kind: Kind) -> String {
    let mut turns = Vec::new();
    let start = Instant::now();
    while turns.is_empty()
        || !Scale::is_trial() && (turns.len() < TURNS || start.elapsed() < PATIENCE)
    {
        let baseline = spent(|| case.sum(kind));
        turns.push(Turn { baseline, query: spent(|| case.ask(kind)) });
    }
    let sorted = |value: fn(&Turn) -> f64| {
        let mut values: Vec<f64> = turns.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let median = |value| sorted(value)[turns.len() / 2];
    let shares = sorted(|turn| turn.baseline.elapsed / turn.query.elapsed);
    let busy = median(|turn| turn.baseline.busy / turn.query.busy);
    let megabytes = case.bytes() as f64 / 1e6;
    let query = median(|turn| turn.query.elapsed);
    format!(
        "| {} | {} | {megabytes:.1} MB | {} | {:.0} MB/s | {} | {:.0} MB/s | **{}** | {}–{} | {} | {} |",
        plan.name,
        kind.name(),
        case.right.0,
        megabytes / query,
        each(query, case.right.0),
        megabytes / median(|turn| turn.baseline.elapsed),
        percent(shares[turns.len() / 2]),
        percent(shares[0]),
        percent(shares[turns.len() - 1]),
        percent(busy),
        percent(plan.target),
    )
}

/// The cost of one of many ranges.
fn each(seconds: f64, ranges: u64) -> String {
    if ranges < 1000 {
        return String::new();
    }
    format!("{:.1} ns", seconds * 1e9 / ranges as f64)
}

fn percent(share: f64) -> String {
    let digits = usize::from(share < 0.1);
    format!("{:.digits$} %", 100.0 * share)
}

/// Seconds.
struct Spent {
    /// By the clock.
    elapsed: f64,
    /// In which the process had a processor.
    busy: f64,
}

fn spent<T>(work: impl FnOnce() -> T) -> Spent {
    let (start, busy) = (Instant::now(), busy());
    black_box(work());
    Spent { elapsed: start.elapsed().as_secs_f64(), busy: self::busy() - busy }
}

#[cfg(unix)]
fn busy() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Measures by the clock.
#[cfg(not(unix))]
fn busy() -> f64 {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}
