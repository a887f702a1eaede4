//! The command line.

use crate::failure::Failure;
use crate::number::{count, number, positive_count, seconds};
use clap::{Args as Group, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_mangen::Man;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

const EXIT_STATUS: &str =
    "Exit status: 0 success, 2 a command line that cannot be understood, 1 any other failure";

/// List which byte ranges of a Hyper-V virtual disk changed since a baseline
///
/// The answer comes from the .vhdx, .avhdx, .rct and .vhds files alone, without Hyper-V. No image is
/// ever written to.
#[derive(Parser)]
#[command(name = "vhdx-rct", version, max_term_width = 100)]
#[command(after_help = EXIT_STATUS)]
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
    /// Make a raw copy of a disk, or bring it up to date by reading only what changed
    ///
    /// A state file beside the copy records from which baselines it can be brought up to date. Run the
    /// same command as often as needed: the first run copies everything, later ones read what changed.
    /// A run that was interrupted is finished by the next one. Nothing else may write to the copy.
    Sync(SyncArgs),
    /// Draw a picture of what changed
    Map(MapArgs),
    /// Show the raw structures of a .rct or .vhds file, for format research
    Inspect(InspectArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

impl Command {
    /// Whether the command's output, and so its failure, is JSON.
    pub fn is_json(&self) -> bool {
        match self {
            Command::Changes(args) => args.format == Format::Json,
            Command::Info(args) => args.format == TextFormat::Json,
            Command::Sync(args) => args.format == TextFormat::Json,
            Command::Inspect(args) => args.format == TextFormat::Json,
            _ => false,
        }
    }
}

/// The places where a disk's files are searched for.
#[derive(Group)]
pub struct Files {
    /// The snapshots of a VHD Set: a file with the output of
    /// Get-VHDSnapshot -Path x.vhds -GetParentPaths | ConvertTo-Json
    #[arg(long, value_name = "FILE")]
    pub snapshots: Option<PathBuf>,
    /// Look for parents, and for the files of a set, in this directory too (may be repeated)
    #[arg(long, value_name = "DIR")]
    pub search_path: Vec<PathBuf>,
    /// Open no file outside this directory but the disk itself (may be repeated)
    #[arg(long, value_name = "DIR")]
    pub confine_to: Vec<PathBuf>,
}

/// A disk, and how it is opened.
#[derive(Group)]
pub struct DiskArgs {
    /// The disk: a .vhdx, .avhdx or .vhds file
    pub disk: PathBuf,
    /// Trust the tracking table of a disk that was not closed cleanly, and accept a parent whose
    /// log is in use; the answer may then lack what was written last
    #[arg(long)]
    pub allow_unclean: bool,
    #[command(flatten)]
    pub files: Files,
}

/// The question that every command about changes asks.
#[derive(Group)]
pub struct Question {
    #[command(flatten)]
    pub disk: DiskArgs,
    /// The baseline: an RCT id (rctX:...), the GUID of a VHD Set snapshot, file:PATH or dwg:GUID (a
    /// file of the chain by its path or DataWriteGuid: what the files above it hold), parent (what
    /// the disk's own file holds), or * (everything that a full backup reads)
    #[arg(long, value_name = "BASELINE")]
    pub since: String,
}

#[derive(Group)]
pub struct ChangesArgs {
    #[command(flatten)]
    pub question: Question,
    /// The snapshot at which the answer ends, instead of the current state (VHD Sets)
    #[arg(long, value_name = "ID")]
    pub target: Option<String>,
    /// The start of the region in bytes. Every N may be hexadecimal (0x1000) and have a unit: K, M,
    /// G, T, KiB, MiB, GiB or TiB, all binary
    #[arg(long, value_name = "N", default_value = "0", value_parser = number)]
    pub offset: u64,
    /// The length of the region [default: to the end of the disk]
    #[arg(long, value_name = "N", value_parser = number)]
    pub length: Option<u64>,
    /// List at most N ranges. If there are more, json and table show where to continue; with the
    /// other formats the exit status is 1
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub max_ranges: Option<NonZeroUsize>,
    /// Table: list only the N widest ranges, widest first
    #[arg(long, value_name = "N", value_parser = count)]
    pub widest: Option<usize>,
    /// Table: print sizes in bytes, without units
    #[arg(long)]
    pub bytes: bool,
    /// The format of the answer
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// Give up after this number of seconds, which may have a fraction
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One object with the names of GetVirtualDiskChanges; a failure is an object too
    Json,
    /// One object per line, streamed
    Jsonl,
    /// Offset and length per line, streamed
    Csv,
    /// What changed, as the array that `qemu-img map --output=json` prints
    Qemu,
}

#[derive(Group)]
pub struct InfoArgs {
    /// A .vhdx, .avhdx, .vhds or .rct file
    pub file: PathBuf,
    /// The format of the answer
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextFormat,
    /// Check every structure: table entries, blocks in use twice, checksums. The exit status is 1
    /// if something is wrong
    #[arg(long)]
    pub check: bool,
    #[command(flatten)]
    pub files: Files,
}

#[derive(Group)]
pub struct SyncArgs {
    #[command(flatten)]
    pub disk: DiskArgs,
    /// The raw copy: a file, which is created if it does not exist, or a block device
    #[arg(long, value_name = "RAW")]
    pub to: PathBuf,
    /// Go on from this baseline, which has to be one of those that the copy is at; * makes a full copy
    /// [default: the baseline in the state file that needs the fewest bytes, or * if there is none]
    #[arg(long, value_name = "BASELINE")]
    pub since: Option<String>,
    /// The state file [default: RAW.vhdx-rct.json]
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// The format of the report
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextFormat,
    /// Write nothing, and report how much would be read
    #[arg(long)]
    pub dry_run: bool,
    /// Copy everything, whatever the copy and the state file hold
    #[arg(long, conflicts_with_all = ["since", "adopt"])]
    pub full: bool,
    /// Take over a raw copy that another tool made while the disk was at this baseline, and bring it
    /// up to date
    #[arg(long, value_name = "BASELINE", conflicts_with = "since")]
    pub adopt: Option<String>,
    /// Write nothing, and compare the copy with the disk; the exit status is 1 if they differ
    #[arg(long, conflicts_with_all = ["since", "adopt", "full", "dry_run"])]
    pub verify: bool,
    /// Whether the copy shares storage with the disk's files, on file systems that can (Btrfs, XFS)
    #[arg(long, value_enum, default_value = "auto")]
    pub reflink: Reflink,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reflink {
    /// Share what can be shared, copy the rest
    Auto,
    /// Fail if the file system cannot share; only bytes that fill no block of 4 KiB are copied
    Always,
    /// Copy everything
    Never,
}

#[derive(Group)]
pub struct MapArgs {
    #[command(flatten)]
    pub question: Question,
    /// The SVG file to write; an existing picture is overwritten
    #[arg(short, long, value_name = "FILE.svg")]
    pub output: PathBuf,
}

#[derive(Group)]
pub struct InspectArgs {
    /// A .rct or .vhds file
    pub file: PathBuf,
    /// The format of the answer
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TextFormat {
    Text,
    Json,
}

/// Prints the completion script, from the same definitions as the command line.
pub fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "vhdx-rct", &mut script);
    Ok(io::stdout().write_all(&script)?)
}

/// Prints the manual page: the tool's own, with a section for each command.
pub fn man() -> Result<(), Failure> {
    let mut command = Args::command();
    command.build();
    let page = Man::new(command.clone());
    let mut out = Vec::new();
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    page.render_synopsis_section(&mut out)?;
    page.render_description_section(&mut out)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        writeln!(out, ".SH \"COMMAND {}\"", sub.get_name().to_uppercase())?;
        let (page, mut sections) = (Man::new(sub.clone()), Vec::new());
        page.render_synopsis_section(&mut sections)?;
        page.render_description_section(&mut sections)?;
        page.render_options_section(&mut sections)?;
        // The sections of a command are subsections here.
        out.extend(String::from_utf8_lossy(&sections).replace(".SH ", ".SS ").bytes());
    }
    writeln!(out, ".SH \"EXIT STATUS\"\n{}", EXIT_STATUS.trim_start_matches("Exit status: "))?;
    page.render_version_section(&mut out)?;
    Ok(io::stdout().write_all(&out)?)
}
