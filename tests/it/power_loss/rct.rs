//! Tracking tables. How Windows updates one is not documented, so the order is an assumption:
//! units are marked before the id in the header covers them; new sequence pages come first,
//! after the file's end, then the offset pages that name them; a new id writes the header copy
//! that is not current. Pages are overwritten in place, and a torn one is refused: there is no
//! second copy of it.

use super::source;
use crate::common::prelude::*;
use crate::common::tables::table_bytes;
use std::collections::BTreeMap;
use vhdx_rct_fixtures::power::{Call, Cut, Persisted, Recording};
use vhdx_rct_fixtures::ranges::{coalesce, gaps};
use vhdx_rct_fixtures::rct::{
    Checksum, HEADERS, HeaderPlan, OFFSET_TABLE, PAGE, RctId as TheirId, Tracked, UNITS_PER_CHUNK,
};

const DISK: &str = "/disks/disk.vhdx";
const UNIT: u64 = 16 << 10;
/// A number of chunks whose entries do not fit in one sector.
const SIZE: u64 = 300 * UNITS_PER_CHUNK * UNIT;

/// A table that was written to.
struct Series {
    tracked: Tracked,
    checksum: Checksum,
    counter: u64,
    recording: Recording,
    /// The table in memory.
    file: Vec<u8>,
    /// Chunks that have a sequence page.
    detailed: Vec<u64>,
    /// Each state, and the calls after which it is on the medium.
    states: Vec<(Range<usize>, Tracked)>,
    /// The disk, by its path.
    disk: Arc<dyn Source>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By the number of updates that are whole.
    states: Vec<usize>,
    between: usize,
    torn_pages: usize,
    unknown: usize,
    torn_histories: usize,
}

impl Series {
    fn new(checksum: Checksum) -> Self {
        let tracked = Tracked::new(SIZE, 9);
        let disk = Arc::new(SliceSource(Image::new(&VhdxBuilder::new(SIZE)).bytes));
        let states = vec![(0..0, tracked.clone())];
        let mut series = Series {
            tracked,
            checksum,
            counter: 1,
            recording: Recording::default(),
            file: Vec::new(),
            detailed: Vec::new(),
            states,
            disk,
        };
        series.file = series.written();
        series.recording = Recording::new(series.file.clone());
        series
    }

    /// The whole table as it should be, its current header in both copies.
    fn written(&self) -> Vec<u8> {
        let table = self.tracked.builder().counter(self.counter).headers(HeaderPlan::Identical);
        let table = table.detailed(self.detailed.iter().copied()).header_checksum(self.checksum);
        table_bytes(&table, |_, placement| {
            let in_order = placement.sequence_pages.keys().zip(&self.detailed);
            assert!(in_order.clone().all(|(a, b)| a == b), "a page would move: {in_order:?}");
        })
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) {
        let (at, end) = (offset as usize, offset as usize + bytes.len());
        self.file.resize(self.file.len().max(end), 0);
        self.file[at..end].copy_from_slice(bytes);
        self.recording.write(offset, bytes.to_vec());
    }

    /// Writes those pages that differ, from the last one back; then a flush.
    fn put_pages(&mut self, new: &[u8], range: Range<u64>) {
        for page in range.step_by(PAGE as usize) {
            let bytes = &new[page as usize..][..PAGE as usize];
            if self.file.get(page as usize..).is_none_or(|old| !old.starts_with(bytes)) {
                self.put(page, bytes);
            }
        }
        self.recording.calls.push(Call::Flush);
    }

    fn done(&mut self, first: usize) {
        self.states.push((first..self.recording.calls.len(), self.tracked.clone()));
    }

    /// Marks units that the guest wrote to.
    fn mark(&mut self, units: Range<u64>) {
        let first = self.recording.calls.len();
        for chunk in units.start / UNITS_PER_CHUNK..units.end.div_ceil(UNITS_PER_CHUNK) {
            if !self.detailed.contains(&chunk) {
                self.detailed.push(chunk);
            }
        }
        self.tracked.write(units.start * UNIT..units.end * UNIT);
        let new = self.written();
        self.put_pages(&new, OFFSET_TABLE + PAGE..new.len() as u64);
        self.put_pages(&new, OFFSET_TABLE..OFFSET_TABLE + PAGE);
        self.done(first);
    }

    fn create_id(&mut self, branch: bool) {
        let first = self.recording.calls.len();
        if branch {
            self.tracked.new_branch()
        } else {
            self.tracked.create_id()
        };
        self.counter += 1;
        let new = self.written();
        let header = new[HEADERS[0] as usize..HEADERS[1] as usize].to_vec();
        self.put(HEADERS[self.counter as usize % 2], &header);
        self.recording.calls.push(Call::Flush);
        self.done(first);
    }

    fn ask(&self, cut: &Cut, (branch, number): TheirId) -> Result<Ranges, Error> {
        let mut files = MemoryStorage::new();
        files.insert(DISK, self.disk.clone());
        files.insert(format!("{DISK}.rct"), Arc::new(source(cut)));
        let disk = OpenOptions::new().storage(Arc::new(files)).open(DISK)?;
        let answer = disk.changes(RctId::new(branch, number)).collect()?;
        Ok(answer.ranges.into_iter().map(Range::from).collect())
    }

