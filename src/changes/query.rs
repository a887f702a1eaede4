//! A question about an opened disk.

use super::{ChangedExtents, Changes, Job, VirtualDiskChanges};
use crate::baseline::Baseline;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{CancelToken, Limits};
use std::ops::{Bound, Range, RangeBounds};
use std::time::Instant;

/// A question about an opened disk: what changed since a baseline.
///
/// Each question has its own deadline and cancel token: questions about one disk do not affect each
/// other. Finish it with [`ranges`](Self::ranges), [`extents`](Self::extents),
/// [`collect`](Self::collect) or [`start`](Self::start).
///
/// ```
/// # if !std::path::Path::new("testdata").exists() { return Ok(()); } // not in the packaged crate
/// use vhdx_rct::{Baseline, Disk};
///
/// let disk = Disk::open("testdata/child.avhdx")?;
/// for range in disk.changes(Baseline::Parent).region(0..1 << 20).ranges()? {
///     let range = range?;
///     println!("{} bytes at {}", range.length, range.offset);
/// }
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a question is asked by `ranges`, `extents`, `collect` or `start`"]
pub struct ChangeQuery {
    pub(super) disk: Disk,
    pub(super) since: Baseline,
    region: (Bound<u64>, Bound<u64>),
    max_ranges: Option<usize>,
    pub(super) limits: Limits,
}

impl Disk {
    /// Creates a question: what changed since a baseline. Nothing is read or checked until the
    /// question is run, for example with [`ranges`](ChangeQuery::ranges).
    pub fn changes(&self, since: impl Into<Baseline>) -> ChangeQuery {
        ChangeQuery {
            disk: self.clone(),
            since: since.into(),
            region: (Bound::Unbounded, Bound::Unbounded),
            max_ranges: None,
            limits: self.limits(),
        }
    }
}

impl ChangeQuery {
    /// Restricts the question to a region of the virtual disk, in bytes; the whole disk unless set.
    /// The region may be empty, and may begin at the disk's end. One that does not lie inside the
    /// disk fails with [`ErrorKind::InvalidParameter`] when the question is run.
    pub fn region(mut self, region: impl RangeBounds<u64>) -> Self {
        self.region = (region.start_bound().cloned(), region.end_bound().cloned());
        self
    }

    /// Limits the number of ranges in the answer, whatever its form; at least 1, unlimited unless
    /// set. If there are more, `processed_byte_length` ends just before the first range that was
    /// left out: query again from there on, and nothing is lost or repeated.
    ///
    /// ```
    /// # if !std::path::Path::new("testdata").exists() { return Ok(()); } // not in the packaged crate
    /// # use vhdx_rct::{Baseline, Disk};
    /// let disk = Disk::open("testdata/child.avhdx")?;
    /// let (mut at, mut all) = (0, Vec::new());
    /// while at < disk.identity().virtual_size {
    ///     let part = disk.changes(Baseline::Allocated).region(at..).max_ranges(2).collect()?;
    ///     all.extend(part.ranges);
    ///     at += part.processed_byte_length;
    /// }
    /// # assert_eq!(all, disk.changes(Baseline::Allocated).collect()?.ranges);
    /// # Ok::<(), vhdx_rct::Error>(())
    /// ```
    pub fn max_ranges(mut self, count: usize) -> Self {
        self.max_ranges = Some(count);
        self
    }

    /// Sets the time at which the question fails with [`ErrorKind::TimedOut`]; none unless set.
    pub fn deadline(mut self, at: Instant) -> Self {
        self.limits.deadline = Some(at);
        self
    }

    /// Sets the token that cancels the question: it then fails with [`ErrorKind::Cancelled`].
    pub fn cancel_token(mut self, token: CancelToken) -> Self {
        self.limits.cancel = Some(token);
        self
    }

    /// Runs the question, and returns the answer range by range in constant memory.
    ///
    /// # Errors
    /// Any [`ErrorKind`]; the table of [`ReturnValue`](crate::ReturnValue) lists the situations.
    /// The iterator returns the errors that are found only while reading.
    pub fn ranges(self) -> Result<Changes> {
        let max_ranges = self.max_ranges.unwrap_or(usize::MAX);
        if max_ranges == 0 {
            let message = "expected a limit of at least 1 on the number of ranges, found 0";
            return Err(Error::new(ErrorKind::InvalidParameter, message));
        }
        let region = region_in(self.disk.identity().virtual_size, &self.region)?;
        self.limits.check()?;
        Changes::new(self, region, max_ranges)
    }

    /// Runs the question, and splits each changed range into parts that have data and parts that
    /// read as zeros, so that zeros need not be read or stored.
    ///
    /// ```
    /// # if !std::path::Path::new("testdata").exists() { return Ok(()); } // not in the packaged crate
    /// use vhdx_rct::{Baseline, Disk, ExtentKind};
    ///
    /// let disk = Disk::open("testdata/child.avhdx")?;
    /// for extent in disk.changes(Baseline::Parent).extents()? {
    ///     let extent = extent?;
    ///     match extent.kind {
    ///         ExtentKind::Data => println!("copy {} bytes", extent.range.length),
    ///         _ => println!("write {} zeros", extent.range.length),
    ///     }
    /// }
    /// # Ok::<(), vhdx_rct::Error>(())
    /// ```
    ///
    /// # Errors
    /// Like [`ranges`](Self::ranges). Also fails if a parent is missing, whatever the baseline.
    pub fn extents(self) -> Result<ChangedExtents> {
        let (disk, limits) = (self.disk.clone(), self.limits.clone());
        let changes = self.ranges()?;
        let region = changes.region();
        ChangedExtents::new(disk.chain(), Some(changes), region, &limits)
    }

    /// Runs the question, and collects the answer in memory: 16 bytes per range.
    ///
    /// # Errors
    /// Like [`ranges`](Self::ranges); [`ErrorKind::OutOfMemory`] if the list exceeds the memory
    /// budget.
    pub fn collect(self) -> Result<VirtualDiskChanges> {
        self.ranges()?.collect_all()
    }

    /// Runs the question in the background, on a thread of its own.
    #[must_use]
    pub fn start(self) -> Job {
        Job::start(self)
    }
}

/// Returns a region of a disk of this size.
pub(super) fn region_in(size: u64, region: &impl RangeBounds<u64>) -> Result<Range<u64>> {
    let start = match region.start_bound() {
        Bound::Included(first) => *first,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match region.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => size,
    };
    let problem = match start {
        _ if start <= end && end <= size => return Ok(start..end),
        _ if start > size => format!("begins at byte {start}"),
        _ if start > end => format!("begins at byte {start}, after its end at byte {end}"),
        _ => format!("begins at byte {start} and ends at byte {end}"),
    };
    let message = format!("the region {problem}, but the disk ends at byte {size}");
    Err(Error::new(ErrorKind::InvalidParameter, message))
}
