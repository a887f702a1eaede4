//! VHDX files. The model determines the state of each file after a power loss, or its refusal.

use super::source;
use crate::common::prelude::*;
use vhdx_rct_fixtures::power::{Cut, SECTOR};
use vhdx_rct_fixtures::ranges::{clip, coalesce};
use vhdx_rct_fixtures::record::{Layer, Stack};
use vhdx_rct_fixtures::vhdx::PAGE;
use vhdx_rct_fixtures::vhdx::writer::{Announce, Outcome, Writer};

const BASE: &str = "/disks/base.vhdx";
const DISK: &str = "/disks/disk.avhdx";
/// Of larger disks, only the regions that some state uses are compared.
const SMALL: u64 = 8 * MB;

/// A file that was written to, and its parent.
struct Series {
    writer: Writer,
    base: Option<(Arc<dyn Source>, Layer)>,
}

/// Regions of a disk, and their bytes.
type Content = Vec<(Range<u64>, Vec<u8>)>;

/// How often each outcome was seen.
#[derive(Debug, Default)]
struct Seen {
    refused: usize,
    /// By the number of commits.
    states: Vec<usize>,
    between: usize,
}

impl Series {
    fn new(size: u64, child: bool, announce: Announce, ring: u64) -> Self {
        let disk = |seed| VhdxBuilder::new(size).seed(seed).disk_id(Uuid::from_u128(0xD));
        let mut builder = disk(2);
        let mut base = None;
        if child {
            let below = disk(1).block(0, Block::Full(Fill(1))).block(2, Block::Full(Fill(2)));
            let image = Image::new(&below);
            let locator = ParentLocator::new(image.at.data_write_guid).relative(r".\base.vhdx");
            builder = builder.parent(locator);
            base = Some((Arc::new(SliceSource(image.bytes)) as Arc<dyn Source>, below.layer()));
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        let writer = Writer::open(&builder, &path, announce, ring).unwrap();
        Series { writer, base }
    }

    fn stack(&self, state: usize) -> Stack {
        let below = self.base.iter().map(|(_, layer)| layer.clone());
        Stack(below.chain([self.writer.commits[state].layer.clone()]).collect())
    }

    fn open(&self, cut: &Cut) -> Result<Disk, Error> {
        let mut files = MemoryStorage::new();
        if let Some((below, _)) = &self.base {
            files.insert(BASE, below.clone());
        }
        files.insert(DISK, Arc::new(source(cut)));
        OpenOptions::new().storage(Arc::new(files)).open(DISK)
    }

    /// The regions whose content is compared.
    fn regions(&self) -> Vec<Range<u64>> {
        let size = self.writer.commits[0].layer.size();
        if size <= SMALL {
            return vec![0..u64::MAX];
        }
        let states = (0..self.writer.commits.len()).map(|state| self.stack(state));
        coalesce(states.flat_map(|stack| stack.interesting_regions()).collect())
    }

    /// The content of each state.
    fn contents(&self) -> Vec<Content> {
        let regions = self.regions();
        let content = |state| {
            let stack = self.stack(state);
            let read =
                |region: Range<u64>| (region.clone(), stack.read(region.start, region.count()));
            regions.iter().map(|region| read(clip(region, &(0..stack.size())))).collect()
        };
        (0..self.writer.commits.len()).map(content).collect()
    }

    /// Reads the file after each power loss.
    fn verify(&self, shuffled: u64) -> Seen {
        let mut seen = Seen { states: vec![0; self.writer.commits.len()], ..Seen::default() };
        let contents = self.contents();
        self.writer.recording.cuts(shuffled, |cut| match self.writer.outcome(&cut.persisted) {
            Outcome::Refused => {
                self.verify_refusal(cut);
                seen.refused += 1;
            }
            Outcome::State(state) => {
                self.verify_state(cut, state, &contents, None);
                seen.states[state] += 1;
            }
            Outcome::Between(state) => {
                let in_place = self.writer.commits[state + 1].in_place.clone();
                self.verify_state(cut, state, &contents, Some(in_place.unwrap()));
                seen.between += 1;
            }
        });
        seen
    }

    fn verify_refusal(&self, cut: &Cut) {
        let error = self.open(cut).expect_err(&cut.name);
        assert_eq!(error.return_value().code(), 32768, "{}: {error}", cut.name);
        assert!(error.to_string().contains("the log holds updates"), "{}: {error}", cut.name);
    }

    /// Verifies ranges and content; each sector that the next state changes in place may have that.
    fn verify_state(
        &self,
        cut: &Cut,
        state: usize,
        contents: &[Content],
        in_place: Option<Range<u64>>,
    ) {
        let (name, stack) = (&cut.name, self.stack(state));
        let disk = self.open(cut).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut questions = vec![(Baseline::Allocated, stack.allocated())];
        if self.base.is_some() {
            questions.push((Baseline::File(BASE.into()), stack.changed_since(0)));
        }
        for (since, right) in questions {
            let name = format!("{name}: state {state}, since {since}");
            let answer = disk.changes(since).collect();
            let answer = answer.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(answer.ranges, ranges(&right), "{name}");
            assert_eq!(answer.disk.virtual_size, stack.size(), "{name}");
        }
        for (i, (region, right)) in contents[state].iter().enumerate() {
            let mut found = vec![0; right.len()];
            disk.read_exact_at(&mut found, region.start).unwrap();
            if let Some(place) = &in_place {
                let (_, later) = &contents[state + 1][i];
                for offset in clip(place, region).step_by(SECTOR) {
                    let start = (offset - region.start) as usize;
                    let sector = start..start + SECTOR;
                    if found[sector.clone()] == later[sector.clone()] {
                        found[sector.clone()].copy_from_slice(&right[sector]);
                    }
                }
            }
            assert!(found == *right, "{name}: the content of {region:?}");
        }
    }
}

/// Asserts that each state was seen, and refusals only if the log is announced before its entry.
fn assert_all_seen(seen: &Seen, announce: Announce) {
    assert!(seen.states.iter().all(|&count| count > 0), "{seen:?}");
    match announce {
        Announce::BeforeEntry => assert!(seen.refused > 0, "{seen:?}"),
        Announce::AfterEntry => assert_eq!(seen.refused, 0, "{seen:?}"),
    }
}

const BOTH: [Announce; 2] = [Announce::BeforeEntry, Announce::AfterEntry];

#[test]
fn reads_blocks_of_a_dynamic_disk() {
    for announce in BOTH {
        let mut series = Series::new(4 * MB, false, announce, 0);
        let writer = &mut series.writer;
        writer.full(1, Fill(1));
        writer.log();
        writer.overwrite(1, 4096..12288, Fill(2));
        writer.close();
        // The file is made longer only after the entry.
        writer.full(2, Fill::ZEROS);
        writer.log();
        writer.full(3, Fill::ZEROS);
        writer.discard(1, 3);
        writer.log();
        writer.close();
        let seen = series.verify(4);
        assert_all_seen(&seen, announce);
        assert!(seen.between > 0, "{seen:?}");
    }
}

#[test]
fn reads_an_entry_with_several_bat_pages() {
    let mut series = Series::new(1100 * MB, false, Announce::BeforeEntry, 5 * PAGE);
    let writer = &mut series.writer;
    for round in 0..2 {
        for (block, fill) in [(5, Fill(1)), (600, Fill::ZEROS), (1050, Fill::ZEROS)] {
            writer.full(block + round, fill);
        }
        writer.log();
    }
    writer.discard(5, 0);
    writer.discard(1051, 2);
    writer.log();
    writer.close();
    let seen = series.verify(8);
    assert_all_seen(&seen, Announce::BeforeEntry);
}

#[test]
fn reads_sectors_of_a_differencing_disk() {
    for announce in BOTH {
        let mut series = Series::new(4 * MB, true, announce, MB - PAGE);
        let writer = &mut series.writer;
        writer.sectors(0, 3..20, Fill(3));
        writer.log();
        writer.sectors(0, 1000..1008, Fill(4));
        writer.sectors(2, 2047..2048, Fill(5));
        writer.log();
        writer.apply();
        writer.discard(2, 2);
        writer.full(1, Fill::ZEROS);
        writer.log();
        writer.close();
        writer.overwrite(0, 2048..4096, Fill(6));
        writer.resize(6 * MB);
        writer.sectors(3, 7..9, Fill(7));
        writer.log();
        writer.close();
        assert_eq!(
            (writer.seen.0, writer.seen.1),
            (1, 1),
            "entries that wrap, entries after the tail"
        );
        let seen = series.verify(4);
        assert_all_seen(&seen, announce);
    }
}

/// A series of updates of every kind.
fn random(seed: u64) -> Series {
    let mut rng = Rng::new(seed);
    let child = rng.one_in(2);
    let announce = rng.pick(&BOTH);
    // Most begin near the log's end.
    let ring = MB - rng.pick(&[1, 2, 2, 3, 5]) * PAGE;
    let mut series = Series::new(3 * MB, child, announce, ring);
    let writer = &mut series.writer;
    // The number of used sectors of each block.
    let mut used = [0_u64; 3];
    for _ in 0..rng.range(4..8) {
        for _ in 0..rng.range(1..4) {
            let block = rng.below(3);
            let (now, fill) = (used[block as usize], rng.pick(&[Fill::ZEROS, Fill(seed)]));
            used[block as usize] = match rng.below(4) {
                0 => {
                    writer.discard(block, rng.pick(&[0, 2, 3]));
                    0
                }
                1 if now == 0 => {
                    writer.full(block, fill);
                    2048
                }
                2.. if child && now < 2000 => {
                    let first = now + rng.below(20);
                    let last = first + rng.range(1..20);
                    writer.sectors(block, first..last, fill);
                    last
                }
                _ => now,
            };
        }
        writer.log();
        match rng.below(4) {
            0 => writer.apply(),
            1 => writer.close(),
            _ => {}
        }
        let full = used.iter().position(|used| *used == 2048);
        if let Some(block) = full.filter(|_| rng.one_in(3)) {
            writer.overwrite(block as u64, 512..1536, Fill(seed + 1));
        }
    }
    writer.close();
    series
}

/// Discarding a block and taking sectors of it again, entries that wrap, several that are active.
#[test]
fn reads_random_series_of_updates() {
    let (mut wrapped, mut several, mut refused) = (0, 0, 0);
    let seeds = crate::common::seeds(3, 8);
    let all = seeds.end as usize;
    for seed in seeds {
        let series = random(seed);
        wrapped += series.writer.seen.0;
        several += series.writer.seen.1;
        refused += series.verify(3).refused;
    }
    let enough = 2 * wrapped >= all && 4 * several > 5 * all && 2 * refused > 5 * all;
    assert!(enough, "{wrapped} {several} {refused}");
}
