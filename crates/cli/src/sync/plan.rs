//! Plans a run before anything is written.

use super::areas::{Areas, Changed};
use super::copy::Before;
use super::point::{Point, Since};
use super::state::{State, StateFile};
use super::target::Target;
use crate::args::SyncArgs;
use crate::failure::Failure;
use vhdx_rct::{Baseline, Disk, ReturnValue};

/// A planned run.
pub struct Plan {
    /// The content to copy.
    pub work: Work,
    /// How far the copy's own content can be relied on.
    pub before: Before,
    /// The state of the copy before the run.
    pub state: State,
    /// Why the whole disk is read although the copy has a state.
    pub warning: Option<String>,
}

/// The content that is read from the disk and brought to the copy.
pub struct Work {
    /// Where the copy goes on from; `*` for a full copy.
    pub since: Baseline,
    /// The baseline of the changes to copy. None if nothing changed.
    pub question: Option<Baseline>,
    /// The areas that are copied besides.
    pub doubtful: Areas,
    /// What changed since the baseline.
    pub changed: Changed,
}

impl Work {
    /// Copies the whole disk.
    fn full(disk: &Disk) -> Result<Self, Failure> {
        let since = Baseline::Allocated;
        let mut doubtful = Areas::default();
        doubtful.add(0..disk.identity().virtual_size);
        let changed = Changed::since(disk, since.clone())?;
        Ok(Work { since, question: None, doubtful, changed })
    }

    /// Copies what changed since a point, and what the state has in doubt. None if the disk does
    /// not have the point any more.
    fn since(disk: &Disk, point: &Point, state: &State) -> Option<Result<Self, Failure>> {
        let question = match point.since(disk)? {
            Since::Baseline(baseline) => Some(baseline),
            Since::Unchanged => None,
        };
        let size = disk.identity().virtual_size;
        let mut doubtful = state.doubtful.clone();
        doubtful.add_all(&point.doubtful);
        doubtful.add(size.min(state.virtual_size)..size.max(state.virtual_size));
        let changed = question.clone().map(|baseline| Changed::since(disk, baseline)).transpose();
        Some(changed.map(|changed| Work {
            since: point.baseline(),
            question,
            doubtful,
            changed: changed.unwrap_or_default(),
        }))
    }

    /// Returns the number of bytes that have to be looked at.
    pub fn cost(&self, disk: &Disk) -> u64 {
        match self.since {
            Baseline::Allocated => self.changed.bytes,
            _ => self.changed.bytes + self.doubtful.bytes(disk.identity().virtual_size),
        }
    }

    /// Returns all areas that may be written.
    pub fn areas(&self) -> Areas {
        let mut areas = self.doubtful.clone();
        areas.add_all(&self.changed.areas);
        areas
    }

    pub fn is_empty(&self) -> bool {
        self.changed.areas.is_empty() && self.doubtful.is_empty()
    }
}

impl Plan {
    pub fn new(
        args: &SyncArgs,
        disk: &Disk,
        target: Option<&Target>,
        file: &StateFile,
        (since, adopt): (Option<Baseline>, Option<Baseline>),
    ) -> Result<Self, Failure> {
        if args.full {
            return Self::from_scratch(disk, target);
        }
        let state = match &adopt {
            Some(baseline) => Some(adopted(args, disk, target, baseline)?),
            None => file.load()?,
        };
        let Some(state) = state else {
            return Self::without_state(args, disk, target, since, file);
        };
        let id = disk.identity().virtual_disk_id;
        if state.virtual_disk_id != id {
            return Err(file.refuse(&format!(
                "expected the state of a copy of the disk {id}, found one of the disk {}; name another copy, or \
                 replace this one with --full",
                state.virtual_disk_id
            )));
        }
        let Some(target) = target else { return Self::from_scratch(disk, None) };
        verify_size(target, &state, file)?;
        Self::from_state(disk, state, since, file)
    }

    /// Copies everything, whatever the copy has.
    fn from_scratch(disk: &Disk, target: Option<&Target>) -> Result<Self, Failure> {
        let is_device = target.is_some_and(|target| target.is_device);
        let identity = disk.identity();
        Ok(Plan {
            work: Work::full(disk)?,
            // A file is emptied first.
            before: if is_device { Before::Unknown } else { Before::Zeros },
            state: State::new(identity.virtual_disk_id, identity.virtual_size),
            warning: None,
        })
    }

