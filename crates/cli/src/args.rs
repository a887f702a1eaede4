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
    /// Bring a raw copy of a disk up to date, reading only what changed
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

/// The question that every command about changes asks.
#[derive(Group)]
pub struct Question {
    /// The disk: a .vhdx, .avhdx or .vhds file
    pub disk: PathBuf,
    /// The baseline: an RCT id (rctX:...), the GUID of a VHD Set snapshot, file:PATH or dwg:GUID (a
    /// file of the chain by its path or DataWriteGuid: what the files above it hold), parent (what
    /// the disk's own file holds), or * (everything that a full backup reads)
    #[arg(long, value_name = "BASELINE")]
    pub since: String,
    /// Trust the tracking table of a disk that was not closed cleanly, and accept a parent whose
    /// log is in use; the answer may then lack what was written last
    #[arg(long)]
    pub allow_unclean: bool,
    #[command(flatten)]
    pub files: Files,
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
    pub question: Question,
    /// The raw copy; with --since '*' it is created
    #[arg(long, value_name = "RAW")]
    pub to: PathBuf,
    /// Only print how much would be read
    #[arg(long)]
    pub dry_run: bool,
    /// Make the copy larger if the disk grew
    #[arg(long)]
    pub grow: bool,
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