    /// Returns true if a page of the table is torn, and so rejected; ignores unreferenced pages.
    fn torn(&self, cut: &Cut) -> bool {
        let mut named = self.recording.start.len() as u64;
        self.recording.calls.iter().zip(&cut.persisted).any(|(call, left)| {
            let Call::Write { offset, .. } = call else { return false };
            let before = named;
            named = named.max(if *left == Persisted::Whole { offset + PAGE } else { 0 });
            *left == Persisted::Part && *offset >= OFFSET_TABLE && *offset < before
        })
    }

    /// Returns true if a header is torn after the page that its checksum covers.
    fn torn_history(&self, cut: &Cut) -> bool {
        let torn = |(call, left): (&Call, &Persisted)| {
            let Call::Write { offset, .. } = call else { return false };
            *left == Persisted::Part && HEADERS.contains(offset)
        };
        self.checksum.area() == 0x1000 && self.recording.calls.iter().zip(&cut.persisted).any(torn)
    }

    /// Asks after each power loss since each id.
    fn verify(&self) -> Seen {
        let mut seen = Seen { states: vec![0; self.states.len()], ..Seen::default() };
        let (_, last) = self.states.last().unwrap();
        self.recording.cuts(3, |cut| {
            let is_whole = |call: usize| {
                matches!(self.recording.calls[call], Call::Flush)
                    || cut.persisted[call] == Persisted::Whole
            };
            let is_durable = |(calls, _): &&(Range<usize>, _)| calls.clone().all(is_whole);
            let made = self.states.iter().take_while(is_durable).count();
            let (before, next) = (&self.states[made - 1].1, self.states.get(made));
            for id in last.ids() {
                let required = known(before, id);
                let permitted = next.and_then(|(_, next)| known(next, id));
                let exact = self.verify_answer(cut, id, (required, permitted), &mut seen);
                seen.states[made - 1] += usize::from(exact);
            }
        });
        seen
    }

    /// Returns true if the answer contains exactly the durable updates.
    fn verify_answer(
        &self,
        cut: &Cut,
        id: TheirId,
        (required, permitted): Bounds,
        seen: &mut Seen,
    ) -> bool {
        let name = format!("{}, since {id:?}", cut.name);
        let error = match self.ask(cut, id) {
            Ok(found) => {
                let is_created = required.is_some() || permitted.is_some();
                assert!(is_created, "{name}: the id is not created, {found:?}");
                let required = required.unwrap_or_default();
                let most = coalesce([required.clone(), permitted.unwrap_or_default()].concat());
                assert!(covers(&found, &required), "{name}: {found:?} and not {required:?}");
                assert!(covers(&most, &found), "{name}: {found:?} and at most {most:?}");
                seen.between += usize::from(found != required);
                return found == required;
            }
            Err(error) => error,
        };
        *match error.kind() {
            ErrorKind::Corrupt if self.torn(cut) => &mut seen.torn_pages,
            ErrorKind::UnknownId if required.is_none() => &mut seen.unknown,
            ErrorKind::UnknownId if self.torn_history(cut) => &mut seen.torn_histories,
            _ => panic!("{name}: {error}"),
        } += 1;
        false
    }
}

type Ranges = Vec<Range<u64>>;
/// The ranges that an answer must contain, and those that it may contain; None if the id is unknown.
type Bounds = (Option<Ranges>, Option<Ranges>);

fn known(tracked: &Tracked, id: TheirId) -> Option<Ranges> {
    tracked.ids().contains(&id).then(|| tracked.changed_since(id))
}

fn covers(all: &[Range<u64>], some: &[Range<u64>]) -> bool {
    some.iter().all(|range| gaps(all, range.clone()).is_empty())
}

#[test]
fn reads_marks_and_new_ids_before_or_after_an_update() {
    let mut histories = BTreeMap::new();
    for checksum in Checksum::HEADER {
        let mut series = Series::new(checksum);
        // Chunks become detailed; a mark over two pages; the same units again.
        let unit = |chunk: u64, unit: u64| chunk * UNITS_PER_CHUNK + unit;
        series.mark(10..20);
        series.create_id(false);
        series.mark(15..30);
        series.mark(1000..1030);
        series.create_id(true);
        series.mark(900..1100);
        series.mark(unit(140, 7)..unit(141, 7));
        series.create_id(false);
        series.mark(unit(140, 900)..unit(142, 3));
        series.create_id(true);
        series.mark(unit(299, 0)..unit(300, 0));
        let seen = series.verify();
        let refused = [seen.torn_pages, seen.unknown];
        let all = seen.states.iter().chain(&refused).chain([&seen.between]);
        assert!(all.min() > Some(&10), "{checksum:?}: {seen:?}");
        histories.insert(checksum.area(), seen.torn_histories);
    }
    // If the checksum covers the history, a torn header is never used.
    assert!(histories[&0x1000] > 0 && histories[&0x4000] == 0, "{histories:?}");
}
