//! The command line.

use crate::failure::Failure;
use crate::number::{count, number, positive_count, seconds};
use clap::{Args as Group, CommandFactory, Parser, Subcommand, ValueEnum};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Lists which byte ranges of a Hyper-V virtual disk changed since a baseline, from the files
/// alone, without Hyper-V. It never writes to an image.
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

/// Where a disk's files may be found.
#[derive(Group)]
pub struct Files {
    /// The snapshots of a VHD Set: the output of
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

/// A question about a disk, as all commands ask it.
#[derive(Group)]
pub struct Question {
    /// The disk: a .vhdx, .avhdx or .vhds file
    pub disk: PathBuf,
    /// The baseline: an RCT id (rctX:...), a snapshot's GUID (VHD Sets), file:PATH or dwg:GUID (a
    /// file of the chain by its path or its DataWriteGuid: what the files above it hold), parent
    /// (what the disk's own file holds), or * (everything that a full backup must read)
    #[arg(long, value_name = "BASELINE")]
    pub since: String,
    /// Trust the tracking table of a disk that was not closed cleanly, and accept a parent whose
    /// log is in use
    #[arg(long)]
    pub allow_unclean: bool,
    #[command(flatten)]
    pub files: Files,
}

#[derive(Group)]
pub struct ChangesArgs {
    #[command(flatten)]
    pub question: Question,
    /// The snapshot to compare with the baseline, instead of the present state (VHD Sets)
    #[arg(long, value_name = "ID")]
    pub target: Option<String>,
    /// Where the region begins, in bytes. Every N takes the units K, M, G, T, KiB, MiB, GiB and
    /// TiB, all binary, and hexadecimal after 0x
    #[arg(long, value_name = "N", default_value = "0", value_parser = number)]
    pub offset: u64,
    /// The length of the region [default: to the end of the disk]
    #[arg(long, value_name = "N", value_parser = number)]
    pub length: Option<u64>,
    /// List at most N ranges. If there are more, json and table show where to continue; with the
    /// other formats the exit status is 1
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub max_ranges: Option<NonZeroUsize>,
    /// Table: only the N widest ranges, widest first
    #[arg(long, value_name = "N", value_parser = count)]
    pub widest: Option<usize>,
    /// Table: sizes in bytes, without units
    #[arg(long)]
    pub bytes: bool,
    /// The format of the answer
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// Give up after this time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One object with the method's own names, for failures too
    Json,
    /// One object per line, streamed
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
    /// The format of the answer
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextFormat,
    /// Check every structure: every table entry, blocks in use twice, every checksum. The exit
    /// status is 1 if something is wrong
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
    /// The picture
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

/// Prints the manual page: the tool's own, and a section for each command.
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
