//! Checks that a catalog is of the same time as the files: nothing that it lists can be trusted
//! if it is not.

use super::Snapshot;
use super::file::locate;
use super::resolve::{Catalog, how_to_list};
use crate::chain::{Access, Chain, WindowsPath, same_name};
use crate::error::{Error, ErrorKind, Result};
use crate::rct::{RctId, Tracking};
use std::collections::HashSet;
use std::path::Path;

fn stale(set: &Path, catalog: &Catalog, differs: &str) -> Error {
    let message =
        format!("the snapshot catalog is stale: {differs}; write it anew: {}", how_to_list(set));
    let place = catalog.file.as_deref().unwrap_or(set);
    Error::new(ErrorKind::CatalogueMismatch, message).in_file(place)
}

/// Fails unless every file exists that the catalog names.
pub(super) fn verify_paths(access: &Access, set: &Path, catalog: &Catalog) -> Result<()> {
    // Letter case makes no other file of a name, so each is looked for once.
    let mut names = HashSet::new();
    for snapshot in &catalog.listed.snapshots {
        let own = snapshot.path.iter().map(|path| (path, "the file"));
        let parents = snapshot.parents.iter().map(|path| (path, "a parent"));
        for (path, what) in own.chain(parents) {
            if !names.insert(folded(path_name(path))) {
                continue;
            }
            access.guard.check()?;
            if locate(access, set, path).is_none() {
                let differs = format!(
                    "expected {what} of snapshot {}, {}, in the set's directory or in one of {} search directories, \
                     found none",
                    snapshot.id,
                    path.escape_debug(),
                    access.folders.len()
                );
                return Err(stale(set, catalog, &differs));
            }
        }
    }
    Ok(())
}

/// Fails unless the snapshot's file, at this depth of the chain, has the parents and knows the
/// RCT id that the catalog lists.
pub(super) fn verify_snapshot(
    set: &Path,
    catalog: &Catalog,
    snapshot: &Snapshot,
    chain: &mut Chain,
    depth: usize,
) -> Result<()> {
    let differs = match verify_parents(set, snapshot, chain, depth)? {
        None => snapshot.rct_id.map_or(Ok(None), |id| verify_rct_id(id, chain, depth))?,
        differs => differs,
    };
    let Some(differs) = differs else { return Ok(()) };
    let differs = format!("of snapshot {}, {differs}", snapshot.id);
    Err(stale(set, catalog, &differs))
}

/// Returns where the list of parents and the chain differ: both must end at the same file.
fn verify_parents(
    set: &Path,
    snapshot: &Snapshot,
    chain: &mut Chain,
    depth: usize,
) -> Result<Option<String>> {
    if !snapshot.lists_parents() {
        return Ok(None);
    }
    for i in 0.. {
        let below = depth + 1 + i;
        let exists = below < chain.files().len() || chain.extend()?;
        let listed = snapshot.parents.get(i);
        let agrees = match listed {
            None if !exists => return Ok(None),
            Some(path) if exists => is_file_of(set, chain, below, path),
            _ => false,
        };
        if !agrees {
            let none = || "none".to_owned();
            let expected =
                listed.map_or_else(none, |path| path_name(path).escape_debug().to_string());
            let found = if exists { file_name(chain, below) } else { none() };
            return Ok(Some(format!("expected parent {} to be {expected}, found {found}", i + 1)));
        }
    }
    Ok(None)
}

/// Returns whether a path of the catalog means the file at this depth of the chain.
fn is_file_of(set: &Path, chain: &Chain, depth: usize, path: &str) -> bool {
    let name = chain.files()[depth].path().file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| same_name(name, path_name(path)))
        || locate(chain.access(), set, path).as_deref() == Some(chain.name(depth))
}

/// Returns why the table of the file at this depth is not known to resolve the id.
fn verify_rct_id(id: RctId, chain: &Chain, depth: usize) -> Result<Option<String>> {
    use ErrorKind::{Corrupt, Truncated, UntrustedTracking};
    let found = match Tracking::of(chain, depth) {
        Ok(Some(table)) if table.resolves(id) => return Ok(None),
        Ok(Some(_)) => "a table that does not know it".into(),
        Ok(None) => "no table beside it".into(),
        Err(error) if matches!(error.kind(), Corrupt | Truncated | UntrustedTracking) => {
            format!("a table that cannot be used ({error})")
        }
        Err(error) => return Err(error),
    };
    let file = file_name(chain, depth);
    Ok(Some(format!(
        "expected the tracking table (.rct) of {file} to know the RCT id {id}, found {found}"
    )))
}

fn file_name(chain: &Chain, depth: usize) -> String {
    chain.files()[depth].path().file_name().unwrap_or_default().display().to_string()
}

/// Equal for names that [`same_name`] takes for the same.
fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_lowercase).collect()
}

/// A path's last component, or what stands in its place.
fn path_name(path: &str) -> &str {
    WindowsPath(path).file_name().unwrap_or(path)
}
