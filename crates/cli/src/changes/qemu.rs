//! The array that `qemu-img map --output=json` prints.

use super::{Outcome, finish};
use crate::text::plain_json;
use std::io::{self, Write};
use vhdx_rct::{ChangeQuery, Disk, Extent, ExtentKind};

pub fn write(disk: &Disk, query: ChangeQuery, out: &mut impl Write) -> Outcome {
    let file_names: Vec<String> = disk
        .files()
        .iter()
        .map(|file| serde_json::to_string(&file.path().display().to_string()).map(plain_json))
        .collect::<Result<_, _>>()?;
    let mut extents = query.extents()?;
    let mut separator = "[";
    for extent in extents.by_ref() {
        out.write_all(separator.as_bytes())?;
        write_extent(out, &extent?, &file_names)?;
        separator = ",\n";
    }
    writeln!(out, "{}]", if separator == "[" { "[" } else { "" })?;
    extents.changes().map_or(Ok(()), |changes| finish(changes, out))
}

fn write_extent(out: &mut impl Write, extent: &Extent, file_names: &[String]) -> io::Result<()> {
    write!(
        out,
        "{{ \"start\": {}, \"length\": {}, \"depth\": {}, \"present\": {}, \"zero\": {}, \"data\": {}, \
         \"compressed\": false",
        extent.range.offset,
        extent.range.length,
        extent.file,
        extent.kind != ExtentKind::Hole,
        extent.kind != ExtentKind::Data,
        extent.kind == ExtentKind::Data,
    )?;
    if let Some(offset) = extent.host_offset {
        write!(out, ", \"offset\": {offset}, \"filename\": {}", file_names[extent.file])?;
    }
    out.write_all(b"}")
}
