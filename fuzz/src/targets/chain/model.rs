//! Writes the files that a plan describes, and keeps the builders' record of them.

use super::plan::{Block, Event, File, Plan, Table};
use crate::media::{Image, Scratch};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::LazyLock;
use vhdx_rct::ErrorKind;
use vhdx_rct_fixtures::chain::dirty_log;
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::ranges::{clip, coalesce};
use vhdx_rct_fixtures::rct::{
    Checksum, HeaderPlan as RctHeaders, PageOrder, RctBuilder, RctId, RctPlacement, Tracked,
};
use vhdx_rct_fixtures::record::{Layer, Stack};
use vhdx_rct_fixtures::rng::Rng;
use vhdx_rct_fixtures::vhdx::{
    Block as Written, HeaderPlan, LogPlan, MB, ParentLocator, Placement, RegionOrder, VhdxBuilder,
};

/// Files that are rewritten for each input.
static SCRATCH: LazyLock<Vec<[Scratch; 2]>> =
    LazyLock::new(|| (0..3).map(|_| [Scratch::new(), Scratch::new()]).collect());

/// A chain as it was written; all lists are root first.
pub struct Model {
    pub paths: Vec<String>,
    pub images: Vec<(Image, Option<Image>)>,
    pub places: Vec<(Placement, Option<RctPlacement>)>,
    pub stack: Stack,
    tracked: Vec<Option<Tracked>>,
    dirty: Vec<bool>,
    /// Blocks of each file that hold no bytes: ZERO, UNMAPPED and UNDEFINED.
    without_data: Vec<Vec<Range<u64>>>,
}

pub fn build(plan: &Plan) -> io::Result<Model> {
    let sector = if plan.large_sectors { 4096 } else { 512 };
    let mut rng = Rng::new(plan.seed.into());
    let disk_id = rng.uuid();
    let mut size = (u64::from(plan.size) % (12 * MB / sector) + 1) * sector;
    let mut model = Model {
        paths: Vec::new(),
        images: Vec::new(),
        places: Vec::new(),
        stack: Stack(Vec::new()),
        tracked: Vec::new(),
        dirty: Vec::new(),
        without_data: Vec::new(),
    };
    for (index, (file, [disk, table])) in plan.files().zip(&*SCRATCH).enumerate() {
        if index > 0 {
            size += u64::from(file.grow.unwrap_or(0)) * 16 * sector;
        }
        let builder = VhdxBuilder::new(size).seed(rng.next_u64()).disk_id(disk_id);
        let mut builder = described(builder, file, sector as u32, &mut rng);
        if let (Some(path), Some((parent, _))) = (model.paths.last(), model.places.last()) {
            let name = path.rsplit('/').next().unwrap_or_default();
            let locator = ParentLocator::new(parent.data_write_guid);
            builder = builder.parent(locator.relative(&format!(".\\{name}")));
        }
        let blocks = blocks(&builder, file, index > 0, size);
        model.without_data.push(without_data(&blocks, builder.block_bytes()));
        builder = blocks.into_iter().fold(builder, |builder, (at, block)| builder.block(at, block));
        if let Some(seed) = file.log {
            let log = dirty_log(&mut Rng::new(seed.into()), &builder);
            builder = builder.log(LogPlan::Dirty(log));
        }
        let placement = builder.write(&disk.path())?;
        let layer = builder.layer();
        let tracked = file.tracked.as_ref().map(|table| tracked(table, &layer, &model, &mut rng));
        let rct = file.tracked.as_ref().zip(tracked.as_ref()).map(|(plan, tracked)| {
            laid_out(tracked.builder(), plan.layout, &mut rng).write(table.path())
        });
        let rct = rct.transpose()?;
        model.paths.push(format!("/disks/disk{index}.avhdx"));
        model.images.push((disk.image(), rct.is_some().then(|| table.image())));
        model.places.push((placement, rct));
        model.stack.0.push(layer);
        model.tracked.push(tracked);
        model.dirty.push(file.log.is_some());
    }
    Ok(model)
}

fn described(builder: VhdxBuilder, file: &File, sector: u32, rng: &mut Rng) -> VhdxBuilder {
    builder
        .block_size(MB << (file.block % 6))
        .logical_sector_size(sector)
        .order(RegionOrder::all(rng.next_u64())[usize::from(file.order) % 4])
        .headers(HeaderPlan::ALL[usize::from(file.headers) % 5])
        .inverted_bitmaps(file.inverted_bitmaps)
        .trailing(u64::from(file.trailing) * 100)
}

fn blocks(builder: &VhdxBuilder, file: &File, child: bool, size: u64) -> BTreeMap<u64, Written> {
    let (block_size, sector) = (builder.block_bytes(), builder.sector_bytes());
    let (count, sectors) = (size.div_ceil(block_size), block_size / sector);
    let mut patterns = 0;
    let mut blocks = BTreeMap::new();
    for (index, block) in file.blocks.iter().take(12) {
        let written = match block {
            Block::NotPresent => Written::NotPresent { anchor: None },
            Block::Undefined => Written::Undefined { anchor: Some(3) },
            Block::Zero(anchor) => Written::Zero { anchor: Some(u64::from(*anchor)) },
            Block::Unmapped => Written::Unmapped { anchor: None },
            // Patterns take long to write.
            Block::Full if block_size == MB && patterns < 2 => {
                patterns += 1;
                Written::Full(Fill(u64::from(*index)))
            }
            Block::Partial(runs) if child => {
                let run = |&(start, length): &(u16, u8)| {
                    let start = u64::from(start) % sectors;
                    start..(start + u64::from(length)).min(sectors)
                };
                let sectors = runs.iter().take(8).map(run).collect();
                Written::Partial { sectors, fill: Fill(u64::from(*index)) }
            }
            Block::Zeros | Block::Full | Block::Partial(_) => Written::Full(Fill::ZEROS),
        };
        blocks.insert(u64::from(*index) % count, written);
    }
    blocks
}

