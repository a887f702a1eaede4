//! Parents, tables and disks that are not files, or are outside the permitted directories.

use super::bounds::*;
use crate::common::faulty::{Call, Fault, Faulty};
use crate::common::tables::current_id;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use vhdx_rct::source::LocalStorage;
use vhdx_rct_fixtures::rct::RctBuilder;

/// A directory with a child in `inside/`, and the parent that its locator may name.
struct Place {
    directory: tempfile::TempDir,
    parent: Image,
}

fn disk(seed: u64) -> VhdxBuilder {
    VhdxBuilder::new(4 * MB).seed(seed).disk_id(uuid::Uuid::from_u128(1))
}

impl Place {
    fn new(locator: impl FnOnce(ParentLocator) -> ParentLocator) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["inside", "outside"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let parent = Image::new(&disk(1));
        let locator = locator(ParentLocator::new(parent.at.data_write_guid));
        let child = Image::new(&disk(2).parent(locator).block(1, Block::Full(Fill(1))));
        let place = Place { directory, parent };
        child.save(&place.path("inside/disk.avhdx"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(name)
    }

    fn question(&self) -> Question {
        Question::new(self.path("inside/disk.avhdx"), Baseline::Allocated)
    }

    /// The question, confined to these directories.
    fn confined(&self, names: &[&str]) -> Question {
        let confine = |question: Question, name: &&str| {
            question.with(|options| options.confine_to(self.path(name)))
        };
        names.iter().fold(self.question(), confine)
    }

    fn ask(&self, name: &str) -> Result<VirtualDiskChanges, Error> {
        self.question().bounded(name, MEMORY)
    }
}

fn beside() -> Place {
    Place::new(|locator| locator.relative(r".\base.vhdx"))
}

/// Creates a pipe without a writer; opening it blocks forever.
fn pipe(path: &Path) -> bool {
    let made = Command::new("mkfifo").arg(path).status().is_ok_and(|status| status.success());
    if !made {
        crate::common::skip("a pipe: mkfifo creates none here");
    }
    made
}

type Make = fn(&Path) -> bool;
const A_PIPE: (&str, Make) = ("a pipe", pipe);
const A_DIRECTORY: (&str, Make) = ("a directory", |path| fs::create_dir(path).is_ok());
const ZEROS: (&str, Make) = ("endless zeros", |path| symlink("/dev/zero", path).is_ok());
const NULL: (&str, Make) = ("nothing", |path| symlink("/dev/null", path).is_ok());

#[test]
fn rejects_parents_that_are_not_files() {
    let cases: [((&str, Make), Code); 7] = [
        (A_PIPE, BAD_PARENT),
        (A_DIRECTORY, BAD_PARENT),
        (ZEROS, BAD_PARENT),
        (NULL, BAD_PARENT),
        (("a link to itself", |path| symlink("base.vhdx", path).is_ok()), PARENT_NOT_FOUND),
        (("a link to nowhere", |path| symlink("gone.vhdx", path).is_ok()), PARENT_NOT_FOUND),
        (("an empty file", |path| fs::write(path, "").is_ok()), PARENT_NO_DISK),
    ];
    for ((name, make), code) in cases {
        let place = beside();
        if make(&place.path("inside/base.vhdx")) {
            must_fail(name, place.ask(name), code);
        }
    }
}

#[test]
fn rejects_disks_that_are_not_files() {
    for (name, make) in [A_PIPE, A_DIRECTORY, ZEROS, NULL] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.vhdx");
        if make(&path) {
            let question = Question::new(&path, Baseline::Allocated);
            must_fail(name, question.bounded(name, MEMORY), CORRUPT);
        }
    }
}

#[test]
fn rejects_tables_that_are_not_files() {
    for (name, make) in [A_PIPE, A_DIRECTORY, ZEROS] {
        let place = beside();
        place.parent.save(&place.path("inside/base.vhdx"));
        if make(&place.path("inside/disk.avhdx.rct")) {
            let since = RctId::new(uuid::Uuid::nil(), 0).into();
            let question = Question { since, ..place.question() };
            must_fail(name, question.bounded(name, MEMORY), CORRUPT);
            assert_eq!(place.ask(name).unwrap().ranges, ranges(&[MB..2 * MB]), "{name}");
        }
    }
}

/// Paths that an untrusted file may name instead of a parent.
#[test]
fn rejects_paths_to_outside_files() {
    const UP: &str = r"..\..\..\..\..\..\..\..";
    let climbing = [format!(r"{UP}\etc\passwd"), format!("{}/etc/passwd", UP.replace('\\', "/"))];
    for path in climbing {
        let place = Place::new(|locator| locator.relative(&path));
        must_fail(&path, place.ask(&path), PARENT_NO_DISK);
        let answer = place.confined(&["inside"]).bounded(&path, MEMORY);
        must_fail(&path, answer, PARENT_NOT_FOUND);
    }
    let elsewhere = [
        r"\\.\PhysicalDrive0",
        r"\\.\C:",
        r"\\?\GLOBALROOT\Device\Harddisk0\Partition0",
        r"\\server\share\base.vhdx",
        r"\\?\UNC\server\share\base.vhdx",
        r"//server/share/base.vhdx",
        "/etc/passwd",
        "/dev/zero",
        r"C:\Windows\win.ini",
        "C:base.vhdx",
        "NUL",
        "base.vhdx:stream",
        "..",
        r"..\",
        ".",
        "",
        "\0",
        "base\0.vhdx",
        "\u{202E}xdhv.esab",
    ];
    for path in elsewhere {
        let place = Place::new(|l| l.relative(path).absolute(path).volume(path));
        must_fail(path, place.ask(path), PARENT_NOT_FOUND);
    }
    let deep = r"a\".repeat(10_000) + "b";
    for (name, path) in [("a long name", "a".repeat(30_000)), ("a deep path", deep)] {
        let place = Place::new(|locator| locator.relative(&path));
        must_fail(name, place.ask(name), PARENT_NOT_FOUND);
    }
}

/// Counts the files of `outside/` that are opened.
fn watched(question: Question) -> (Question, Faulty) {
    let hits = |call, path: &Path| call == Call::Open && path.to_str().unwrap().contains("outside");
    let storage = Faulty::new(Arc::new(LocalStorage::new()), Fault::none(hits));
    (question.with(|options| options.storage(Arc::new(storage.clone()))), storage)
}

#[test]
fn rejects_a_parent_outside_the_permitted_directories() {
    type Link = (&'static str, &'static str);
    let cases: [(&str, &str, Option<Link>); 3] = [
        ("a link", r".\base.vhdx", Some(("../outside/base.vhdx", "inside/base.vhdx"))),
        ("a linked directory", r".\directory\base.vhdx", Some(("../outside", "inside/directory"))),
        ("a path", r"..\outside\base.vhdx", None),
    ];
    for (name, locator, link) in cases {
        let place = Place::new(|parent| parent.relative(locator));
        if let Some((target, link)) = link {
            symlink(target, place.path(link)).unwrap();
        }
        place.parent.save(&place.path("outside/base.vhdx"));
        assert_eq!(place.ask(name).unwrap().ranges.len(), 1, "{name}, not confined");
        // A search path does not extend the permitted directories.
        let confined = place.confined(&["inside"]);
        let search = confined.clone().with(|options| options.search_path(place.path("outside")));
        for question in [confined, search] {
            let (question, storage) = watched(question);
            must_fail(name, question.bounded(name, MEMORY), PARENT_NOT_FOUND);
            assert_eq!(storage.calls(), 0, "{name}");
        }
        let both = place.confined(&["inside", "outside"]).bounded(name, MEMORY);
        assert_eq!(both.unwrap().ranges.len(), 1, "{name}");
    }
}

#[test]
fn finds_the_parent_only_in_permitted_directories() {
    let place = beside();
    place.parent.save(&place.path("inside/base.vhdx"));
    assert_eq!(place.ask("not confined").unwrap().ranges, ranges(&[MB..2 * MB]));
    for directory in ["gone", "outside", "in"] {
        let answer = place.confined(&[directory]).bounded(directory, MEMORY);
        must_fail(directory, answer, PARENT_NOT_FOUND);
    }
}

fn table() -> RctBuilder {
    RctBuilder::new(4 * MB).seed(9).with(7..8, 1)
}

/// A table may be opened if its disk may; a link in its place must not lead elsewhere, and is not
/// ignored.
#[test]
fn rejects_links_to_tables_outside_the_permitted_directories() {
    let place = beside();
    place.parent.save(&place.path("inside/base.vhdx"));
    table().write(place.path("outside/table")).unwrap();
    symlink(place.path("outside/table"), place.path("inside/base.vhdx.rct")).unwrap();
    let since = |question| Question { since: current_id(&table()).into(), ..question };
    assert_eq!(since(place.question()).ask().unwrap().ranges.len(), 2);
    let confined = || since(place.confined(&["inside"]));
    let (question, storage) = watched(confined());
    must_fail("a table", question.ask(), UNTRUSTED);
    assert_eq!(storage.calls(), 0);
    fs::remove_file(place.path("inside/base.vhdx.rct")).unwrap();
    table().write(place.path("inside/base.vhdx.rct")).unwrap();
    assert_eq!(confined().ask().unwrap().ranges.len(), 2);
}

/// Only parents are confined: not the disk of the question, and not its own table.
#[test]
fn accepts_a_disk_outside_the_permitted_directories() {
    let place = beside();
    let path = place.path("outside/base.vhdx");
    place.parent.save(&path);
    table().write(place.path("outside/base.vhdx.rct")).unwrap();
    let question = Question::new(&path, current_id(&table()));
    let question = question.with(|options| options.confine_to(place.path("inside")));
    assert_eq!(question.ask().unwrap().ranges, ranges(&[7 << 14..8 << 14]));
}
