//! Hand-made samples that show every outcome. What the host "answered" is the fixtures' record
//! of what was written.

use std::ops::Range;
use std::path::Path;
use vhdx_rct_fieldkit::{self as fieldkit, FactReport, Origin, SampleReport, Verdict};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::{self, Tracked, id_text};
use vhdx_rct_fixtures::sample::{SampleCase, write_manifest};
use vhdx_rct_fixtures::vhdx::{Block, DirtyLog, LogPlan, VhdxBuilder};

pub const MB: u64 = 1 << 20;
pub const SIZE: u64 = 40 * MB;

/// A disk with the events of the script: an id, writes, another id, more writes.
struct SampledDisk {
    directory: tempfile::TempDir,
    tracked: Tracked,
    case: SampleCase,
    first: String,
    last: String,
}

fn text(id: rct::RctId) -> String {
    id_text(id.0, id.1)
}

impl SampledDisk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut case = SampleCase::new(directory.path(), "case", "disk.vhdx", SIZE).unwrap();
        case.pack_disk("disk.vhdx", &VhdxBuilder::new(SIZE)).unwrap();
        let mut tracked = Tracked::new(SIZE, 11);
        let first = text(tracked.current_id());
        case.saw("tracked", &first);
        let mut sampled = SampledDisk { directory, tracked, case, last: first.clone(), first };
        sampled.write(64 << 10..68 << 10);
        sampled.write(MB - 4096..MB + 4096);
        tracked = sampled.tracked.clone();
        sampled.last = text(tracked.create_id());
        sampled.tracked = tracked;
        sampled.case.saw("id", &sampled.last.clone());
        // A whole chunk of 1021 units, and the disk's last unit.
        sampled.write(1021 * (16 << 10)..2042 * (16 << 10));
        sampled.write(SIZE - 4096..SIZE);
        sampled
    }

    fn write(&mut self, range: Range<u64>) {
        self.tracked.write(range.clone());
        self.case.wrote(range);
    }

    /// Returns the recorded changes since each of the two ids.
    fn record(&self) -> [(String, Vec<Range<u64>>); 2] {
        let ids = self.tracked.ids();
        [&ids[0], ids.last().unwrap()].map(|id| (text(*id), self.tracked.changed_since(*id)))
    }

    fn table(&self) -> Vec<u8> {
        let path = self.directory.path().join("table.tmp");
        // A page of junk lies after the offset table, and between sequence pages.
        self.tracked.builder().gap_pages(1).write(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        bytes
    }

    fn check(mut self, table: &[u8], answers: &[(String, Vec<Range<u64>>)]) -> SampleReport {
        self.case.pack_whole("disk.vhdx.rct", table).unwrap();
        answers.iter().for_each(|(id, ranges)| self.case.answered(id, ranges));
        check(self.directory.path(), &[self.case])
    }
}

pub fn check(directory: &Path, cases: &[SampleCase]) -> SampleReport {
    write_manifest(directory, cases).unwrap();
    fieldkit::check(directory).unwrap().remove(0)
}

pub fn names(report: &SampleReport, format: &str, verdict: Verdict) -> Vec<&'static str> {
    let is = |fact: &&FactReport| fact.format == format && fact.verdict == verdict;
    report.facts.iter().filter(is).map(|fact| fact.fact.name).collect()
}

pub fn fact<'a>(report: &'a SampleReport, format: &str, name: &str) -> &'a FactReport {
    report.facts.iter().find(|fact| fact.format == format && fact.fact.name == name).unwrap()
}

#[test]
fn agreeing_host_confirms_the_facts() {
    let sampled = SampledDisk::new();
    let (table, record) = (sampled.table(), sampled.record());
    let report = sampled.check(&table, &record);
    assert_eq!((report.origin, report.cases, report.answers), (Origin::HandMade, 1, 2));
    assert_eq!(report.failed_steps, ["none, a step: that failed"]);
    assert_eq!(names(&report, "rct", Verdict::Contradicted), [""; 0]);
    let open = [
        "header-counter",
        "header-new-id",
        "branch-size",
        "branch-fields",
        "consistent-history",
        "preserved",
        "lazy",
    ];
    assert_eq!(names(&report, "rct", Verdict::Open), open);
    assert_eq!(
        names(&report, "rct", Verdict::Confirmed).len(),
        vhdx_rct::rct::FACTS.len() - open.len()
    );
    assert_eq!(names(&report, "vhds", Verdict::Open).len(), vhdx_rct::vhd_set::FACTS.len());
    let changed = &fact(&report, "rct", "changed").evidence;
    assert!(
        changed.iter().any(|e| e.text.starts_with("case: made by hand since rctX:")),
        "{changed:?}"
    );
}