fn without_data(blocks: &BTreeMap<u64, Written>, block_size: u64) -> Vec<Range<u64>> {
    let without = blocks.iter().filter(|(_, block)| {
        matches!(block, Written::Undefined { .. } | Written::Zero { .. } | Written::Unmapped { .. })
    });
    without.map(|(index, _)| index * block_size..(index + 1) * block_size).collect()
}

fn tracked(table: &Table, layer: &Layer, model: &Model, rng: &mut Rng) -> Tracked {
    let size = layer.size();
    let seed = rng.next_u64();
    let parent = model.tracked.last().and_then(Option::as_ref);
    let mut tracked = match parent.filter(|_| !table.fresh && model.size() == size) {
        Some(parent) => parent.child(seed),
        None => Tracked::new(size, seed),
    };
    // A table has a number for everything that its file holds, or it is not trusted.
    for range in held(layer).into_iter().filter(|_| !model.paths.is_empty()) {
        tracked.write(range);
    }
    for event in table.events.iter().take(24) {
        match event {
            Event::Write(start, length) => {
                let start = u64::from(*start) * 512 % size;
                tracked.write(start..(start + u64::from(*length) * 512).min(size));
            }
            Event::CreateId => drop(tracked.create_id()),
            Event::Branch => drop(tracked.new_branch()),
        }
    }
    tracked
}

/// The same numbers, laid out in one of the ways that the format leaves open.
fn laid_out(table: RctBuilder, layout: u8, rng: &mut Rng) -> RctBuilder {
    let headers = [
        RctHeaders::Both,
        RctHeaders::Identical,
        RctHeaders::SecondStale,
        RctHeaders::FirstStale,
        RctHeaders::FirstBroken,
        RctHeaders::SecondBroken,
    ];
    let orders = [PageOrder::InOrder, PageOrder::Reversed, PageOrder::Shuffled(rng.next_u64())];
    let layout = usize::from(layout);
    let table = table
        .headers(headers[layout % 6])
        .header_checksum(Checksum::HEADER[layout / 6 % 6])
        .sequence_checksum(Checksum::SEQUENCE[layout / 36 % 4])
        .page_order(orders[layout % 3])
        .gap_pages(rng.below(3));
    if layout % 2 == 0 { table.detailed_all() } else { table }
}

impl Model {
    pub fn size(&self) -> u64 {
        self.stack.size()
    }

    /// A file and its path, by any number.
    pub fn file(&self, index: u8) -> (usize, &str) {
        let index = usize::from(index) % self.paths.len();
        (index, &self.paths[index])
    }

    /// An id created in some file, with any number.
    pub fn id(&self, index: u8) -> Option<RctId> {
        let ids: Vec<RctId> = self.tracked.iter().flatten().flat_map(Tracked::ids).collect();
        (!ids.is_empty()).then(|| ids[usize::from(index) % ids.len()])
    }

    /// The uppermost parent that was not closed cleanly.
    pub fn unclean_parent(&self) -> Option<usize> {
        self.dirty[..self.dirty.len() - 1].iter().rposition(|&dirty| dirty)
    }

    /// Of the deepest file that resolves the id, the units written since; of the files above,
    /// all that they hold; of the one below, the units written after its own newest id.
    pub fn since_id(&self, id: RctId, allow_unclean: bool) -> Result<Vec<Range<u64>>, ErrorKind> {
        let resolves =
            |table: &Option<Tracked>| table.as_ref().is_some_and(|t| t.ids().contains(&id));
        let deepest = self.tracked.iter().position(resolves).ok_or(ErrorKind::UnknownId)?;
        let own = self.tracked[deepest].as_ref().ok_or(ErrorKind::UnknownId)?;
        let mut parts: Vec<Range<u64>> =
            self.stack.0[deepest + 1..].iter().flat_map(held).collect();
        if deepest == 0 {
            if self.dirty[0] && !allow_unclean {
                return Err(ErrorKind::UntrustedTracking);
            }
            parts.extend(own.changed_since(id));
        } else {
            let below = self.tracked[deepest - 1].as_ref().filter(|below| continues(below, own));
            let below = below.ok_or(ErrorKind::UnknownId)?;
            parts.extend(below.changed_since(below.current_id()));
            if self.dirty[deepest] {
                // Its table may lag.
                parts.extend(held(&self.stack.0[deepest]));
            } else {
                parts.extend(own.changed_since(id));
                parts.extend(self.without_data[deepest].iter().cloned());
            }
        }
        let clipped = parts.iter().map(|range| clip(range, &(0..self.size()))).collect();
        Ok(coalesce(clipped))
    }
}

/// Whether a table begins with the history of the one below it.
fn continues(below: &Tracked, own: &Tracked) -> bool {
    let starts = |table: &Tracked| -> Vec<_> {
        table.branches().iter().map(|branch| (branch.guid, branch.first)).collect()
    };
    starts(own).starts_with(&starts(below))
}

/// The ranges for which a file has a state.
fn held(layer: &Layer) -> Vec<Range<u64>> {
    let nothing = Layer::new(layer.size(), Vec::new());
    Stack(vec![nothing, layer.clone()]).changed_since(0)
}
