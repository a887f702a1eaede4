//! The tables that are read, and the questions that make the library read them.

use super::{Kind, Scale, Scratch, sum};
use std::ops::Range;
use std::path::PathBuf;
use vhdx_rct::{ChangeQuery, Limit, RctId};
use vhdx_rct_fixtures::bulk::{Chunk, Disk, State, Table, Written};
use vhdx_rct_fixtures::rct::PageOrder;
use vhdx_rct_fixtures::rng::mix;
use vhdx_rct_fixtures::vhdx::ParentLocator;

const GB: u64 = 1 << 30;
const TB: u64 = 1 << 40;
const MB: u64 = 1 << 20;

/// A table and the question that reads all of it.
pub struct Case {
    pub name: &'static str,
    /// The share of the baseline's throughput that is aimed at.
    pub target: f64,
    /// What a query of the whole disk has to read.
    pub parts: Vec<(PathBuf, Range<u64>)>,
    query: ChangeQuery,
}

impl Case {
    /// Asks about the whole disk, and counts the ranges and their bytes.
    pub fn ask(&self, kind: Kind) -> (u64, u64) {
        let changes = self.query.clone().storage(kind.storage()).stream().expect("the disk opens");
        changes.fold((0, 0), |(ranges, bytes), range| {
            (ranges + 1, bytes + range.expect("the tables are good").length)
        })
    }

    /// Reads the same bytes.
    pub fn baseline(&self, kind: Kind) -> u64 {
        sum(&*kind.storage(), &self.parts)
    }

    /// How many bytes of tables are read.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|(_, range)| range.end - range.start).sum()
    }

    /// A case, once its answer is found to be right.
    fn checked(
        name: &'static str,
        target: f64,
        file: PathBuf,
        written: Written,
        query: ChangeQuery,
    ) -> Self {
        let parts = written.tables.into_iter().map(|range| (file.clone(), range)).collect();
        let case = Case { name, target, parts, query };
        let right = (written.answer.ranges, written.answer.bytes);
        for kind in [Kind::File, Kind::Map] {
            assert_eq!(case.ask(kind), right, "{name}");
        }
        case
    }
}

/// Every case, its files written.
pub fn cases(scratch: &Scratch, scale: Scale) -> Vec<Case> {
    let mut cases = tables(scratch, scale);
    cases.extend(bats(scratch, scale));
    cases.push(bitmaps(scratch, scale));
    cases
}

/// Tracking tables of 1 TB, every page in detail, and of 64 TB, few pages in detail.
fn tables(scratch: &Scratch, scale: Scale) -> Vec<Case> {
    let dense = scale.pick(TB, 4 * GB);
    let sparse = scale.pick(64 * TB, TB);
    let ragged: fn(u64) -> Chunk = |_| Chunk::Ragged;
    let few: fn(u64) -> Chunk = |chunk| match mix(chunk) % 400 {
        0 | 1 => Chunk::Ragged,
        2..8 => Chunk::Newer,
        _ => Chunk::Older,
    };
    let in_order = PageOrder::InOrder;
    let plans = [
        ("rct, dense", dense, in_order, ragged),
        ("rct, dense, pages in any order", dense, PageOrder::Shuffled(1), ragged),
        ("rct, sparse", sparse, in_order, few),
    ];
    let plans = plans.into_iter().enumerate();
    plans
        .map(|(index, (name, size, order, state))| {
            let path = scratch.path(&format!("table{index}.vhdx"));
            let disk = Disk { size, block: 32 * MB, seed: 1, longest_run: 1 };
            disk.builder().write(&path).expect("the disk can be written");
            let table = Table { size, seed: 2, longest_run: 16, order };
            let table_path = scratch.path(&format!("table{index}.vhdx.rct"));
            let written = table.write(&table_path, state).expect("the table can be written");
            let (branch, number) = table.limit();
            let query = ChangeQuery::new(&path).since(Limit::Rct(RctId::new(branch, number)));
            Case::checked(name, 0.5, table_path, written, query)
        })
        .collect()
}

/// BATs of a differencing disk of 64 TB in blocks of 1 MB: 512 MB each.
fn bats(scratch: &Scratch, scale: Scale) -> Vec<Case> {
    let size = scale.pick(if scratch.huge { 64 * TB } else { 8 * TB }, 64 * GB);
    let disk = Disk { size, block: MB, seed: 3, longest_run: 1 };
    let plans: [(_, fn(u64) -> State); 3] = [
        ("BAT, empty", |_| State::NotPresent),
        ("BAT, alternating", |block| [State::Full, State::NotPresent][block as usize % 2]),
        ("BAT, full", |_| State::Full),
    ];
    plans.into_iter().map(|(name, state)| differencing(scratch, name, disk, state)).collect()
}

/// Every block partial, runs of 16 sectors on average.
fn bitmaps(scratch: &Scratch, scale: Scale) -> Case {
    let size = scale.pick(32 * GB, GB);
    let disk = Disk { size, block: 2 * MB, seed: 4, longest_run: 31 };
    differencing(scratch, "sector bitmaps, ragged", disk, |_| State::Partial)
}

fn differencing(
    scratch: &Scratch,
    name: &'static str,
    disk: Disk,
    state: impl Fn(u64) -> State,
) -> Case {
    let file = |role: &str| scratch.path(&format!("{name} {role}.vhdx"));
    let (parent, child) = (file("parent"), file("child"));
    let below = disk.builder().write(&parent).expect("the parent can be written");
    let locator = ParentLocator::new(below.data_write_guid);
    let locator = locator.relative(&format!(".\\{name} parent.vhdx"));
    let builder = disk.builder().parent(locator);
    let written = disk.write(&child, &builder, state).expect("the disk can be written");
    let query = ChangeQuery::new(&child).since(Limit::File(parent));
    Case::checked(name, 0.5, child, written, query)
}
