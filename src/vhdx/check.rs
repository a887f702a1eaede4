//! Everything that a query need not look at: every BAT entry, blocks that two entries share,
//! both copies of what is kept twice, log entries that were not replayed.

use super::Vhdx;
use super::bat::{self, BadEntry, Payload};
use super::header::CopyState;
use super::layout::*;
use super::parts::Slot;
use crate::error::Result;
use bitvec::vec::BitVec;
use std::mem::take;

/// Findings behind this many are only counted.
const MAX_FINDINGS: usize = 100;

/// What a walk over a whole file found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// What is wrong, a sentence each; at most 100 are kept.
    pub findings: Vec<String>,
    /// How many there are in all.
    pub total: u64,
    /// How many BAT entries were looked at.
    pub entries: u64,
    /// How many payload blocks lie in the file.
    pub payload_blocks: u64,
    /// How many sector bitmap blocks lie in the file.
    pub bitmap_blocks: u64,
}

impl CheckReport {
    pub(super) fn add(&mut self, finding: String) {
        self.total += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }
}

impl Vhdx {
    /// Walks every structure of the file: time grows with its BAT, memory by one bit for each
    /// megabyte of the file.
    ///
    /// # Errors
    /// Only where reading fails, or the memory budget would be exceeded; what is wrong in
    /// the file is a finding.
    pub fn check(&self) -> Result<CheckReport> {
        let mut report = self.log_findings.clone();
        self.check_copies(&mut report);
        let used = self.file.length().div_ceil(MB);
        self.file.guard().need(used / 8, "the map of used blocks")?;
        let mut used: BitVec = BitVec::repeat(false, used as usize);
        let mut needed = false;
        report.entries = self.shape.entries;
        self.each_entry(|slot, entry| {
            match slot {
                Slot::Bitmap(chunk) => {
                    self.check_bitmap(entry, chunk, take(&mut needed), &mut used, &mut report);
                }
                Slot::Payload(block) => {
                    needed |= self.check_payload(entry, block, &mut used, &mut report);
                }
            }
            Ok(())
        })?;
        Ok(report)
    }

    fn check_copies(&self, report: &mut CheckReport) {
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

    /// Says whether the block is partially present.
    fn check_payload(
        &self,
        entry: u64,
        block: u64,
        used: &mut BitVec,
        report: &mut CheckReport,
    ) -> bool {
        let partial = matches!(Payload::parse(entry), Ok(Payload::Partial(_)));
        match self.payload(entry, block) {
            Err(error) => report.add(error.to_string()),
            Ok(Payload::Full(offset) | Payload::Partial(offset)) => {
                report.payload_blocks += 1;
                let length = self.used_bytes(block);
                claim(offset, length, &format!("block {block}"), used, report);
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
        entry: u64,
        chunk: u64,
        needed: bool,
        used: &mut BitVec,
        report: &mut CheckReport,
    ) {
        if !self.metadata.has_parent() {
            return; // means nothing in a file without a parent
        }
        match self.bitmap(entry, chunk) {
            Ok(offset) => {
                report.bitmap_blocks += 1;
                claim(offset, BITMAP_BLOCK, &format!("sector bitmap {chunk}"), used, report);
            }
            // Where no block needs it, only one that is said to be there has to be right.
            Err(error) if needed || matches!(bat::parse_bitmap(entry), Ok(Some(_))) => {
                report.add(error.to_string());
            }
            Err(_) => {}
        }
    }
}

/// Marks a block's megabytes as used; a finding where one was used before.
fn claim(offset: u64, length: u64, name: &str, used: &mut BitVec, report: &mut CheckReport) {
    let first = (offset / MB) as usize;
    let last = first + length.div_ceil(MB) as usize;
    let Some(mine) = used.get_mut(first..last) else { return };
    if mine.any() {
        report.add(format!("{name} at {offset:#x} shares bytes with another block"));
    }
    mine.fill(true);
}
