//! `sync`: brings a raw copy of a disk up to date, reading only what changed.

mod areas;
mod raw;
mod state;

use crate::args::SyncArgs;
use crate::changes::{progress_bar, query};
use crate::failure::Failure;
use crate::text::{count, human};
use areas::Areas;
use raw::{CHUNK, Raw};
use state::State;
use std::io::Write;
use std::path::Path;
use std::time::Instant;
use vhdx_rct::{ChangeQuery, Content, DiskExtent, Limit, RctId, VirtualDisk};

/// Everything that a sync knows before it writes.
struct Plan {
    query: ChangeQuery,
    disk: VirtualDisk,
    limit: Limit,
    /// What the copy is known to be; None for a copy that is made from nothing.
    before: Option<State>,
    /// What changed since the limit, in total.
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
        let query = query(&args.question)?;
        let limit: Limit = args.question.since.parse()?;
        let disk = query.disk()?;
        let exists = args.to.try_exists()?;
        if exists && raw::looks_like_an_image(&args.to)? {
            let to = args.to.display();
            return Err(Failure::Refused(format!(
                "{to}: this is a virtual disk file and no raw copy"
            )));
        }
        let raw = exists.then(|| Raw::open(&args.to)).transpose()?;
        let before = check_copy(args, &query, (&disk, &limit), raw.as_ref())?;
        let newest = query.newest_id()?;
        let mut plan = Plan {
            query,
            disk,
            limit,
            before,
            ranges: 0,
            bytes: 0,
            touched: Areas::default(),
            newest,
            raw,
        };
        for extent in plan.query.clone().extents()? {
            let extent = extent?;
            plan.ranges += 1;
            plan.bytes += if extent.content == Content::Data { extent.range.length } else { 0 };
            plan.touched.add(extent.range, plan.disk.size());
        }
        Ok(plan)
    }

    /// Writes the copy; gives bytes read and bytes written.
    fn carry_out(&mut self, args: &SyncArgs) -> Result<(u64, u64), Failure> {
        let from_nothing = self.limit == Limit::Allocated;
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
        if raw.length()? != self.disk.size() {
            raw.set_length(self.disk.size())?;
        }
        let read = self.copy(&mut raw, &old_doubt)?;
        raw.sync()?;
        self.disk.must_be_unchanged()?;
        state::store(&args.to, &after)?;
        Ok((read, raw.written))
    }

    /// Brings every changed and every doubtful stretch of the copy up to date.
    fn copy(&self, raw: &mut Raw, old_doubt: &Areas) -> Result<u64, Failure> {
        let bar = progress_bar(self.bytes);
        let mut buffer = vec![0; CHUNK];
        let mut read = 0;
        let mut one = |extent: DiskExtent| -> Result<(), Failure> {
            let range = extent.range;
            if extent.content != Content::Data {
                return Ok(raw.zero(range)?);
            }
            for piece in range.chunks(CHUNK) {
                let bytes = &mut buffer[..piece.length as usize];
                self.disk.read_at(bytes, piece.offset)?;
                raw.put(bytes, piece.offset)?;
                read += piece.length;
                bar.inc(piece.length);
            }
            Ok(())
        };
        for area in old_doubt.iter() {
            // The disk may have become smaller than the areas were; such a copy is refused.
            for extent in self.disk.extents(area.offset..area.end().min(self.disk.size()))? {
                one(extent?)?;
            }
        }
        for extent in self.query.clone().extents()? {
            let extent = extent?;
            // Only what was put down as doubtful may be written.
            if !self.touched.contains(extent.range) {
                self.disk.must_be_unchanged()?;
                return Err(Failure::Refused(
                    "the disk changed while it was read; run it again".into(),
                ));
            }
            one(extent)?;
        }
        bar.finish_and_clear();
        Ok(read)
    }

    fn points_before(&self) -> Vec<String> {
        self.before.as_ref().map(|before| before.at.clone()).unwrap_or_default()
    }

    /// The state that the copy will have: the limits that it will be at, and, since the disk
    /// may have been written to after its newest id was sealed, where it is ahead of that id.
    /// (Should that checkpoint be applied again, those areas would differ from the disk, and
    /// no list of changes since the id would say so.)
    fn state_after(&self) -> Result<State, Failure> {
        let leaf = self.disk.chain().leaf();
        let mut at = vec![file_point(leaf.header().data_write_guid)];
        let mut ahead = Areas::default();
        if let Some(id) = self.newest {
            at.insert(0, id.to_string());
            for range in self.query.clone().since(Limit::Rct(id)).stream()? {
                ahead.add(range?, self.disk.size());
            }
        }
        Ok(State {
            version: 1,
            virtual_disk_id: leaf.metadata().disk_id,
            virtual_size: self.disk.size(),
            at,
            going_to: None,
            doubtful: ahead,
        })
    }
}

