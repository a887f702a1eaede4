//! Samples of Hyper-V hosts against every fact of the undocumented formats: real ones, where
//! there are some, and hand-made ones that show each outcome of the check.

#![allow(clippy::single_range_in_vec_init)] // a list of ranges may have one

mod images;
mod kit;
mod program;
mod refused;
mod sets;
mod verdicts;
mod virtdisk;

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use vhdx_rct_fieldkit::{self as fieldkit, Origin, Sample, Verdict};
use vhdx_rct_fixtures::testing::{file_sha256, skip};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn testdata() -> PathBuf {
    root().join("../../testdata")
}

/// No sample of a real host contradicts a fact; if one does, the layouts must be changed.
#[test]
fn no_real_sample_contradicts_a_fact() {
    let directory = std::env::var_os("VHDX_FIELD_SAMPLES").map(PathBuf::from);
    let directory = directory.unwrap_or_else(|| root().join("samples"));
    let found = if directory.exists() { Sample::find(&directory).unwrap() } else { Vec::new() };
    if found.is_empty() {
        skip(&format!(
            "field samples: {} has no sample of a real host yet; README.md says how to make one",
            directory.display()
        ));
        return;
    }
    packs_are_those_of_the_host(&found);
    let mut contradictions = Vec::new();
    for report in fieldkit::check(&directory).unwrap() {
        let name = report.directory.display().to_string();
        let hand_made =
            if report.origin == Origin::HandMade { ", hand-made: no evidence" } else { "" };
        println!("{name}: {}{hand_made}", report.windows);
        for fact in &report.facts {
            println!(
                "  {} {}: {:?} {:?}",
                fact.format, fact.fact.name, fact.verdict, fact.evidence
            );
            if fact.verdict == Verdict::Contradicted {
                contradictions.push(format!("{name}: {} {}", fact.format, fact.fact.name));
            }
        }
    }
    assert!(contradictions.is_empty(), "the facts need another look: {contradictions:#?}");
}

/// Each pack has the checksum that the host computed, if it computed one.
fn packs_are_those_of_the_host(samples: &[PathBuf]) {
    for sample in samples {
        let text = fs::read_to_string(sample.join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_str(text.trim_start_matches('\u{FEFF}')).unwrap();
        for case in manifest["cases"].as_array().unwrap() {
            let directory = sample.join(case["name"].as_str().unwrap());
            for file in case["files"].as_array().unwrap() {
                let stored = directory.join(file["stored"].as_str().unwrap());
                if let Some(sum) = file["sha256"].as_str() {
                    assert_eq!(file_sha256(&stored), sum, "{}", stored.display());
                }
            }
        }
    }
}
