//! The tables that are read.

use super::{Case, Kind, Question, Scale, directory, holds};
use std::path::{Path, PathBuf};
use vhdx_rct::{Baseline, RctId};
use vhdx_rct_fixtures::bulk::{self, Chunk, State, Table, Written};
use vhdx_rct_fixtures::rct::PageOrder;
use vhdx_rct_fixtures::rng::mix;
use vhdx_rct_fixtures::vhdx::{MB, ParentLocator};

const GB: u64 = 1 << 30;
const TB: u64 = 1 << 40;

/// A kind of table.
pub struct Plan {
    pub name: &'static str,
    /// The share of the baseline's throughput that is aimed at.
    pub target: f64,
    size: fn(Scale) -> u64,
    tables: Tables,
}

enum Tables {
    /// A tracking table, and the kinds of its chunks.
    Rct(PageOrder, fn(u64) -> Chunk),
    /// A child with blocks of N bytes, and their kinds.
    Child(u64, fn(u64) -> State),
}

use Tables::{Child, Rct};

const DENSE: Plan = Plan {
    name: "rct, dense",
    target: 0.35,
    size: |scale| scale.pick(TB, 64 * GB),
    tables: Rct(PageOrder::InOrder, |_| Chunk::Ragged),
};

/// 64 TiB in blocks of 1 MiB have a BAT of 512 MiB; 1 TiB has a tracking table of 256 MiB if every
/// chunk is ragged; 32 GiB have sector bitmaps of 8 MiB.
pub const PLANS: &[Plan] = &[
    DENSE,
    Plan {
        name: "rct, dense, pages in any order",
        tables: Rct(PageOrder::Shuffled(1), |_| Chunk::Ragged),
        ..DENSE
    },
    Plan {
        name: "rct, sparse",
        target: 0.35,
        size: |scale| scale.pick(64 * TB, TB),
        tables: Rct(PageOrder::InOrder, sparse),
    },
    Plan { name: "BAT, empty", target: 0.5, size: bat, tables: Child(MB, |_| State::NotPresent) },
    Plan {
        name: "BAT, alternating",
        target: 0.5,
        size: bat,
        tables: Child(MB, |block| [State::Full, State::NotPresent][block as usize % 2]),
    },
    Plan { name: "BAT, full", target: 0.5, size: bat, tables: Child(MB, |_| State::Full) },
    Plan {
        name: "sector bitmaps, ragged",
        target: 0.25,
        size: |scale| scale.pick(32 * GB, 4 * GB),
        tables: Child(2 * MB, |_| State::Partial),
    },
];

fn bat(scale: Scale) -> u64 {
    scale.pick(64 * TB, 4 * TB)
}

/// One chunk in 200 is ragged, three are newer as a whole.
fn sparse(chunk: u64) -> Chunk {
    match mix(chunk) % 200 {
        0 => Chunk::Ragged,
        1..4 => Chunk::Newer,
        _ => Chunk::Older,
    }
}

impl Plan {
    /// Writes the files, and makes sure that the library gives the correct answer.
    pub fn make(&self, scale: Scale) -> Case {
        let directory = directory();
        let mut size = (self.size)(scale);
        // Some file systems end at 16 TB, and the payload has to lie inside the file.
        while !holds(directory.path(), size + TB) {
            size /= 2;
        }
        let disk = Disk { size, tables: &self.tables };
        let (table, written, question) = disk.write(directory.path());
        let parts = written.tables.into_iter().map(|range| (table.clone(), range)).collect();
        let right = (written.answer.ranges, written.answer.bytes);
        let case = Case { parts, question, right, _directory: directory };
        for kind in Kind::ALL {
            assert_eq!(case.ask(kind), right, "{} by {}", self.name, kind.name());
        }
        case
    }
}

/// A disk of some size with such tables.
pub struct Disk<'a> {
    size: u64,
    tables: &'a Tables,
}

impl Disk<'static> {
    /// A child of which one block in three is in the file, in no order.
    pub fn child(size: u64) -> Self {
        Disk { size, tables: &Child(2 * MB, third) }
    }

    /// A tracked disk, few chunks of whose table are ragged.
    pub fn tracked(size: u64) -> Self {
        Disk { size, tables: &Rct(PageOrder::InOrder, sparse) }
    }
}

fn third(block: u64) -> State {
    if mix(block).is_multiple_of(3) { State::Full } else { State::NotPresent }
}

impl Disk<'_> {
    /// Writes the disk; returns the file with the tables, its content, and the query.
    pub fn write(&self, directory: &Path) -> (PathBuf, Written, Question) {
        match *self.tables {
            Rct(order, state) => {
                let plan = Table { size: self.size, seed: 2, longest_run: 16, order };
                write_tracked(directory, plan, state)
            }
            Child(block, state) => {
                let plan = bulk::Disk { size: self.size, block, seed: 3, longest_run: 31 };
                write_child(directory, plan, state)
            }
        }
    }
}

fn write_tracked(
    directory: &Path,
    plan: Table,
    state: fn(u64) -> Chunk,
) -> (PathBuf, Written, Question) {
    let disk = directory.join("disk.vhdx");
    let empty = bulk::Disk { size: plan.size, block: 32 * MB, seed: 1, longest_run: 1 };
    empty.builder().write(&disk).expect("the disk can be written");
    let path = directory.join("disk.vhdx.rct");
    let written = plan.write(&path, state).expect("the table can be written");
    let (branch, number) = plan.limit();
    let since = Baseline::Rct(RctId::new(branch, number));
    (path, written, Question { path: disk, since })
}

fn write_child(
    directory: &Path,
    plan: bulk::Disk,
    state: fn(u64) -> State,
) -> (PathBuf, Written, Question) {
    let (parent, path) = (directory.join("parent.vhdx"), directory.join("child.avhdx"));
    let linkage = plan.builder().write(&parent).expect("the parent can be written").data_write_guid;
    let locator = ParentLocator::new(linkage).relative(".\\parent.vhdx");
    let builder = plan.builder().parent(locator);
    let written = plan.write(&path, &builder, state).expect("the child can be written");
    let question = Question { path: path.clone(), since: Baseline::File(parent) };
    (path, written, question)
}
