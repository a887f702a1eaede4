//! `sync`: brings a raw copy of a disk up to date, reading only what changed.

mod areas;
mod progress;
mod raw;
mod state;

use crate::args::SyncArgs;
use crate::failure::Failure;
use crate::text::{count, human};
use crate::warning;
use areas::Areas;
use progress::progress_bar;
use raw::{CHUNK, Raw};
use state::State;
use std::io::Write;
use std::path::Path;
use std::time::Instant;
use vhdx_rct::{Baseline, Disk, DiskFile, Extent, ExtentKind, RctId, ReturnValue};

/// Everything that a sync knows before it writes.
struct Plan {
    disk: Disk,
    since: Baseline,
    /// What the copy is known to be; None for a copy that is made from nothing.
    before: Option<State>,
    /// What changed since the baseline, in total.
    ranges: u64,
    bytes: u64,
    /// The areas that this sync may touch.
    touched: Areas,
    /// The newest tracking id of the disk.
    newest: Option<RctId>,
    /// The copy, where it exists; held from the first look at its state to the end.
    raw: Option<Raw>,
}

pub fn run(args: &SyncArgs) -> Result<(), Failure> {
    let start = Instant::now();
    let mut plan = Plan::make(args)?;
    warning::print(plan.disk.warnings())?;
    let mut out = std::io::stdout().lock();
    if args.dry_run {
        let ranges = count(plan.ranges, "range", "ranges");
        writeln!(out, "would read {ranges}, {}; nothing was written", human(plan.bytes))?;
        return Ok(());
    }
    let (read, written) = plan.carry_out(args)?;
    writeln!(
        out,
        "{}, {} read, {} written, {:.2} s",
        count(plan.ranges, "range", "ranges"),
        human(read),
        human(written),
        start.elapsed().as_secs_f64()
    )?;
    match plan.newest {
        Some(id) => writeln!(out, "next time: --since {id}")?,
        None => writeln!(
            out,
            "no id to ask since (not tracked, or not closed cleanly); next time: --since '*', or, once the disk \
             has a child, sync that --since file:{}",
            args.question.disk.display()
        )?,
    }
    Ok(())
}

impl Plan {
    fn make(args: &SyncArgs) -> Result<Self, Failure> {
        let (disk, since) = args.question.open(|_| ())?;
        let exists = args.to.try_exists()?;
        if exists && raw::looks_like_an_image(&args.to)? {
            let message = "this is a virtual disk file and not a raw copy";
            return Err(Failure::about(&args.to, ReturnValue::InvalidState, message));
        }
        let raw = exists.then(|| Raw::open(&args.to)).transpose()?;
        let before = check_copy(args, (&disk, &since), raw.as_ref())?;
        let newest = disk.newest_id();
        let mut plan = Plan {
            disk,
            since,
            before,
            ranges: 0,
            bytes: 0,
            touched: Areas::default(),
            newest,
            raw,
        };
        for extent in plan.disk.changes(plan.since.clone()).extents()? {
            let extent = extent?;
            plan.ranges += 1;
            plan.bytes += if extent.kind == ExtentKind::Data { extent.range.length } else { 0 };
            plan.touched.add(extent.range, plan.size());
        }
        Ok(plan)
    }

    fn size(&self) -> u64 {
        self.disk.identity().virtual_size
    }

    /// Writes the copy; returns bytes read and bytes written.
    fn carry_out(&mut self, args: &SyncArgs) -> Result<(u64, u64), Failure> {
        let from_nothing = self.since == Baseline::Allocated;
        let old_doubt = match &self.before {
            Some(before) if !from_nothing => before.doubtful.clone(),
            _ => Areas::default(),
        };
        let after = self.state_after()?;
        let up_to_date = self.touched.is_empty() && old_doubt.is_empty();
        if up_to_date && !from_nothing && self.before.as_ref() == Some(&after) {
            return Ok((0, 0));
        }
        let mut doubtful = old_doubt.clone();
        doubtful.merge(&self.touched);
        let at = if from_nothing { Vec::new() } else { self.points_before() };
        let under_way = State { at, going_to: Some(after.at.clone()), doubtful, ..after.clone() };
        state::store(&args.to, &under_way)?;
        let mut raw = self.raw.take().map_or_else(|| Raw::create(&args.to), Ok)?;
        if from_nothing {
            raw.set_length(0)?;
        }
        if raw.length()? != self.size() {
            raw.set_length(self.size())?;
        }
        let read = self.copy(&mut raw, &old_doubt)?;
        raw.sync()?;
        self.disk.verify_unchanged()?;
        state::store(&args.to, &after)?;
        Ok((read, raw.written))
    }