/// An edit that makes a good sample wrong: of the bytes of the table, or the answers of the host.
type Spoil = fn(&mut Vec<u8>, &mut Vec<(String, Vec<Range<u64>>)>);

pub fn put(table: &mut [u8], at: usize, bytes: &[u8]) {
    table[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Changes a field of both headers, and restores their checksums.
fn headers(table: &mut [u8], at: usize, bytes: &[u8]) {
    for offset in [0x1000, 0x5000] {
        put(table, offset + at, bytes);
        rct::Checksum::At4From8.store(&mut table[offset..offset + 0x4000]);
    }
}

const GROUP: [&str; 3] = ["unit-size", "changed", "resolve"];

const SPOILT: &[(&str, bool, &[&str], Spoil)] = &[
    ("the host has a range that we have not", true, &GROUP, |_, answers| {
        answers[1].1.insert(0, 0..16 << 10);
    }),
    ("the host has half of a range only", false, &["unit-size", "changed"], |_, answers| {
        let last = answers[1].1.last_mut().unwrap();
        last.start = SIZE - 4096;
    }),
    // The last write is in no answer of the host's.
    ("the host says that nothing changed", false, &["unit-size", "changed"], |_, answers| {
        answers[1].1.clear();
    }),
    ("an id in another form", false, &["id-text"], |_, answers| {
        answers.push(("rctX-5bfde23b".into(), vec![]));
    }),
    ("an id that the table does not know", false, &["resolve"], |_, answers| {
        answers.push((text((uuid::Uuid::from_u128(5), 1)), vec![0..16 << 10]));
    }),
    ("another number in the header", false, &["header-number"], |table, _| {
        headers(table, 0x40, &9_u32.to_le_bytes());
    }),
    // A branch that the host does not know; the history's last one is another, too.
    (
        "another branch in the header",
        false,
        &["header-branch", "branch-size", "consistent-history", "resolve"],
        |table, _| headers(table, 0x30, &[7; 16]),
    ),
    (
        "units of another size",
        false,
        &["header-units", "unit-size", "header-places"],
        |table, _| {
            headers(table, 0x28, &(SIZE >> 16).to_le_bytes());
        },
    ),
    ("a flag that is none", false, &["header-new-id"], |table, _| headers(table, 0x46, &[2])),
    ("no branches at all", false, &["header-branches"], |table, _| headers(table, 0x44, &[0, 0])),
    (
        "a branch that begins later than now",
        false,
        &["branch-fields", "consistent-history"],
        |table, _| headers(table, 0x1000 + 16, &77_u32.to_le_bytes()),
    ),
    ("no checksum that is known", false, &["header-checksum"], |table, _| {
        put(table, 0x1004, &[1, 2, 3, 4]);
        put(table, 0x5004, &[1, 2, 3, 4]);
    }),
    ("headers elsewhere", false, &["header-places"], |table, _| table[0x1000..0x9000].fill(0)),
    ("two signatures", false, &["header-signature"], |table, _| {
        put(table, 0x1000, b"abcd");
        rct::Checksum::At4From8.store(&mut table[0x1000..0x5000]);
    }),
    ("a length that is no page's", false, &["pages"], |table, _| table.push(0)),
    ("two offset pages", false, &["offset-pages"], |table, _| {
        let copy = table[0x9000..0xA000].to_vec();
        put(table, 0xA000, &copy);
    }),
    ("no offset page", false, &["offset-table", "offset-pages"], |table, _| {
        put(table, 0x9000, b"none")
    }),
    ("an offset page's checksum", false, &["offset-page"], |table, _| table[0x9004] ^= 1),
    ("an offset page with another index", false, &["offset-page"], |table, _| {
        put(table, 0x9008, &3_u32.to_le_bytes());
        rct::Checksum::At4From8.store(&mut table[0x9000..0xA000]);
    }),
    // The last chunk's page is the first chunk's too; what is asked does not matter here.
    ("a page named twice", false, &["entry-detailed"], |table, answers| {
        let first = table[0x900C..0x9010].to_vec();
        put(table, 0x9014, &first);
        rct::Checksum::At4From8.store(&mut table[0x9000..0xA000]);
        answers.clear();
    }),
    ("an entry beyond the file", false, &["entry-detailed"], |table, _| {
        put(table, 0x900C, &(-5000_i32).to_le_bytes());
        rct::Checksum::At4From8.store(&mut table[0x9000..0xA000]);
    }),
    ("a number to come", false, &["unit-size", "entry-uniform", "changed"], |table, _| {
        // The middle chunk is the uniform one.
        assert_eq!(table[0x9010..0x9014], 2_u32.to_le_bytes());
        put(table, 0x9010, &5_u32.to_le_bytes());
        put(table, 0x9014, &5_u32.to_le_bytes());
        rct::Checksum::At4From8.store(&mut table[0x9000..0xA000]);
    }),
    ("a sequence page's checksum elsewhere", false, &["sequence-header"], |table, _| {
        let end = table.len();
        put(table, end - 4096 + 4, &[9; 4]);
    }),
];

#[test]
fn mismatches_contradict_the_related_fact() {
    let mut wrong = Vec::new();
    for (what, grave, facts, spoil) in SPOILT {
        let sampled = SampledDisk::new();
        let (mut table, mut answers) = (sampled.table(), sampled.record().to_vec());
        spoil(&mut table, &mut answers);
        let report = sampled.check(&table, &answers);
        let mut found = names(&report, "rct", Verdict::Contradicted);
        let mut expected = facts.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        let is_grave = report.facts.iter().any(FactReport::is_grave);
        if (&found, is_grave) != (&expected, *grave) {
            let why = found.iter().map(|name| &fact(&report, "rct", name).evidence);
            wrong.push(format!(
                "{what}: {found:?}, grave: {is_grave}: {:#?}",
                why.collect::<Vec<_>>()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A write that is in no answer.
#[test]
fn what_was_written_must_be_in_both_answers() {
    let mut sampled = SampledDisk::new();
    let (table, record) = (sampled.table(), sampled.record());
    sampled.case.wrote(36 * MB..36 * MB + 512);
    sampled.case.wrote(0..512);
    let report = sampled.check(&table, &record);
    assert_eq!(names(&report, "rct", Verdict::Contradicted), ["changed"]);
    let evidence = &fact(&report, "rct", "changed").evidence;
    assert!(
        evidence.iter().any(|e| e.grave && e.text.contains("the first 512 bytes at 0")),
        "{evidence:#?}"
    );
    assert!(
        evidence.iter().any(|e| e.text.contains("the host does not report them")),
        "{evidence:#?}"
    );
}

#[test]
fn a_disk_that_is_tracked_without_a_table_contradicts_the_names() {
    let sampled = SampledDisk::new();
    let report = check(sampled.directory.path(), &[sampled.case]);
    assert_eq!(names(&report, "rct", Verdict::Contradicted), ["names"]);
    // A file that could not be packed is no evidence that there was none.
    let manifest = sampled.directory.path().join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("a step", "pack disk.vhdx.rct")).unwrap();
    let report = fieldkit::check(sampled.directory.path()).unwrap().remove(0);
    assert_eq!(names(&report, "rct", Verdict::Contradicted), [""; 0]);

    let mut sampled = SampledDisk::new();
    let table = sampled.table();
    sampled.case.pack_whole("other.vhdx.rct", &table).unwrap();
    let report = check(sampled.directory.path(), &[sampled.case]);
    assert_eq!(names(&report, "rct", Verdict::Contradicted), ["names"]);
}

#[test]
fn two_branches_settle_how_the_history_is_kept() {
    let mut sampled = SampledDisk::new();
    let branch = text(sampled.tracked.new_branch());
    sampled.case.saw("id", &branch);
    sampled.write(8 * MB..9 * MB);
    let (table, record) = (sampled.table(), sampled.record());
    let report = sampled.check(&table, &record);
    assert_eq!(names(&report, "rct", Verdict::Contradicted), [""; 0]);
    let open = ["header-counter", "header-new-id", "preserved", "lazy"];
    assert_eq!(names(&report, "rct", Verdict::Open), open);
}

/// Two copies with different ids: the host's newest id identifies the current one.
#[test]
fn two_header_copies_settle_which_is_current() {
    for swapped in [false, true] {
        let mut sampled = SampledDisk::new();
        let path = sampled.directory.path().join("table.tmp");
        let builder = sampled.tracked.builder().headers(rct::HeaderPlan::SecondStale);
        let decoy = builder.write(&path).unwrap().decoy;
        let table = std::fs::read(&path).unwrap();
        if swapped {
            let number = sampled.tracked.current_id().1;
            sampled.case.saw("state", &text((decoy, number)));
        }
        let record = sampled.record();
        let report = sampled.check(&table, &record);
        let verdict = if swapped { Verdict::Contradicted } else { Verdict::Confirmed };
        assert_eq!(fact(&report, "rct", "header-counter").verdict, verdict);
        assert_eq!(fact(&report, "rct", "header-branch").verdict, verdict);
        assert_eq!(fact(&report, "rct", "header-number").verdict, Verdict::Confirmed);
    }
}

/// A table that lags behind, beside a log that was not closed: what the fact says.
#[test]
fn disk_in_use_shows_whether_its_table_lags() {
    for lags in [true, false] {
        let mut sampled = SampledDisk::new();
        sampled.case.files.clear();
        let dirty = VhdxBuilder::new(SIZE).log(LogPlan::Dirty(DirtyLog::default()));
        sampled.case.pack_disk("disk.vhdx", &dirty).unwrap();
        let table = sampled.table();
        if lags {
            sampled.case.wrote(35 * MB..36 * MB);
        }
        sampled.case.refused(&sampled.first.clone(), "not asked");
        let report = sampled.check(&table, &[]);
        assert_eq!(names(&report, "rct", Verdict::Contradicted), [""; 0], "{lags}");
        let verdict = fact(&report, "rct", "lazy").verdict;
        assert_eq!(verdict, if lags { Verdict::Confirmed } else { Verdict::Open });
        // The host's newest id does not apply to a table that may lag.
        assert_eq!(fact(&report, "rct", "header-number").verdict, Verdict::Open);
    }
}

/// A child that keeps its parent's ids: both tables together, or something is missing.
fn chain(forget_the_parents: bool) -> SampleReport {
    let directory = tempfile::tempdir().unwrap();
    let mut case = SampleCase::new(directory.path(), "chain", "child.avhdx", SIZE).unwrap();
    let disk = |seed| VhdxBuilder::new(SIZE).seed(seed).disk_id(uuid::Uuid::from_u128(1));
    let place = case.pack_disk("base.vhdx", &disk(1)).unwrap();
    let child = disk(2).parent(place.locator("base.vhdx")).block(5, Block::Full(Fill(1)));
    case.pack_disk("child.avhdx", &child).unwrap();
    let mut base = Tracked::new(SIZE, 3);
    let id = base.current_id();
    case.saw("tracked", &text(id));
    base.write(0..4096);
    case.wrote(0..4096);
    let mut child = base.child(4);
    child.write(5 * MB..6 * MB);
    case.wrote(5 * MB..6 * MB);
    if forget_the_parents {
        base = base.child(3);
    }
    case.pack_table("base.vhdx.rct", &base.builder()).unwrap();
    case.pack_table("child.avhdx.rct", &child.builder()).unwrap();
    case.answered(&text(id), &[0..16 << 10, 5 * MB..6 * MB]);
    check(directory.path(), &[case])
}

#[test]
fn a_child_that_keeps_its_parents_ids_settles_who_is_asked() {
    let report = chain(false);
    assert_eq!(names(&report, "rct", Verdict::Contradicted), [""; 0]);
    assert_eq!(fact(&report, "rct", "preserved").verdict, Verdict::Confirmed);
    let report = chain(true);
    let contradicted = ["unit-size", "changed", "resolve", "preserved"];
    assert_eq!(names(&report, "rct", Verdict::Contradicted), contradicted);
    assert!(fact(&report, "rct", "preserved").is_grave());
}
