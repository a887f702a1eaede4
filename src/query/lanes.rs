//! Several threads that look at pieces of a region in turns, and the order of the ranges kept.

use super::walk::Walk;
use crate::error::{Error, ErrorKind, Result};
use crate::range::ByteRange;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

/// A piece is at least so large that its thread has more to do than to hand over what it found,
/// and at most so large that the others need not hold much until it is their turn.
const PIECE: std::ops::RangeInclusive<u64> = 4 << 30..=64 << 30;
/// How many pieces each thread should have, so that all end at about the same time.
const TURNS: u64 = 64;
/// How many ranges are handed over together, and how many such parcels a thread holds ready:
/// 4 MB.
const PARCEL: usize = 8192;
const AHEAD: usize = 32;

/// Neighbouring pieces of a region, each as long as the first, except the last.
#[derive(Clone)]
pub(super) struct Pieces {
    region: Range<u64>,
    length: u64,
}

/// The pieces for so many threads; None where the region is not worth more than one thread.
pub(super) fn pieces(region: Range<u64>, threads: usize) -> Option<Pieces> {
    let whole = region.end - region.start;
    let turns = TURNS.saturating_mul(threads as u64).max(1);
    let length = (whole / turns).clamp(*PIECE.start(), *PIECE.end());
    (threads > 1 && whole > length).then_some(Pieces { region, length })
}

impl Pieces {
    /// Piece number `index`; None behind the last.
    fn get(&self, index: usize) -> Option<Range<u64>> {
        let from = (index as u64).checked_mul(self.length)?.checked_add(self.region.start)?;
        let until = from.saturating_add(self.length).min(self.region.end);
        (from < until).then_some(from..until)
    }
}

/// Ranges of a piece; whether they are its last ones.
type Parcel = Result<(Vec<ByteRange>, bool)>;

/// The threads, of which each has every so-manyth piece.
pub(super) struct Lanes {
    pieces: Pieces,
    /// Which piece's ranges come next.
    index: usize,
    lanes: Vec<Receiver<Parcel>>,
    threads: Vec<JoinHandle<()>>,
    /// Tells the threads that nobody wants more.
    stop: Arc<AtomicBool>,
    /// The last range so far, which the next piece may go on with.
    open: Option<ByteRange>,
    position: u64,
}

/// What one thread does.
struct Lane {
    walk: Walk,
    pieces: Pieces,
    /// Which pieces are this thread's: the first, and every so-manyth after it.
    first: usize,
    step: usize,
    stop: Arc<AtomicBool>,
    sender: SyncSender<Parcel>,
}

impl Lanes {
    pub fn start(walk: &Walk, pieces: Pieces, threads: usize) -> Result<Self> {
        let mut lanes = Lanes {
            position: pieces.region.start,
            pieces: pieces.clone(),
            index: 0,
            lanes: Vec::new(),
            threads: Vec::new(),
            stop: Arc::default(),
            open: None,
        };
        for first in 0..threads {
            let (sender, receiver) = sync_channel(AHEAD);
            let (pieces, stop) = (pieces.clone(), lanes.stop.clone());
            let walk = walk.fork(pieces.region.clone(), 0);
            let lane = Lane { walk, pieces, first, step: threads, stop, sender };
            let thread = Builder::new().name("vhdx-rct query".into()).spawn(move || lane.run());
            lanes.threads.push(thread.map_err(|e| Error::io("a thread cannot be started", e))?);
            lanes.lanes.push(receiver);
        }
        Ok(lanes)
    }

    /// How far all pieces are dealt with, in bytes of the disk.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Waits for the next ranges and adds them; false at the region's end.
    pub fn receive(&mut self, ranges: &mut Vec<ByteRange>) -> Result<bool> {
        let Some(piece) = self.pieces.get(self.index) else {
            ranges.extend(self.open.take());
            return Ok(false);
        };
        let lane = &self.lanes[self.index % self.lanes.len()];
        let (mut found, last) = lane.recv().map_err(|_| vanished())??;
        if let Some(first) = found.first_mut() {
            match self.open.take() {
                Some(open) if open.end() == first.offset => {
                    *first = (open.offset..first.end()).into();
                }
                open => ranges.extend(open),
            }
            self.open = found.pop();
            ranges.append(&mut found);
        }
        self.position = self.open.map_or(piece.start, |open| open.end()).max(piece.start);
        if last {
            (self.index, self.position) = (self.index + 1, piece.end);
        }
        Ok(true)
    }
}

impl Drop for Lanes {
    /// A read that is under way is finished first.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.lanes.clear();
        for thread in self.threads.drain(..) {
            // One that panicked has told so by its silence.
            let _ = thread.join();
        }
    }
}

impl Lane {
    fn run(self) {
        for index in (self.first..).step_by(self.step) {
            let Some(piece) = self.pieces.get(index) else { return };
            // What lies before the region nobody looks at.
            let from = if index == 0 { 0 } else { piece.start };
            let mut walk = self.walk.fork(piece, from);
            loop {
                let parcel = self.parcel(&mut walk);
                let (failed, last) = (parcel.is_err(), matches!(parcel, Ok((_, true))));
                if self.sender.send(parcel).is_err() || failed {
                    return;
                }
                if last {
                    break;
                }
            }
        }
    }

    fn parcel(&self, walk: &mut Walk) -> Parcel {
        let mut ranges = Vec::new();
        while ranges.len() < PARCEL && !self.stop.load(Ordering::Relaxed) {
            if !walk.look(&mut ranges)? {
                return Ok((ranges, true));
            }
        }
        Ok((ranges, false))
    }
}

fn vanished() -> Error {
    let message = "a thread of the query ended without a result, so nothing is known; ask again";
    Error::new(ErrorKind::WorkerVanished, message)
}
