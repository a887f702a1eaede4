//! Random chains from the fixture builder: every answer must match the builder's record of its
//! writes.

use crate::common::disks::write_pair;
use crate::common::{baseline_file, changes, ranges, seeds};
use std::ops::Range;
use std::path::Path;
use vhdx_rct::{Baseline, ByteRange, ChangeQuery, Disk, ExtentKind};
use vhdx_rct_fixtures::chain::Chain;
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::ranges::{clip, coalesce};
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::vhdx::{Block, MB, VhdxBuilder};

/// Runs a check on each random chain; a failure names the seed.
fn for_each_chain(seeds: Range<u64>, check: impl Fn(&Chain, &mut Rng)) {
    for seed in seeds {
        let folder = tempfile::tempdir().unwrap();
        let chain = Chain::random(folder.path(), seed).unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            check(&chain, &mut Rng::new(seed))
        }));
        assert!(result.is_ok(), "the chain of seed {seed} fails");
    }
}

fn leaf(chain: &Chain) -> &Path {
    chain.files.last().unwrap()
}

fn query(chain: &Chain, since: Baseline) -> ChangeQuery {
    Disk::open(leaf(chain)).unwrap().changes(since)
}

/// Everything, and, of a disk with parents, what changed since its root.
fn baselines(chain: &Chain) -> Vec<Baseline> {
    let root = (chain.files.len() > 1).then(|| baseline_file(&chain.files[0]));
    std::iter::once(Baseline::Allocated).chain(root).collect()
}

fn clipped(all: &[Range<u64>], region: &Range<u64>) -> Vec<ByteRange> {
    ranges(&coalesce(all.iter().map(|range| clip(range, region)).collect()))
}

fn random_region(rng: &mut Rng, size: u64) -> Range<u64> {
    let (a, b) = (rng.below(size + 1), rng.below(size + 1));
    a.min(b)..a.max(b)
}

#[test]
fn changes_since_each_file_match_the_record() {
    for_each_chain(seeds(40, 240), |chain, rng| {
        let itself = query(chain, baseline_file(leaf(chain))).collect().unwrap_err();
        assert_eq!(itself.return_value().code(), 32773);
        for (index, file) in chain.files.iter().enumerate().rev().skip(1) {
            let expected = chain.changed_since(index);
            let answer = query(chain, baseline_file(file)).collect().unwrap();
            assert_eq!(answer.ranges, ranges(&expected), "since {}", file.display());
            assert_eq!(answer.processed_byte_length, chain.size());
            assert_eq!(answer.disk.virtual_disk_id, chain.disk_id);
            let region = random_region(rng, chain.size());
            let part = query(chain, baseline_file(file)).region(region.clone()).collect().unwrap();
            assert_eq!(part.ranges, clipped(&expected, &region), "{region:?}");
            assert_eq!(part.processed_byte_length, region.end - region.start);
        }
    });
}

#[test]
fn allocated_ranges_match_the_record() {
    for_each_chain(seeds(40, 240), |chain, _| {
        let answer = query(chain, Baseline::Allocated).collect().unwrap();
        assert_eq!(answer.ranges, ranges(&chain.allocated()));
    });
}

#[test]
fn content_matches_the_record() {
    for_each_chain(seeds(40, 240), |chain, rng| {
        let disk = Disk::open(leaf(chain)).unwrap();
        let mut regions = chain.interesting_regions();
        regions.extend((0..4).map(|_| random_region(rng, chain.size().min(4 << 20))));
        for region in regions {
            for start in (region.start..region.end).step_by(4 << 20) {
                let length = (region.end - start).min(4 << 20) as usize;
                let mut found = vec![0xEE; length];
                disk.read_exact_at(&mut found, start).unwrap();
                assert!(found == chain.read(start, length), "{length} bytes at {start} differ");
            }
        }
    });
}

