//! Runs the tool under strace, which makes a system call fail or kills the process at it.

use std::path::Path;
use std::process::{Command, Stdio};
use vhdx_rct_fixtures::rng::Rng;

/// The calls by which a run changes files or makes changes durable.
const CALLS: [&str; 6] = ["pwrite64", "write", "fallocate", "ftruncate", "fsync", "rename"];

/// Most runs of a small disk make this many calls of a kind.
const FIRST_CALLS: u64 = 3;

/// Returns whether faults can be injected here.
pub fn are_possible() -> bool {
    let mut probe = Command::new("strace");
    probe
        .args(["-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Returns the command with one fault at a random call.
pub fn at_random(command: &Command, rng: &mut Rng) -> Command {
    let call = rng.pick(&CALLS);
    let what = if rng.one_in(3) { "error=EIO" } else { "signal=KILL" };
    inject(command, call, what, 1 + rng.below(FIRST_CALLS))
}

/// Returns the command with a fault at the nth call of a kind.
pub fn inject(command: &Command, call: &str, what: &str, nth: u64) -> Command {
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-o", "/dev/null", "-e"]).arg(format!("trace={call}"));
    traced.arg("-e").arg(format!("inject={call}:{what}:when={nth}"));
    traced.arg(command.get_program()).args(command.get_args());
    traced
}

/// Returns the command with its system calls of these kinds written to a file.
pub fn log(command: &Command, calls: &str, to: &Path) -> Command {
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-y", "-e", &format!("trace={calls}"), "-o"]).arg(to);
    traced.arg(command.get_program()).args(command.get_args());
    traced
}