    fn without_state(
        args: &SyncArgs,
        disk: &Disk,
        target: Option<&Target>,
        since: Option<Baseline>,
        file: &StateFile,
    ) -> Result<Self, Failure> {
        let refuse =
            |message: &str| Err(Failure::about(&args.to, ReturnValue::InvalidState, message));
        let state = file.path().display();
        if since.is_some_and(|since| since != Baseline::Allocated) {
            return refuse(&format!(
                "no state file ({state}) describes the copy, so it cannot go on from a baseline; leave out --since \
                 for a full copy, or name the baseline that the copy is at with --adopt"
            ));
        }
        let may_be_replaced = match target {
            None => true,
            Some(target) if target.is_device => target.is_blank()?,
            Some(target) => target.size()? == 0,
        };
        if !may_be_replaced {
            return refuse(&format!(
                "it has content, and no state file ({state}) says that it is a copy of the disk; replace it with \
                 --full, or name the baseline that it is at with --adopt"
            ));
        }
        Self::from_scratch(disk, target)
    }

    fn from_state(
        disk: &Disk,
        state: State,
        since: Option<Baseline>,
        file: &StateFile,
    ) -> Result<Self, Failure> {
        let before = if state.unfinished { Before::Unknown } else { Before::Readable };
        let is_asked = |point: &&Point| since.as_ref().is_none_or(|since| point.is(disk, since));
        let candidates = state.points.iter().filter(is_asked);
        let (mut best, mut refusal) = (None::<Work>, None);
        for work in candidates.filter_map(|point| Work::since(disk, point, &state)) {
            match work {
                Ok(work) => {
                    if best.as_ref().is_none_or(|best| work.cost(disk) < best.cost(disk)) {
                        best = Some(work);
                    }
                }
                // The disk does not answer since this point, but it may since another one.
                Err(error) => refusal = Some(error),
            }
        }
        let (work, warning) = match (best, since) {
            (Some(work), _) => (work, None),
            (None, Some(since)) if since != Baseline::Allocated => {
                return Err(refusal.unwrap_or_else(|| not_at(disk, &state, &since, file)));
            }
            (None, since) => {
                let is_told = since.is_some() || state.points.is_empty();
                let warning = (!is_told).then(|| {
                    format!(
                        "the disk has no answer since a baseline that the copy is at ({}): it was rolled back, or files \
                         were merged; the whole disk is read",
                        points(&state)
                    )
                });
                (Work::full(disk)?, warning)
            }
        };
        Ok(Plan { work, before, state, warning })
    }
}

/// Returns the state of a copy that another tool made.
fn adopted(
    args: &SyncArgs,
    disk: &Disk,
    target: Option<&Target>,
    baseline: &Baseline,
) -> Result<State, Failure> {
    let identity = disk.identity();
    let refuse = |message: &str| Failure::about(&args.to, ReturnValue::InvalidState, message);
    let target = target.ok_or_else(|| refuse("there is no copy to adopt; leave out --adopt"))?;
    let (found, size) = (target.size()?, identity.virtual_size);
    if !target.fits(found, size) {
        return Err(refuse(&format!(
            "expected a copy of the disk's {size} bytes, found {found} bytes; make a full copy with --full"
        )));
    }
    let point = Point::of(disk, baseline)?.ok_or_else(|| {
        refuse(&format!(
            "expected --adopt to name an RCT id of the disk, or a file of its chain that was closed cleanly, found \
             {baseline}"
        ))
    })?;
    let state = State::new(identity.virtual_disk_id, size);
    Ok(State { points: vec![point], ..state })
}

/// Refuses a copy whose size contradicts its state.
fn verify_size(target: &Target, state: &State, file: &StateFile) -> Result<(), Failure> {
    let found = target.size()?;
    if state.unfinished || target.fits(found, state.virtual_size) {
        return Ok(());
    }
    Err(file.refuse(&format!(
        "expected the state of a copy of {found} bytes, found one of a copy of {} bytes: another program wrote to the \
         copy; replace it with --full",
        state.virtual_size
    )))
}

fn not_at(disk: &Disk, state: &State, since: &Baseline, file: &StateFile) -> Failure {
    let is_known = state.points.iter().any(|point| point.is(disk, since));
    file.refuse(&match (is_known, state.points.is_empty()) {
        (true, _) => format!(
            "the copy was at {since}, but the disk was rolled back since, so this does not name the same content any \
             more; leave out --since for a full copy"
        ),
        (false, true) => format!(
            "the copy is not at {since}, because a full copy was not finished; leave out --since to go on with it"
        ),
        (false, false) => format!(
            "the copy is at {}, not at {since}; leave out --since, or name one of these",
            points(state)
        ),
    })
}

fn points(state: &State) -> String {
    let points: Vec<_> = state.points.iter().map(|point| point.baseline().to_string()).collect();
    points.join(", ")
}
