//! Checks that a catalog matches the current files; otherwise its entries cannot be trusted.

use super::error::SetError;
use super::resolve::{Catalog, Listed, SnapshotResolver};
use crate::chain::{Chain, Tracking, WindowsPath, same_name};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::rct::RctId;
use std::collections::HashSet;

impl SnapshotResolver<'_> {
    fn stale(&self, catalog: &Catalog, differs: String) -> Error {
        let error = SetError::Stale { differs, next_step: self.how_to_list() };
        let place = catalog.file.as_deref().unwrap_or(self.set.file.path());
        Error::from(error).in_file(Subject::Catalog, place)
    }

    /// Fails unless every file that the catalog names exists. Only a question that uses one of its
    /// snapshots needs this, and only after that snapshot's own file was found: without that file
    /// the requested content is unavailable (32777), whereas any other missing file shows that the
    /// catalog is stale (32775).
    pub(super) fn verify_catalog(&self, catalog: &Catalog) -> Result<()> {
        // Names that differ only by letter case are the same file, so each is searched for once.
        let mut names = HashSet::new();
        for snapshot in &catalog.listed.snapshots {
            let own = snapshot.path.iter().map(|path| (path, "the file"));
            let parents = snapshot.parents.iter().map(|path| (path, "a parent"));
            for (path, what) in own.chain(parents) {
                if !names.insert(folded(path_name(path))) {
                    continue;
                }
                self.limits.check()?;
                if self.locate(path).is_none() {
                    let differs = format!(
                        "expected {what} of snapshot {}, {}, in the set's directory or in one of {} search \
                         directories, found none",
                        snapshot.id,
                        path.escape_debug(),
                        self.resolver.search_paths.len()
                    );
                    return Err(self.stale(catalog, differs));
                }
            }
        }
        Ok(())
    }

    /// Fails unless the snapshot's file, at this depth of the chain, has the parents, and resolves
    /// the RCT id, that the catalog lists.
    pub(super) fn verify_snapshot(
        &self,
        listed: &Listed<'_>,
        chain: &Chain,
        depth: usize,
    ) -> Result<()> {
        let Listed { snapshot, catalog } = listed;
        let mut differs = None;
        if snapshot.lists_parents() {
            differs = self.parent_difference(&snapshot.parents, chain, depth)?;
        }
        if let (None, Some(id)) = (&differs, snapshot.rct_id) {
            differs = rct_id_difference(id, chain, depth)?;
        }
        differs.map_or(Ok(()), |differs| {
            Err(self.stale(catalog, format!("of snapshot {}, {differs}", snapshot.id)))
        })
    }

    /// Returns the first difference between a list of parents and the chain: both must end at the
    /// same file.
    fn parent_difference(
        &self,
        parents: &[String],
        chain: &Chain,
        depth: usize,
    ) -> Result<Option<String>> {
        for i in 0.. {
            let (below, listed) = (depth + 1 + i, parents.get(i));
            let exists = below < chain.files.len();
            if !exists {
                chain.verify_complete()?;
            }
            match listed {
                None if !exists => break,
                Some(path) if exists && self.is_file_of(chain, below, path) => continue,
                _ => {}
            }
            let expected = listed.map(|path| path_name(path).escape_debug().to_string());
            let found = exists.then(|| file_name(chain, below));
            let [expected, found] = [expected, found].map(|name| name.unwrap_or("none".into()));
            return Ok(Some(format!("expected parent {} to be {expected}, found {found}", i + 1)));
        }
        Ok(None)
    }

    /// Returns whether a path of the catalog refers to the file at this depth of the chain.
    fn is_file_of(&self, chain: &Chain, depth: usize, path: &str) -> bool {
        let file = &chain.files[depth];
        let name = file.vhdx.file.path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| same_name(name, path_name(path)))
            || self.locate(path).as_ref() == Some(&file.name)
    }
}

/// Returns why the table of the file at this depth cannot be confirmed to resolve the id.
fn rct_id_difference(id: RctId, chain: &Chain, depth: usize) -> Result<Option<String>> {
    use ErrorKind::{Corrupt, Truncated, UntrustedTracking};
    let found = match &chain.files[depth].tracking() {
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
        "expected the tracking table (.rct) of {file} to resolve the RCT id {id}, found {found}"
    )))
}

fn file_name(chain: &Chain, depth: usize) -> String {
    chain.files[depth].vhdx.file.path.file_name().unwrap_or_default().display().to_string()
}

/// Returns a key that is equal for names that [`same_name`] considers the same.
fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_lowercase).collect()
}

/// Returns a path's last component, or the whole text if there is none.
fn path_name(path: &str) -> &str {
    WindowsPath(path).file_name().unwrap_or(path)
}
