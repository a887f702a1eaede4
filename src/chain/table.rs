//! The tracking table beside a file of a chain.

use super::opening::Opening;
use super::{FileResolver, Tracking};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::rct::TrackingTable;
use crate::vhdx::Vhdx;
use crate::warning::Warning;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A disk may normally be modified up to this much later than its table.
const MAX_LAG: Duration = Duration::from_secs(2);

/// Opens the table beside a file, whose canonical name may differ.
///
/// # Errors
/// Only the limits of the opening.
pub(super) fn open(opening: Opening<'_>, disk: &Vhdx, name: &Path) -> Result<Tracking> {
    let Opening { resolver, limits } = opening;
    let read = || -> Result<Tracking> {
        let Some(path) = find(resolver, &disk.file.path, name)? else { return Ok(Tracking::Off) };
        let file = resolver.open(&path, Subject::TrackingTable, limits)?;
        let table = TrackingTable::read(file, Some(disk.virtual_size()), limits)?;
        Ok(Tracking::Usable { newest: table.header().current, table: Arc::new(table) })
    };
    match read() {
        Err(error) if !error.concerns_request() => Ok(Tracking::Unusable(error)),
        result => result,
    }
}

/// Returns a warning about the table, whether or not a question needs it.
pub(super) fn warning(tracking: &Tracking, disk: &Vhdx) -> Option<Warning> {
    match tracking {
        Tracking::Off => None,
        Tracking::Unusable(error) => Some(Warning::new(
            error.path().unwrap_or(&disk.file.path),
            format!("the tracking table cannot be used: {}", error.message()),
        )),
        Tracking::Usable { table, .. } => lag(table, disk),
    }
}

/// Returns a warning if the disk was modified noticeably later than its table. Windows writes both,
/// so a program that does not support tables may have written to the disk since.
fn lag(table: &TrackingTable, disk: &Vhdx) -> Option<Warning> {
    let distance = disk.file.modified()?.duration_since(table.modified()?).ok()?;
    if distance <= MAX_LAG {
        return None;
    }
    let message = format!(
        "the disk was modified {} s after its tracking table, which may not list what was written last",
        distance.as_secs()
    );
    Some(Warning::new(&disk.file.path, message))
}

/// Returns the `.rct` file of a disk: the extension is added to the whole name. It lies beside the
/// requested path or, if that is a link, beside the file. None if there is none; an error if its
/// existence is unknown, because overlooking a table would shorten the answer.
fn find(resolver: &FileResolver, path: &Path, name: &Path) -> Result<Option<PathBuf>> {
    match find_beside(resolver, path)? {
        None => find_beside(resolver, name),
        found => Ok(found),
    }
}

fn find_beside(resolver: &FileResolver, disk: &Path) -> Result<Option<PathBuf>> {
    let mut name = disk.file_name().unwrap_or_default().to_owned();
    name.push(".rct");
    let path = disk.with_file_name(name);
    let untrusted = |message: &str| {
        Error::new(ErrorKind::UntrustedTracking, message).in_file(Subject::TrackingTable, &path)
    };
    let found = resolver.existing(&path).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => untrusted(
            "its directory lists it, but it leads nowhere: it is a link to a missing file",
        ),
        _ => Error::io("cannot be looked for", cause).in_file(Subject::TrackingTable, &path),
    })?;
    let Some(found) = found.into_iter().next() else { return Ok(None) };
    // The table may lie wherever its disk may: beside it, or at a permitted link target.
    let home = path.parent().filter(|home| !home.as_os_str().is_empty());
    let home = resolver.canonical(home.unwrap_or(Path::new(".")));
    if found.parent() != home.ok().as_deref() && !resolver.permits(&found) {
        return Err(untrusted(
            "it leads out of the directories that the opening is confined to, so what it lists is unknown",
        ));
    }
    Ok(Some(found))
}
