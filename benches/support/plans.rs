//! The tables that are read.

use super::{Case, Kind, Scale, folder, holds};
use std::path::{Path, PathBuf};
use vhdx_rct::{ChangeQuery, Limit, RctId};
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
    /// How many threads look at it.
    threads: usize,
    size: fn(Scale) -> u64,
    tables: Tables,
}

enum Tables {
    /// A tracking table, and what its chunks are.
    Rct(PageOrder, fn(u64) -> Chunk),
    /// A child with blocks of so many bytes, and what they are.
    Child(u64, fn(u64) -> State),
}

use Tables::{Child, Rct};

const DENSE: Plan = Plan {
    name: "rct, dense",
    target: 0.35,
    threads: 1,
    size: |scale| scale.pick(TB, 64 * GB),
    tables: Rct(PageOrder::InOrder, |_| Chunk::Ragged),
};

/// What is read. 64 TB in blocks of 1 MB have a BAT of 512 MB; 1 TB has a tracking table of
/// 256 MB where every chunk is ragged; 32 GB have sector bitmaps of 8 MB.
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
        threads: 1,
        size: |scale| scale.pick(64 * TB, TB),
        tables: Rct(PageOrder::InOrder, sparse),
    },
    Plan { name: "rct, dense, by two threads", threads: 2, ..DENSE },
    Plan {
        name: "BAT, empty",
        target: 0.5,
        threads: 1,
        size: bat,
        tables: Child(MB, |_| State::NotPresent),
    },
    Plan {
        name: "BAT, alternating",
        target: 0.5,
        threads: 1,
        size: bat,
        tables: Child(MB, |block| [State::Full, State::NotPresent][block as usize % 2]),
    },
    Plan {
        name: "BAT, full",
        target: 0.5,
        threads: 1,
        size: bat,
        tables: Child(MB, |_| State::Full),
    },
    Plan {
        name: "sector bitmaps, ragged",
        target: 0.25,
        threads: 1,
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
    /// Writes the files, and makes sure that the library gives the right answer.
    pub fn make(&self, scale: Scale) -> Case {
        let folder = folder();
        let mut size = (self.size)(scale);
        // Some file systems end at 16 TB, and the payload has to lie inside the file.
        while !holds(folder.path(), size + TB) {
            size /= 2;
        }
        let disk = Disk { size, tables: &self.tables };
        let (path, written, query) = disk.write(folder.path());
        let parts = written.tables.into_iter().map(|range| (path.clone(), range)).collect();
        let right = (written.answer.ranges, written.answer.bytes);
        let query = query.threads(self.threads);
        let case = Case { parts, query, right, _folder: folder };
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
    /// Writes the disk; gives the file that has the tables, what is in it, and the question.
    pub fn write(&self, folder: &Path) -> (PathBuf, Written, ChangeQuery) {
        match *self.tables {
            Rct(order, state) => {
                let plan = Table { size: self.size, seed: 2, longest_run: 16, order };
                write_tracked(folder, plan, state)
            }
            Child(block, state) => {
                let plan = bulk::Disk { size: self.size, block, seed: 3, longest_run: 31 };
                write_child(folder, plan, state)
            }
        }
    }
}

fn write_tracked(
    folder: &Path,
    plan: Table,
    state: fn(u64) -> Chunk,
) -> (PathBuf, Written, ChangeQuery) {
    let disk = folder.join("disk.vhdx");
    let empty = bulk::Disk { size: plan.size, block: 32 * MB, seed: 1, longest_run: 1 };
    empty.builder().write(&disk).expect("the disk can be written");
    let path = folder.join("disk.vhdx.rct");
    let written = plan.write(&path, state).expect("the table can be written");
    let (branch, number) = plan.limit();
    (path, written, ChangeQuery::new(disk).since(Limit::Rct(RctId::new(branch, number))))
}

fn write_child(
    folder: &Path,
    plan: bulk::Disk,
    state: fn(u64) -> State,
) -> (PathBuf, Written, ChangeQuery) {
    let (parent, path) = (folder.join("parent.vhdx"), folder.join("child.avhdx"));
    let linkage = plan.builder().write(&parent).expect("the parent can be written").data_write_guid;
    let locator = ParentLocator::new(linkage).relative(".\\parent.vhdx");
    let builder = plan.builder().parent(locator);
    let written = plan.write(&path, &builder, state).expect("the child can be written");
    let query = ChangeQuery::new(&path).since(Limit::File(parent));
    (path, written, query)
}
