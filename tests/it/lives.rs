//! Random lives of tracked disks, by a model that knows the rules of the formats and the disk's
//! content at every moment: each answer must be the rule's, and contain what changed.

use crate::common::{codes, ranges, seeds};
use std::collections::BTreeMap;
use std::ops::{Range, RangeBounds};
use std::path::{Path, PathBuf};
use vhdx_rct::{Baseline, ByteRange, Disk, Error, OpenOptions, VirtualDiskChanges};
use vhdx_rct_fixtures::model::{CreatedId, DiskModel, FileId, Refusal, Verdict};
use vhdx_rct_fixtures::ranges::{clip, coalesce};
use vhdx_rct_fixtures::rct::{RctId, id_text};
use vhdx_rct_fixtures::rng::Rng;

const EVENTS: Range<u64> = 10..70;

/// Each seed is a life of its own; a failure gives the seed.
fn for_each_life(seeds: Range<u64>, mut check: impl FnMut(&Written, &mut Rng)) {
    for seed in seeds {
        let mut rng = Rng::new(!seed);
        let life = DiskModel::random(seed, rng.range(EVENTS));
        let written = Written::new(life, &[]);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            check(&written, &mut rng);
        }));
        assert!(result.is_ok(), "the life of seed {seed} fails");
    }
}

/// A life, and its files in a directory.
struct Written {
    life: DiskModel,
    paths: BTreeMap<FileId, PathBuf>,
    _directory: tempfile::TempDir,
}

impl Written {
    fn new(life: DiskModel, unclean: &[FileId]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let paths = life.write(directory.path(), unclean).unwrap();
        Self { life, paths, _directory: directory }
    }

    fn path(&self, file: FileId) -> &Path {
        &self.paths[&file]
    }

    /// The leaf, and in some lives another file that is asked as a disk of its own.
    fn leaves(&self, rng: &mut Rng) -> Vec<FileId> {
        let mut leaves = vec![self.life.leaf()];
        if rng.one_in(2) {
            leaves.push(rng.pick(&self.life.files()));
        }
        leaves.dedup();
        leaves
    }

    fn open(&self, file: FileId, allow_unclean: bool) -> Result<Disk, Error> {
        OpenOptions::new().allow_unclean(allow_unclean).open(self.path(file))
    }

    fn changes(
        &self,
        file: FileId,
        id: RctId,
        region: impl RangeBounds<u64>,
        allow_unclean: bool,
    ) -> Result<VirtualDiskChanges, Error> {
        let since: Baseline = id_text(id.0, id.1).parse()?;
        self.open(file, allow_unclean)?.changes(since).region(region).collect()
    }

    /// Asks for the whole disk, and returns the ranges if there is an answer: the rule's.
    fn ask(&self, file: FileId, id: RctId, allow_unclean: bool) -> Option<Vec<ByteRange>> {
        let answer = self.changes(file, id, .., allow_unclean);
        let place = || format!("file {file} since {}", id_text(id.0, id.1));
        match (self.life.verdict(file, id, allow_unclean), answer) {
            (Verdict::Refused(expected), Err(error)) => {
                assert!(is_meant(expected, &error), "{}: {expected:?}, but {error}", place());
                None
            }
            (Verdict::Changed(expected), Ok(found)) => {
                let (path, expected) = (expected.path, ranges(&expected.ranges()));
                assert_eq!(found.ranges, expected, "{}, by {path:?}", place());
                Some(found.ranges)
            }
            (Verdict::Refused(expected), Ok(_)) => {
                panic!("{}: an answer, but it should be refused: {expected:?}", place());
            }
            (Verdict::Changed(expected), Err(error)) => {
                panic!("{}: should be answered by {:?}: {error}", place(), expected.path);
            }
        }
    }

    /// Asks in two parts, which must join to the whole, or be refused as the whole is.
    fn ask_in_parts(&self, file: FileId, id: RctId, whole: Option<&[ByteRange]>, cut: u64) {
        for region in [0..cut, cut..self.life.size()] {
            match (whole, self.changes(file, id, region.clone(), false)) {
                (Some(whole), Ok(part)) => {
                    let within =
                        whole.iter().map(|range| clip(&(range.offset..range.end()), &region));
                    assert_eq!(part.ranges, ranges(&coalesce(within.collect())), "{region:?}");
                }
                (None, Err(_)) => {}
                (_, part) => panic!("{region:?} of file {file}: {part:?}, unlike the whole disk"),
            }
        }
    }
}

