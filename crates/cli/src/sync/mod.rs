//! `sync`: brings a raw copy of a disk up to date, reading only what changed.
//!
//! The run is planned before anything is written. A state file beside the copy says how the copy
//! relates to the disk; see [`state::State`] for what it promises and when it changes.

mod areas;
mod copy;
mod os;
mod plan;
mod point;
mod progress;
mod report;
mod state;
mod target;

use crate::args::{Reflink, SyncArgs};
use crate::failure::Failure;
use crate::question::parse;
use crate::warning::Warning;
use copy::{Before, Copier, Totals};
use plan::Plan;
use point::Point;
use progress::progress_bar;
use report::Report;
use state::{State, StateFile};
use std::path::Path;
use std::time::Instant;
use target::Target;
use vhdx_rct::{Baseline, ByteRange, Disk, Error, Extent, ReturnValue};

pub fn run(args: &SyncArgs) -> Result<(), Failure> {
    if args.to == Path::new("-") {
        return Err(Failure::usage(
            "--to: expected a file or a block device, found standard output",
        ));
    }
    let start = Instant::now();
    let baseline = |option, text: &Option<String>| {
        text.as_ref().map(|text| parse::<Baseline>(option, text)).transpose()
    };
    let (since, adopt) = (baseline("--since", &args.since)?, baseline("--adopt", &args.adopt)?);
    let disk = args.disk.open(|_| ())?;
    let writable = !args.dry_run && !args.verify;
    let target = Target::open(&args.to, writable)?;
    if args.verify {
        return verify(args, &disk, target.as_ref());
    }
    let file = StateFile::of(&args.to, args.state.as_deref());
    let plan = Plan::new(args, &disk, target.as_ref(), &file, (since, adopt))?;
    let mut warnings = Warning::all(disk.warnings());
    warnings.extend(plan.warning.as_ref().map(|message| Warning::new(file.path(), message)));
    let totals = match args.dry_run {
        true => Totals { read: plan.work.cost(&disk), ..Totals::default() },
        false => Run { args, disk: &disk, file: &file, plan: &plan }.carry_out(target)?,
    };
    let report = Report { args, disk: &disk, work: &plan.work, totals, elapsed: start.elapsed() };
    report.print(warnings)
}

/// A run that writes.
struct Run<'a> {
    args: &'a SyncArgs,
    disk: &'a Disk,
    file: &'a StateFile,
    plan: &'a Plan,
}

impl Run<'_> {
    fn carry_out(&self, target: Option<Target>) -> Result<Totals, Failure> {
        let Plan { work, before, state, .. } = self.plan;
        let size = self.disk.identity().virtual_size;
        if *before == Before::Readable && work.is_empty() {
            self.finish()?;
            return Ok(Totals::default());
        }
        if let Some(device) = target.as_ref().filter(|target| target.is_device) {
            verify_device_size(device, &self.args.to, size)?;
        }
        // From here to the end, the copy is whatever an interruption leaves.
        let mut doubtful = state.doubtful.clone();
        doubtful.add_all(&work.areas());
        self.file.store(&State { unfinished: true, doubtful, ..state.clone() })?;
        let target = target.map_or_else(|| Target::create(&self.args.to), Ok)?;
        if *before == Before::Zeros {
            target.set_size(0)?;
        }
        target.set_size(size)?;
        let totals = self.copy(&target)?;
        target.sync()?;
        self.finish()?;
        Ok(totals)
    }

    fn copy(&self, target: &Target) -> Result<Totals, Failure> {
        let (work, size) = (&self.plan.work, self.disk.identity().virtual_size);
        let bar = progress_bar(work.cost(self.disk));
        let copier = Copier {
            disk: self.disk,
            target,
            before: self.plan.before,
            reflink: self.args.reflink,
            bar: &bar,
        };
        let doubtful = extents_in(self.disk, work.doubtful.within(size));
        let changed = work.question.clone().map(|since| self.disk.changes(since).extents());
        let changed = changed.transpose()?.into_iter().flatten().map(|extent| {
            let extent = extent?;
            // The state has only these areas in doubt.
            if work.changed.areas.contains(extent.range.into()) {
                return Ok(extent);
            }
            self.disk.verify_unchanged()?;
            let message = "the disk changed while it was read; run the command again";
            Err(Failure::about(&self.args.disk.disk, ReturnValue::InUse, message))
        });
        let is_new = |extent: &Result<Extent, Failure>| {
            !extent.as_ref().is_ok_and(|extent| work.doubtful.contains(extent.range.into()))
        };
        let totals = copier.copy(doubtful.chain(changed.filter(is_new)))?;
        bar.finish_and_clear();
        Ok(totals)
    }

    /// Moves the copy to where the disk is now, if no file of the disk has changed meanwhile.
    fn finish(&self) -> Result<(), Failure> {
        let identity = self.disk.identity();
        let state = State::new(identity.virtual_disk_id, identity.virtual_size);
        let state = State { points: Point::all_of(self.disk), ..state };
        self.disk.verify_unchanged()?;
        if state == self.plan.state { Ok(()) } else { self.file.store(&state) }
    }
}

/// Returns the extents of areas of the disk.
fn extents_in(
    disk: &Disk,
    areas: impl Iterator<Item = ByteRange>,
) -> impl Iterator<Item = Result<Extent, Failure>> {
    type Extents = Box<dyn Iterator<Item = Result<Extent, Error>>>;
    let extents = areas.flat_map(|area| match disk.extents(area.offset..area.end()) {
        Ok(extents) => Box::new(extents) as Extents,
        Err(error) => Box::new(std::iter::once(Err(error))),
    });
    extents.map(|extent| Ok(extent?))
}

fn verify_device_size(device: &Target, path: &Path, size: u64) -> Result<(), Failure> {
    let found = device.size()?;
    if device.fits(found, size) {
        return Ok(());
    }
    let message = format!("expected a device of at least {size} bytes, found one of {found} bytes");
    Err(Failure::about(path, ReturnValue::InvalidParameter, &message))
}

/// Compares the copy with the disk.
fn verify(args: &SyncArgs, disk: &Disk, target: Option<&Target>) -> Result<(), Failure> {
    let start = Instant::now();
    let target = target.ok_or_else(|| {
        Failure::about(&args.to, ReturnValue::FileNotFound, "there is no copy to compare")
    })?;
    let size = disk.identity().virtual_size;
    let bar = progress_bar(size);
    let copier =
        Copier { disk, target, before: Before::Readable, reflink: Reflink::Never, bar: &bar };
    let whole = std::iter::once(ByteRange::from(0..size));
    let (read, mut differences) = copier.differences(extents_in(disk, whole))?;
    bar.finish_and_clear();
    let found = target.size()?;
    if !target.fits(found, size) {
        differences.push((found.min(size)..found.max(size)).into());
    }
    disk.verify_unchanged()?;
    report::verified(args, disk, &differences, read, start.elapsed())
}
