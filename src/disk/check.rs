//! Checks a whole disk: every file of the chain, the tables, and tables against blocks.

use super::Disk;
use crate::chain::{DiskFile, Tracking};
use crate::error::Result;
use crate::query::TableEvidence;
use crate::range::ByteRange;

/// The result of checking every structure of a disk's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct CheckReport {
    /// The findings, one sentence each; at most 100 per file are kept.
    pub findings: Vec<String>,
    /// The total number of findings.
    pub total: u64,
    /// The number of BAT entries that were checked.
    pub bat_entries: u64,
    /// The number of payload blocks in the files.
    pub payload_blocks: u64,
    /// The number of sector bitmap blocks in the files.
    pub bitmap_blocks: u64,
    /// The number of tracking tables that were checked and found valid.
    pub tracking_tables: u64,
    /// The result of [`Disk::check_tables`]; empty if the tables could not be compared.
    pub evidence: Vec<Option<TableEvidence>>,
}

impl CheckReport {
    fn add(&mut self, finding: String) {
        self.total += 1;
        self.findings.push(finding);
    }
}

impl Disk {
    /// Checks every structure of every file of the chain and every page of the tables beside
    /// them, and compares tables with blocks ([`check_tables`](Self::check_tables)). The time grows
    /// with the size of the block tables; the memory is one bit for each MiB of a file.
    ///
    /// # Errors
    /// Only if reading a disk's file fails, or the memory budget would be exceeded. Anything wrong
    /// in the files is a finding.
    pub fn check(&self) -> Result<CheckReport> {
        let limits = self.limits();
        let mut report = CheckReport::default();
        for (depth, file) in self.files().iter().enumerate() {
            let found = file.vhdx.check(&limits)?;
            let place = match depth {
                0 => String::new(),
                _ => format!("{}: ", file.path().display()),
            };
            let findings = found.findings.into_iter();
            report.findings.extend(findings.map(|finding| format!("{place}{finding}")));
            report.total += found.total;
            report.bat_entries += found.entries;
            report.payload_blocks += found.payload_blocks;
            report.bitmap_blocks += found.bitmap_blocks;
            match file.tracking() {
                Tracking::Off => {}
                Tracking::Unusable(error) => report.add(error.to_string()),
                Tracking::Usable { table, .. } => match table.check_within(&limits) {
                    Ok(()) => report.tracking_tables += 1,
                    Err(error) if error.concerns_request() => return Err(error),
                    Err(error) => report.add(error.to_string()),
                },
            }
        }
        match self.check_tables() {
            Ok(tables) => {
                for evidence in tables.iter().flatten() {
                    // A damaged page was already reported above.
                    let contradiction = evidence.contradiction.as_ref();
                    if let Some(found) = contradiction.filter(|c| !report.findings.contains(c)) {
                        report.add(found.clone());
                    }
                }
                report.evidence = tables;
            }
            Err(error) if error.concerns_request() || error.io_kind().is_some() => {
                return Err(error);
            }
            // Blocks that cannot be compared were found above already.
            Err(error) if report.total == 0 => report.add(error.to_string()),
            Err(_) => {}
        }
        if let Some(error) = self.missing_parent() {
            report.add(error.to_string());
        }
        Ok(report)
    }

    /// Returns the parts of a file, in bytes, that suffice to answer every question about changes
    /// and that hold no payload: the header section, the log, the BAT, the metadata region and the
    /// sector bitmap blocks. Sorted by offset, none overlapping.
    ///
    /// `file` is an index into [`files`](Self::files); an index past its end gives no parts.
    ///
    /// # Errors
    /// [`ErrorKind::BatCorrupt`](crate::ErrorKind::BatCorrupt) if a BAT entry contradicts the
    /// format or the file; errors from reading the file.
    pub fn metadata_parts(&self, file: usize) -> Result<Vec<ByteRange>> {
        let parts = |file: &DiskFile| file.vhdx.metadata_parts(&self.limits());
        self.files().get(file).map_or(Ok(Vec::new()), parts)
    }
}
