//! Checks the structures of one file that a query does not need: every BAT entry, blocks that two entries share, both copies
//! of duplicated structures, and log entries that were not replayed.

use super::Vhdx;
use super::bat::PayloadState;
use super::error::{EntryDefect, Finding};
use super::header::CopyState;
use super::layout::*;
use crate::error::Result;
use crate::limits::Limits;
use crate::size::to_usize;
use bitvec::vec::BitVec;
use std::fmt::Display;

/// The maximum number of findings that are kept; further ones are only counted.
const MAX_FINDINGS: usize = 100;

/// The result of checking a whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FileCheck {
    /// The findings, one sentence each; at most 100 are kept.
    pub findings: Vec<String>,
    /// The total number of findings.
    pub total: u64,
    /// The number of BAT entries that were checked.
    pub entries: u64,
    /// The number of payload blocks in the file.
    pub payload_blocks: u64,
    /// The number of sector bitmap blocks in the file.
    pub bitmap_blocks: u64,
}

impl FileCheck {
    pub(super) fn add(&mut self, finding: impl Display) {
        self.total += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding.to_string());
        }
    }
}

impl Vhdx {
    /// Checks every structure of the file. Time grows with its BAT, memory by one bit for each
    /// mebibyte of the file.
    ///
    /// # Errors
    /// Fails only if reading fails or the memory budget would be exceeded. Any defect of the file is
    /// a finding.
    pub(crate) fn check(&self, limits: &Limits) -> Result<FileCheck> {
        let mut report = self.log_findings.clone();
        let copies = [(&HEADERS, self.header_copies), (&REGION_TABLES, self.regions.states)];
        for (StoredTwice { what, .. }, states) in copies {
            let invalid =
                states.into_iter().enumerate().filter(|(_, state)| *state != CopyState::Valid);
            invalid.for_each(|(index, state)| report.add(Finding::Copy { what, index, state }));
        }
        let used = self.file.length.div_ceil(MIB);
        limits.memory.check(used / 8, "the map of used blocks")?;
        let mut used: BitVec = BitVec::repeat(false, to_usize(used));
        report.entries = self.shape.entries;
        self.each_block(limits, |block| {
            let offset = match block.place {
                Ok(Some(offset)) => offset,
                Ok(None) => return Ok(()),
                Err(error) => {
                    report.add(error);
                    return Ok(());
                }
            };
            let (index, is_bitmap) = (block.index, block.is_bitmap);
            let (what, count, length) = match is_bitmap {
                true => ("sector bitmap", &mut report.bitmap_blocks, BITMAP_BLOCK),
                false => ("block", &mut report.payload_blocks, self.used_bytes(index)),
            };
            *count += 1;
            let first = to_usize(offset / MIB);
            if let Some(mine) = used.get_mut(first..first + to_usize(length.div_ceil(MIB))) {
                if mine.any() {
                    report.add(Finding::SharedBlock { what, index, offset });
                }
                mine.fill(true);
            }
            let partial = matches!(block.entry.state(), Ok(PayloadState::PartiallyPresent));
            if partial && !is_bitmap && !self.metadata.has_parent() {
                report.add(self.bad_entry(block.entry, what, index, EntryDefect::NoParent));
            }
            Ok(())
        })?;
        Ok(report)
    }
}