    /// Brings every changed and every doubtful part of the copy up to date.
    fn copy(&self, raw: &mut Raw, old_doubt: &Areas) -> Result<u64, Failure> {
        let bar = progress_bar(self.bytes);
        let mut buffer = vec![0; CHUNK];
        let mut read = 0;
        let mut one = |extent: Extent| -> Result<(), Failure> {
            let range = extent.range;
            if extent.kind != ExtentKind::Data {
                return Ok(raw.zero(range)?);
            }
            for piece in range.chunks(CHUNK) {
                let bytes = &mut buffer[..piece.length as usize];
                self.disk.read_exact_at(bytes, piece.offset)?;
                raw.put(bytes, piece.offset)?;
                read += piece.length;
                bar.inc(piece.length);
            }
            Ok(())
        };
        for area in old_doubt.iter() {
            // The disk may have become smaller than the areas were; such a copy is refused.
            for extent in self.disk.extents(area.offset..area.end().min(self.size()))? {
                one(extent?)?;
            }
        }
        for extent in self.disk.changes(self.since.clone()).extents()? {
            let extent = extent?;
            // Only what was put down as doubtful may be written.
            if !self.touched.contains(extent.range) {
                self.disk.verify_unchanged()?;
                let message = "the disk changed while it was read; run the command again";
                return Err(Failure::new(ReturnValue::InvalidState, message));
            }
            one(extent)?;
        }
        bar.finish_and_clear();
        Ok(read)
    }

    fn points_before(&self) -> Vec<String> {
        self.before.as_ref().map(|before| before.at.clone()).unwrap_or_default()
    }

    /// The state that the copy will have: the baselines that it will be at, and, since the disk
    /// may have been written to after its newest id was created, where it is ahead of that id.
    /// (Should that checkpoint be applied again, those areas would differ from the disk, and
    /// no list of changes since the id would say so.)
    fn state_after(&self) -> Result<State, Failure> {
        let mut at = vec![file_point(&self.disk.files()[0])];
        let mut ahead = Areas::default();
        if let Some(id) = self.newest {
            at.insert(0, id.to_string());
            for range in self.disk.changes(id).ranges()? {
                ahead.add(range?, self.size());
            }
        }
        Ok(State {
            version: 1,
            virtual_disk_id: self.disk.identity().virtual_disk_id,
            virtual_size: self.size(),
            at,
            going_to: None,
            doubtful: ahead,
        })
    }
}

/// A file by its DataWriteGuid, which holds as long as no program writes to the file.
fn file_point(file: &DiskFile) -> String {
    Baseline::DataWriteGuid(file.identity().data_write_guid).to_string()
}

/// The name of a baseline in a state file: that of a file or a snapshot is the file's
/// DataWriteGuid, that of any other baseline is its text.
fn point(disk: &Disk, since: &Baseline) -> String {
    let files = disk.files();
    let member = match since {
        Baseline::Parent => files.get(1),
        Baseline::File(path) => {
            let path = path.canonicalize().ok();
            files.iter().find(|file| file.path().canonicalize().ok() == path)
        }
        Baseline::Snapshot(id) => {
            let known = disk.snapshots().iter().find(|snapshot| snapshot.id == *id);
            let path = known.and_then(|snapshot| snapshot.path.as_deref()).unwrap_or_default();
            let name = path.rsplit(['\\', '/']).next().unwrap_or_default();
            let has_name =
                |file: &Path| file.file_name().is_some_and(|own| own.eq_ignore_ascii_case(name));
            files.iter().find(|file| has_name(file.path()))
        }
        _ => None,
    };
    member.map_or_else(|| since.to_string(), file_point)
}

/// Refuses a copy that the sync would spoil; returns what is known of it.
fn check_copy(
    args: &SyncArgs,
    (disk, since): (&Disk, &Baseline),
    raw: Option<&Raw>,
) -> Result<Option<State>, Failure> {
    let refuse =
        |message: String| Err(Failure::about(&args.to, ReturnValue::InvalidState, &message));
    let length = raw.map(Raw::length).transpose()?;
    let Some(state) = state::load(&args.to)? else {
        return match (since, length) {
            (Baseline::Allocated, None) => Ok(None),
            (Baseline::Allocated, Some(_)) => refuse(
                "the file exists, but no state file beside it names a disk that it is a copy of; move it away, or \
                 name another file"
                    .into(),
            ),
            _ => refuse(format!(
                "no state file ({}) describes the copy, so it cannot be brought up to date; make it with \
                 --since '*'",
                state::path_of(&args.to).display()
            )),
        };
    };
    let identity = disk.identity();
    let (id, size) = (identity.virtual_disk_id, identity.virtual_size);
    if state.virtual_disk_id != id {
        return refuse(format!(
            "expected a copy of the disk {id}, found a copy of the disk {}",
            state.virtual_disk_id
        ));
    }
    if *since == Baseline::Allocated {
        return Ok(Some(state));
    }
    let wanted = point(disk, since);
    let Some(length) = length.filter(|_| state.at.contains(&wanted)) else {
        let at = if state.at.is_empty() { "nothing yet".into() } else { state.at.join(", ") };
        return refuse(format!(
            "the copy is at {at}, and not at {wanted}; sync since a baseline that it is at, or make a new \
             copy with --since '*'"
        ));
    };
    if length != size && !(args.grow && length < size) {
        let hint = if length < size { "; add --grow if the disk grew" } else { "" };
        return refuse(format!("the copy has {length} bytes, and the disk has {size}{hint}"));
    }
    Ok(Some(state))
}
