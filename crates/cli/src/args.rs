//! The command line.

use crate::failure::Failure;
use clap::{Args as Group, CommandFactory, Parser, Subcommand, ValueEnum};
use std::io::{self, Write};
use std::path::PathBuf;

/// Which byte ranges of a Hyper-V virtual disk changed since X? Answered from the files alone,
/// without Hyper-V. No image is ever written to.
#[derive(Parser)]
#[command(name = "vhdx-rct", version, about, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// List the byte ranges that changed
    Changes(ChangesArgs),
    /// Show what a file is: identity, chain, tracking, warnings
    Info(InfoArgs),
    /// Bring a raw copy of a disk up to date, reading only what changed
    Sync(SyncArgs),
    /// Draw a picture of what changed
    Map(MapArgs),
    /// Show the raw structures of a .rct or .vhds file, or check a host's sample, for format research
    Inspect(InspectArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// A question about a disk; what `changes` and its like have in common.
#[derive(Group)]
pub struct Question {
    /// The disk: a .vhdx, .avhdx or .vhds file
    pub disk: PathBuf,
    /// The baseline: an RCT id (rctX:...), a snapshot's GUID (VHD Sets), file:PATH or dwg:GUID (a
    /// file of the chain by its path or DataWriteGuid: what was written above it), parent (what the
    /// disk's own file holds), or * (everything that a full backup must read)
    #[arg(long, value_name = "LIMIT")]
    pub since: String,
    /// Trust the tracking table of a disk that was not closed cleanly, and accept a parent whose
    /// log is in use
    #[arg(long)]
    pub allow_unclean: bool,
    /// What PowerShell told of a VHD Set's snapshots:
    /// Get-VHDSnapshot -Path x.vhds -GetParentPaths | ConvertTo-Json
    #[arg(long, value_name = "FILE")]
    pub snapshots: Option<PathBuf>,
    /// Look for parents in this folder too (may be given several times)
    #[arg(long, value_name = "DIR")]
    pub search_path: Vec<PathBuf>,
}

#[derive(Group)]
pub struct ChangesArgs {
    #[command(flatten)]
    pub question: Question,
    /// The snapshot to compare with the baseline, instead of the present state (VHD Sets only)
    #[arg(long, value_name = "ID")]
    pub target: Option<String>,
    /// Where the region asked about begins, in bytes; K, M, G, T are binary
    #[arg(long, value_name = "N", default_value = "0", value_parser = size)]
    pub offset: u64,
    /// How long the region is [default: to the disk's end]
    #[arg(long, value_name = "N", value_parser = size)]
    pub length: Option<u64>,
    /// List at most so many ranges; ProcessedByteLength tells where to go on
    #[arg(long, value_name = "N")]
    pub max_ranges: Option<usize>,
    /// How to write the answer
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// Table: bytes instead of human sizes
    #[arg(long)]
    pub bytes: bool,
    /// Table: only the N widest ranges, widest first
    #[arg(long, value_name = "N")]
    pub widest: Option<usize>,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<std::time::Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One object with the method's own names; failures too are told there
    Json,
    /// One object a line, streamed
    Jsonl,
    /// Offset and length, streamed
    Csv,
    /// The array that `qemu-img map --output=json` prints, of what changed
    Qemu,
}

#[derive(Group)]
pub struct InfoArgs {
    /// A .vhdx, .avhdx, .vhds or .rct file
    pub file: PathBuf,
    /// How to write the answer
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextFormat,
    /// Walk every structure: every table entry, blocks used twice, every checksum
    #[arg(long)]
    pub check: bool,
    /// What PowerShell told of a VHD Set's snapshots
    #[arg(long, value_name = "FILE")]
    pub snapshots: Option<PathBuf>,
    /// Look for parents in this folder too (may be given several times)
    #[arg(long, value_name = "DIR")]
    pub search_path: Vec<PathBuf>,
}

#[derive(Group)]
pub struct SyncArgs {
    #[command(flatten)]
    pub question: Question,
    /// The raw copy; with --since '*' it is made from nothing
    #[arg(long, value_name = "RAW")]
    pub to: PathBuf,
    /// Only say how much would be read
    #[arg(long)]
    pub dry_run: bool,
    /// Make the copy larger where the disk grew
    #[arg(long)]
    pub grow: bool,
}

#[derive(Group)]
pub struct MapArgs {
    #[command(flatten)]
    pub question: Question,
    /// The picture
    #[arg(short, long, value_name = "FILE.svg")]
    pub output: PathBuf,
}

#[derive(Group)]
pub struct InspectArgs {
    /// A .rct or .vhds file
    #[arg(required_unless_present = "sample")]
    pub file: Option<PathBuf>,
    /// Instead of showing a file: hold what is known of the formats against the sample of a
    /// Hyper-V host in this folder, or against each of those in it; exit status 1 where a fact
    /// is contradicted
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    pub sample: Option<PathBuf>,
    /// How to write the answer
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TextFormat {
    Text,
    Json,
}

/// The completion script, from the same definitions as the command line.
pub fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "vhdx-rct", &mut script);
    Ok(io::stdout().write_all(&script)?)
}

/// The manual page: the tool's own, and a section for each command.
pub fn man() -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let mut command = Args::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut out)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let page = clap_mangen::Man::new(sub.clone().version(None::<&str>));
        writeln!(out, ".SH \"COMMAND {}\"", sub.get_name().to_uppercase())?;
        page.render_description_section(&mut out)?;
        page.render_options_section(&mut out)?;
    }
    Ok(())
}

/// A number of bytes: digits, then at most one of K, M, G, T.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T', 'k', 'm', 'g', 't']);
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("should be a number with at most one of K, M, G, T behind it".into()),
    };
    let number: u64 =
        digits.parse().map_err(|_| "should be a whole number, such as 4096 or 64K".to_string())?;
    number.checked_mul(1 << shift).ok_or_else(|| "should be below 16 exabytes".into())
}

/// A duration in seconds; fractions are welcome.
fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "should be a number of seconds".to_string())?;
    std::time::Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
