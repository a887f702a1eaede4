//! Checks what a query does not need: every BAT entry, blocks that two entries share, both copies
//! of duplicated structures, and log entries that were not replayed.

use super::Vhdx;
use super::bat::{BadEntry, BatEntry, PayloadState};
use super::header::CopyState;
use super::layout::*;
use super::parts::BatSlot;
use crate::error::Result;
use crate::limits::Limits;
use crate::size::to_usize;
use bitvec::vec::BitVec;
use std::mem::take;

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
    pub(super) fn add(&mut self, finding: String) {
        self.total += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }
}

impl Vhdx {
    /// Checks every structure of the file. Time grows with its BAT, memory by one bit for each
    /// mebibyte of the file.
    ///
    /// # Errors
    /// Only if reading fails or the memory budget would be exceeded. Anything wrong in the file is
    /// a finding.
    pub(crate) fn check(&self, limits: &Limits) -> Result<FileCheck> {
        let mut report = self.log_findings.clone();
        self.check_copies(&mut report);
        let used = self.file.length().div_ceil(MB);
        limits.memory.check(used / 8, "the map of used blocks")?;
        let mut used: BitVec = BitVec::repeat(false, to_usize(used));
        let mut needed = false;
        report.entries = self.shape.entries;
        self.each_entry(limits, |slot, entry| {
            match slot {
                BatSlot::Bitmap(chunk) => {
                    self.check_bitmap(entry, chunk, take(&mut needed), &mut used, &mut report);
                }
                BatSlot::Payload(block) => {
                    needed |= self.check_payload(entry, block, &mut used, &mut report);
                }
            }
            Ok(())
        })?;
        Ok(report)
    }

    fn check_copies(&self, report: &mut FileCheck) {
        let copies = [("header", self.header_copies), ("region table", self.regions.states)];
        for (name, states) in copies {
            for (copy, state) in
                states.iter().enumerate().filter(|(_, state)| **state != CopyState::Valid)
            {
                report.add(format!(
                    "{name} copy {} is not valid ({state:?}); the other one is used",
                    copy + 1
                ));
            }
        }
    }

    /// Returns whether the block is partially present.
    fn check_payload(
        &self,
        entry: BatEntry,
        block: u64,
        used: &mut BitVec,
        report: &mut FileCheck,
    ) -> bool {
        let partial = matches!(entry.state(), Ok(PayloadState::PartiallyPresent));
        match self.payload(entry, block) {
            Err(error) => report.add(error.to_string()),
            Ok(state) if state.has_block() => {
                report.payload_blocks += 1;
                let length = self.used_bytes(block);
                mark_used(entry.offset(), length, &format!("block {block}"), used, report);
                if partial && !self.metadata.has_parent() {
                    let what = "is partially present, and the file has no parent; it is read as fully present";
                    report.add(self.bad_entry(entry, "block", block, BadEntry(what)).to_string());
                }
            }
            Ok(_) => {}
        }
        partial
    }

    fn check_bitmap(
        &self,
        entry: BatEntry,
        chunk: u64,
        needed: bool,
        used: &mut BitVec,
        report: &mut FileCheck,
    ) {
        if !self.metadata.has_parent() {
            return; // means nothing in a file without a parent
        }
        match self.bitmap(entry, chunk) {
            Ok(offset) => {
                report.bitmap_blocks += 1;
                mark_used(offset, BITMAP_BLOCK, &format!("sector bitmap {chunk}"), used, report);
            }
            // If no block needs the bitmap block, only an entry marked as present has to be valid.
            Err(error) if needed || matches!(entry.has_bitmap(), Ok(true)) => {
                report.add(error.to_string());
            }
            Err(_) => {}
        }
    }
}

/// Marks a block's mebibytes as used, and reports a finding if one was already used.
fn mark_used(offset: u64, length: u64, name: &str, used: &mut BitVec, report: &mut FileCheck) {
    let first = to_usize(offset / MB);
    let last = first + to_usize(length.div_ceil(MB));
    let Some(mine) = used.get_mut(first..last) else { return };
    if mine.any() {
        report.add(format!("{name} at {offset:#x} shares bytes with another block"));
    }
    mine.fill(true);
}