/// Whether an error is the refusal that the model calls for.
fn is_meant(expected: Refusal, error: &Error) -> bool {
    let found = (error.return_value().code(), error.win32_code());
    match expected {
        Refusal::TrackingOff => found == codes::TRACKING_OFF,
        Refusal::NoDataForId => found == codes::UNKNOWN_ID,
        Refusal::NotClosedCleanly => found == codes::UNTRUSTED,
        Refusal::InvalidState => found.0 == codes::UNTRUSTED.0,
        Refusal::OfTheTable => [codes::UNTRUSTED.0, codes::CORRUPT.0].contains(&found.0),
    }
}

/// Asserts that the ranges contain every sector whose content differs from then.
fn assert_contains(found: &[ByteRange], changed: &[usize], since: &CreatedId) {
    let mut left = found.iter().peekable();
    for sector in changed {
        let bytes = *sector as u64 * 512..(*sector as u64 + 1) * 512;
        while left.next_if(|range| range.end() <= bytes.start).is_some() {}
        let holds = left.peek().is_some_and(|r| r.offset <= bytes.start && bytes.end <= r.end());
        assert!(
            holds,
            "{bytes:?} changed since {} and is missing",
            id_text(since.id.0, since.id.1)
        );
    }
}

#[test]
fn answers_since_created_ids_match_the_rule() {
    let mut answers = 0;
    for_each_life(seeds(40, 400), |written, rng| {
        let life = &written.life;
        for file in written.leaves(rng) {
            for since in life.created_ids() {
                let whole = written.ask(file, since.id, false);
                if rng.one_in(4) {
                    written.ask_in_parts(file, since.id, whole.as_deref(), rng.below(life.size()));
                }
                let Some(found) = whole else { continue };
                answers += 1;
                if let Verdict::Changed(expected) = life.verdict(file, since.id, false)
                    && life.undetectable(since, &expected).is_none()
                {
                    assert_contains(&found, &life.changed_sectors(file, since), since);
                }
            }
        }
    });
    assert!(answers > 100, "only {answers} questions were answered");
}

#[test]
fn answers_since_other_ids_match_the_rule() {
    let mut ids = 0;
    for_each_life(seeds(40, 400), |written, _| {
        for id in written.life.unknown_ids() {
            written.ask(written.life.leaf(), id, false);
            ids += 1;
        }
    });
    assert!(ids > 40, "only {ids} ids were asked about");
}

#[test]
fn answers_a_root_in_use_by_its_table_if_allowed() {
    let mut answers = 0;
    for seed in 0..seeds(40, 400).end * 10 {
        let life = DiskModel::random(seed, 30);
        let (leaf, ids) = (life.leaf(), life.created_ids().to_vec());
        let refused_by_default = |since: &CreatedId| {
            let verdict = life.verdict(leaf, since.id, false);
            matches!(verdict, Verdict::Refused(Refusal::NotClosedCleanly))
        };
        let Some(since) = ids.iter().find(|since| refused_by_default(since)) else { continue };
        let written = Written::new(life.clone(), &[]);
        assert!(written.ask(leaf, since.id, true).is_some(), "seed {seed}");
        answers += 1;
    }
    assert!(answers > 0, "no root was in use");
}

#[test]
fn rejects_a_parent_in_use() {
    let mut refused = 0;
    for seed in seeds(40, 400) {
        let life = DiskModel::random(seed, 30);
        let chain = life.chain(life.leaf());
        let [.., parent, leaf] = chain[..] else { continue };
        let answered =
            life.created_ids().iter().find_map(|since| match life.verdict(leaf, since.id, false) {
                Verdict::Changed(answer) => Some((since.clone(), answer)),
                Verdict::Refused(_) => None,
            });
        let Some((since, answer)) = answered else { continue };
        let written = Written::new(life, &[parent]);
        let error = written.changes(leaf, since.id, .., false).unwrap_err();
        assert_eq!(error.return_value().code(), codes::UNTRUSTED.0, "seed {seed}: {error}");
        let allowed = written.changes(leaf, since.id, .., true).unwrap();
        if written.life.undetectable(&since, &answer).is_none() {
            assert_contains(&allowed.ranges, &written.life.changed_sectors(leaf, &since), &since);
        }
        refused += 1;
    }
    assert!(refused > 5, "only {refused} lives have a parent");
}

#[test]
fn content_matches_the_model() {
    for_each_life(seeds(40, 400), |written, rng| {
        for file in written.leaves(rng) {
            let disk = written.open(file, false).unwrap();
            let expected = written.life.bytes(file);
            let mut found = vec![0xEE; expected.len()];
            disk.read_exact_at(&mut found, 0).unwrap();
            let differs = found.iter().zip(&expected).position(|(found, right)| found != right);
            assert_eq!(differs, None, "file {file} reads differently from this byte on");
        }
    });
}
