//! `map`: draws a picture of the disk, with the density of changes.

use crate::args::MapArgs;
use crate::failure::Failure;
use crate::text::{count, first_bytes, human, percent};
use crate::warning;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;
use vhdx_rct::{ByteRange, ReturnValue};

/// The disk is drawn in rows of cells, read like text.
const COLUMNS: u64 = 128;
const ROWS: u64 = 16;
/// A cell's side, and its distance from the next one, in pixels.
const CELL: u64 = 7;
const PITCH: u64 = 8;
const LEFT: u64 = 84;
const TOP: u64 = 64;

/// The steps of density: an upper bound of the share of a cell's bytes, and its text in the legend.
const STEPS: [(f64, &str); 4] =
    [(0.01, "below 1 %"), (0.1, "below 10 %"), (0.5, "below 50 %"), (1.1, "50 % or more")];

pub fn run(args: &MapArgs) -> Result<(), Failure> {
    let (disk, since) = args.question.open(|_| ())?;
    verify_output(&args.output)?;
    let identity = disk.identity();
    let mut map = Map::new(identity.virtual_size, u64::from(identity.logical_sector_size));
    let mut changes = disk.changes(since).ranges()?;
    for range in changes.by_ref() {
        map.add(range?);
    }
    let name = args.question.disk.disk.file_name().unwrap_or_default().to_string_lossy();
    let svg = map.svg(&name, &args.question.since);
    fs::write(&args.output, svg).map_err(|cause| Failure::unwritable(&args.output, &cause))?;
    Ok(warning::print(changes.warnings())?)
}

/// Fails unless the output is a picture or does not exist, so that a disk or tracking table named
/// by mistake is not overwritten.
fn verify_output(output: &Path) -> Result<(), Failure> {
    let is_picture = || {
        // Opening a pipe would block.
        if !fs::metadata(output)?.is_file() {
            return Ok(false);
        }
        let start = first_bytes(output)?;
        Ok(start.is_empty() || start.starts_with(b"<svg"))
    };
    match is_picture() {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(cause) if io::Error::kind(&cause) == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(Failure::unreadable(output, &cause)),
    }
    let message = "expected an SVG picture or a new file, found another file, which is not overwritten; name \
                   another one";
    Err(Failure::about(output, ReturnValue::InvalidParameter, message))
}

/// How many bytes of each cell changed.
struct Map {
    size: u64,
    cell: u64,
    changed: Vec<u64>,
    ranges: u64,
    total: u64,
}

impl Map {
    fn new(size: u64, sector: u64) -> Self {
        let cell = size.div_ceil(COLUMNS * ROWS).max(1).next_multiple_of(sector);
        let cells = size.div_ceil(cell) as usize;
        Map { size, cell, changed: vec![0; cells], ranges: 0, total: 0 }
    }

    fn add(&mut self, range: ByteRange) {
        self.ranges += 1;
        self.total += range.length;
        let mut at = range.offset;
        while at < range.end() {
            let index = at / self.cell;
            let end = range.end().min((index + 1) * self.cell);
            self.changed[index as usize] += end - at;
            at = end;
        }
    }

    fn svg(&self, name: &str, since: &str) -> String {
        let rows = (self.changed.len() as u64).div_ceil(COLUMNS);
        let width = LEFT + COLUMNS * PITCH + 16;
        let height = TOP + rows * PITCH + 56;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n{STYLE}"
        );
        let totals = format!(
            "{}, {} of {}: {}",
            count(self.ranges, "range", "ranges"),
            human(self.total),
            human(self.size),
            percent(self.total, self.size)
        );
        let title = format!("{} changed since {}", escape(name), escape(since));
        // Writing to a String cannot fail.
        let _ = writeln!(
            svg,
            "<title>{title}: {totals}</title><rect class=\"page\" width=\"100%\" height=\"100%\"/>"
        );
        let _ = writeln!(svg, "<text class=\"head\" x=\"16\" y=\"24\">{title}</text>");
        let _ = writeln!(svg, "<text x=\"16\" y=\"43\">{totals}</text>");
        self.cells(&mut svg);
        self.axis(&mut svg, rows);
        self.legend(&mut svg, TOP + rows * PITCH + 30);
        svg.push_str("</svg>\n");
        svg
    }

    /// One path for each density, whose squares are drawn relative to their corners.
    fn cells(&self, svg: &mut String) {
        let mut paths: BTreeMap<String, String> = BTreeMap::new();
        for (index, &changed) in self.changed.iter().enumerate() {
            let index = index as u64;
            let (x, y) = (LEFT + index % COLUMNS * PITCH, TOP + index / COLUMNS * PITCH);
            let length = self.cell.min(self.size - index * self.cell);
            let path = paths.entry(class(changed as f64 / length as f64)).or_default();
            let _ = write!(path, "M{x} {y}h{CELL}v{CELL}h-{CELL}z");
        }
        for (class, path) in paths {
            let _ = writeln!(svg, "<path class=\"{class}\" d=\"{path}\"/>");
        }
    }

    /// Where each row begins, in one unit for all.
    fn axis(&self, svg: &mut String, rows: u64) {
        let (unit, name) = match self.size {
            size if size >= 4 << 30 => (1_u64 << 30, "GiB"),
            size if size >= 4 << 20 => (1 << 20, "MiB"),
            _ => (1 << 10, "KiB"),
        };
        for row in (0..rows).step_by(2) {
            let offset = (row * COLUMNS * self.cell) as f64 / unit as f64;
            let y = TOP + row * PITCH + CELL;
            let _ = writeln!(
                svg,
                "<text class=\"axis\" x=\"{}\" y=\"{y}\">{offset:.2} {name}</text>",
                LEFT - 10
            );
        }
    }

    fn legend(&self, svg: &mut String, y: u64) {
        let _ = writeln!(svg, "<text x=\"16\" y=\"{y}\">a square is {}</text>", human(self.cell));
        let mut x = LEFT + 130;
        for (share, text) in [(0.0, "unchanged")].into_iter().chain(STEPS) {
            let class = class(if share == 0.0 { 0.0 } else { share * 0.99 });
            let square = y - CELL - 1;
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{x}\" y=\"{square}\" width=\"{PITCH}\" height=\"{PITCH}\"/>\
                 <text x=\"{}\" y=\"{y}\">{text}</text>",
                x + 14
            );
            x += 110;
        }
    }
}

fn class(share: f64) -> String {
    match STEPS.iter().position(|(below, _)| share < *below) {
        _ if share == 0.0 => "d0".into(),
        step => format!("d{}", step.unwrap_or(STEPS.len() - 1) + 1),
    }
}

/// Colors for light and dark surroundings; the steps grow away from the background in both.
const STYLE: &str = "<style>
.page { fill: #ffffff } text { fill: #444c56 } .head { fill: #1f2328; font-size: 15px; font-weight: 600 }
.axis { text-anchor: end; font-size: 10px }
.d0 { fill: #e6e9ed } .d1 { fill: #9ecae8 } .d2 { fill: #5aa2d6 } .d3 { fill: #1f6fb4 } .d4 { fill: #0b3c6f }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } text { fill: #9da7b3 } .head { fill: #e6edf3 }
.d0 { fill: #21262d } .d1 { fill: #1d4a73 } .d2 { fill: #2f74b0 } .d3 { fill: #58a6e8 } .d4 { fill: #c3e1fb }
}
</style>
";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