fn file_point(data_write_guid: uuid::Uuid) -> String {
    format!("file:{data_write_guid}")
}

/// How a limit is called in a state file: an RCT id by itself, a file or a snapshot by the
/// DataWriteGuid of the file, which is good as long as nobody writes to it.
fn point(query: &ChangeQuery, disk: &VirtualDisk, limit: &Limit) -> Result<String, Failure> {
    let files = disk.chain().files();
    let member = match limit {
        Limit::File(path) => {
            let path = path.canonicalize().ok();
            files.iter().find(|file| file.path().canonicalize().ok() == path)
        }
        Limit::Snapshot(id) => {
            let known = query.known_snapshots()?;
            let path = known
                .into_iter()
                .find(|snapshot| snapshot.id == *id)
                .and_then(|snapshot| snapshot.path);
            let name = path
                .as_deref()
                .and_then(|path| path.rsplit(['\\', '/']).next())
                .unwrap_or_default();
            let has_name =
                |file: &Path| file.file_name().is_some_and(|own| own.eq_ignore_ascii_case(name));
            files.iter().find(|file| has_name(file.path()))
        }
        _ => None,
    };
    Ok(member.map_or_else(|| limit.to_string(), |file| file_point(file.header().data_write_guid)))
}

/// Refuses a copy that the sync would spoil; gives what is known of it.
fn check_copy(
    args: &SyncArgs,
    query: &ChangeQuery,
    (disk, limit): (&VirtualDisk, &Limit),
    raw: Option<&Raw>,
) -> Result<Option<State>, Failure> {
    let to = args.to.display();
    let refuse = |message: String| Err(Failure::Refused(format!("{to}: {message}")));
    let length = raw.map(Raw::length).transpose()?;
    let Some(state) = state::load(&args.to)? else {
        return match (limit, length) {
            (Limit::Allocated, None) => Ok(None),
            (Limit::Allocated, Some(_)) => refuse(
                "the file exists and no state file beside it says that it is a copy of a disk; move it away, or \
                 name another file"
                    .into(),
            ),
            _ => refuse(format!(
                "no state file ({}) says what the copy is, so it cannot be brought up to date; make it with \
                 --since '*'",
                state::path_of(&args.to).display()
            )),
        };
    };
    let (id, size) = (disk.chain().leaf().metadata().disk_id, disk.size());
    if state.virtual_disk_id != id {
        return refuse(format!(
            "this is a copy of the disk {}, and the disk is {id}",
            state.virtual_disk_id
        ));
    }
    if *limit == Limit::Allocated {
        return Ok(Some(state));
    }
    let wanted = point(query, disk, limit)?;
    let Some(length) = length.filter(|_| state.at.contains(&wanted)) else {
        let at = if state.at.is_empty() { "nothing yet".into() } else { state.at.join(", ") };
        return refuse(format!(
            "the copy is at {at}, and not at {wanted}; sync since where it is (for a DataWriteGuid, since the file \
             that `info` shows with it), or make it anew with --since '*'"
        ));
    };
    if length != size && !(args.grow && length < size) {
        let hint = if length < size { "; add --grow if the disk grew" } else { "" };
        return refuse(format!("the copy has {length} bytes, and the disk has {size}{hint}"));
    }
    Ok(Some(state))
}
