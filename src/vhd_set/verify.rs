//! Checks that a catalog matches the current files; otherwise its entries cannot be trusted.

use super::Snapshot;
use super::file::locate;
use super::resolve::{Catalog, SnapshotResolver, how_to_list};
use crate::chain::{Chain, FileResolver, Tracking, WindowsPath, same_name};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::limits::Limits;
use crate::rct::RctId;
use std::collections::HashSet;
use std::path::Path;

fn stale(set: &Path, catalog: &Catalog, differs: &str) -> Error {
    let message =
        format!("the snapshot catalog is stale: {differs}; write it anew: {}", how_to_list(set));
    let place = catalog.file.as_deref().unwrap_or(set);
    Error::new(ErrorKind::CatalogMismatch, message).in_file(Subject::Catalog, place)
}

/// Fails unless every file that the catalog names exists.
pub(super) fn verify_paths(
    resolver: &FileResolver,
    set: &Path,
    catalog: &Catalog,
    limits: &Limits,
) -> Result<()> {
    // Names that differ only by letter case are the same file, so each is searched for once.
    let mut names = HashSet::new();
    for snapshot in &catalog.listed.snapshots {
        let own = snapshot.path.iter().map(|path| (path, "the file"));
        let parents = snapshot.parents.iter().map(|path| (path, "a parent"));
        for (path, what) in own.chain(parents) {
            if !names.insert(folded(path_name(path))) {
                continue;
            }
            limits.check()?;
            if locate(resolver, set, path).is_none() {
                let differs = format!(
                    "expected {what} of snapshot {}, {}, in the set's directory or in one of {} search directories, \
                     found none",
                    snapshot.id,
                    path.escape_debug(),
                    resolver.search_paths.len()
                );
                return Err(stale(set, catalog, &differs));
            }
        }
    }
    Ok(())
}

/// Fails unless the snapshot's file, at this depth of the chain, has the parents, and resolves the
/// RCT id, that the catalog lists.
pub(super) fn verify_snapshot(
    resolver: &SnapshotResolver<'_>,
    catalog: &Catalog,
    snapshot: &Snapshot,
    chain: &Chain,
    depth: usize,
) -> Result<()> {
    let differs = match verify_parents(resolver, snapshot, chain, depth)? {
        None => snapshot.rct_id.map_or(Ok(None), |id| verify_rct_id(id, chain, depth))?,
        differs => differs,
    };
    let Some(differs) = differs else { return Ok(()) };
    let differs = format!("of snapshot {}, {differs}", snapshot.id);
    Err(stale(resolver.set.path(), catalog, &differs))
}

/// Returns the first difference between the list of parents and the chain: both must end at the
/// same file.
fn verify_parents(
    resolver: &SnapshotResolver<'_>,
    snapshot: &Snapshot,
    chain: &Chain,
    depth: usize,
) -> Result<Option<String>> {
    if !snapshot.lists_parents() {
        return Ok(None);
    }
    for i in 0.. {
        let below = depth + 1 + i;
        let exists = below < chain.files().len();
        if !exists {
            chain.verify_complete()?;
        }
        let listed = snapshot.parents.get(i);
        let agrees = match listed {
            None if !exists => return Ok(None),
            Some(path) if exists => is_file_of(resolver, chain, below, path),
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

/// Returns whether a path of the catalog refers to the file at this depth of the chain.
fn is_file_of(resolver: &SnapshotResolver<'_>, chain: &Chain, depth: usize, path: &str) -> bool {
    let file = &chain.files()[depth];
    let name = file.vhdx.path().file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| same_name(name, path_name(path)))
        || locate(resolver.resolver, resolver.set.path(), path).as_ref() == Some(&file.name)
}

/// Returns why the table of the file at this depth cannot be confirmed to resolve the id.
fn verify_rct_id(id: RctId, chain: &Chain, depth: usize) -> Result<Option<String>> {
    use ErrorKind::{Corrupt, Truncated, UntrustedTracking};
    let found = match &chain.files()[depth].tracking() {
        Tracking::Usable { table, .. } if table.resolves(id) => return Ok(None),
        Tracking::Usable { .. } => "a table that does not resolve it".into(),
        Tracking::Off => "no table beside it".into(),
        Tracking::Unusable(error)
            if matches!(error.kind(), Corrupt | Truncated | UntrustedTracking) =>
        {
            format!("a table that cannot be used ({error})")
        }
        Tracking::Unusable(error) => return Err(error.clone()),
    };
    let file = file_name(chain, depth);
    Ok(Some(format!(
        "expected the tracking table (.rct) of {file} to know the RCT id {id}, found {found}"
    )))
}

fn file_name(chain: &Chain, depth: usize) -> String {
    chain.files()[depth].vhdx.path().file_name().unwrap_or_default().display().to_string()
}

/// Returns a key that is equal for names that [`same_name`] considers the same.
fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_lowercase).collect()
}

/// Returns a path's last component, or the whole text if there is none.
fn path_name(path: &str) -> &str {
    WindowsPath(path).file_name().unwrap_or(path)
}