#[test]
fn pieces_of_a_region_join_to_the_whole() {
    for_each_chain(seeds(16, 60), |chain, rng| {
        for since in baselines(chain) {
            let whole = query(chain, since.clone()).collect().unwrap().ranges;
            let mut cuts: Vec<u64> = (0..6).map(|_| rng.below(chain.size() + 1)).collect();
            cuts.extend([0, chain.size()]);
            cuts.sort_unstable();
            let mut joined = Vec::new();
            for cut in cuts.windows(2) {
                let part = query(chain, since.clone()).region(cut[0]..cut[1]).collect().unwrap();
                joined.extend(part.ranges.into_iter().map(Range::<u64>::from));
            }
            assert_eq!(ranges(&coalesce(joined)), whole, "cut at {cuts:?}");
        }
    });
}

#[test]
fn resuming_after_the_range_limit_loses_nothing() {
    for_each_chain(seeds(16, 60), |chain, rng| {
        let region = random_region(rng, chain.size());
        for since in baselines(chain) {
            let whole =
                query(chain, since.clone()).region(region.clone()).collect().unwrap().ranges;
            for most in [1, 2, 7] {
                let (mut joined, mut at) = (Vec::new(), region.start);
                loop {
                    let part = query(chain, since.clone())
                        .region(at..region.end)
                        .max_ranges(most)
                        .collect()
                        .unwrap();
                    assert!(part.ranges.len() <= most);
                    assert!(
                        part.processed_byte_length > 0 || at == region.end,
                        "no progress at {at}"
                    );
                    joined.extend(part.ranges);
                    at += part.processed_byte_length;
                    if at == region.end {
                        break;
                    }
                }
                assert_eq!(joined, whole, "in steps of {most}");
            }
        }
    });
}

#[test]
fn extents_cover_the_changes_and_mark_zeros_correctly() {
    for_each_chain(seeds(24, 100), |chain, _| {
        let since = baselines(chain).pop().unwrap();
        let mut covered = Vec::new();
        for extent in query(chain, since.clone()).extents().unwrap() {
            let extent = extent.unwrap();
            assert!(extent.file < chain.files.len());
            covered.push(Range::<u64>::from(extent.range));
            if extent.kind != ExtentKind::Data && extent.range.length <= 8 << 20 {
                let content = chain.read(extent.range.offset, extent.range.length as usize);
                assert!(content.iter().all(|&byte| byte == 0), "{extent:?} is not all zeros");
            }
        }
        assert_eq!(ranges(&coalesce(covered)), query(chain, since).collect().unwrap().ranges);
    });
}

/// A disk of 9 GiB with blocks of 1 MiB spans three chunks of 4 GiB; with 4096-byte sectors, 40 GiB
/// span two.
#[test]
fn reads_bitmaps_at_chunk_borders() {
    for (size, sector, block_size) in
        [(9 << 30, 512, MB), (40 << 30, 4096, MB), (9 << 30, 512, 256 * MB)]
    {
        let folder = tempfile::tempdir().unwrap();
        let sectors = block_size / u64::from(sector);
        let disk = |seed| {
            let disk = VhdxBuilder::new(size).seed(seed).disk_id(uuid::Uuid::from_u128(7));
            disk.block_size(block_size).logical_sector_size(sector)
        };
        let chunk = (1 << 23) * u64::from(sector) / block_size;
        let last = sectors - 1..sectors;
        let child = disk(2)
            .block(chunk - 1, Block::Partial { sectors: vec![0..1, last], fill: Fill(1) })
            .block(chunk, Block::Partial { sectors: vec![0..2, 5..6], fill: Fill(1) });
        write_pair(folder.path(), ("base.vhdx", disk(1)), ("child.avhdx", child));
        let base = baseline_file(&folder.path().join("base.vhdx"));
        let answer = changes(folder.path().join("child.avhdx"), base).unwrap();
        let (sector, border) = (u64::from(sector), chunk * block_size);
        let expected = [
            border - block_size..border - block_size + sector,
            border - sector..border + 2 * sector,
            border + 5 * sector..border + 6 * sector,
        ];
        assert_eq!(answer.ranges, ranges(&expected), "{size} bytes, sectors of {sector}");
    }
}
